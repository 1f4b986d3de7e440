import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from audiointerp.activations.base import capture
from audiointerp.activations.extract import extract
from audiointerp.activations.reduction import fit_reduction
from audiointerp.edit.transfer import Typicality, choose_pairs, push, typicality
from tests.edit.tiny import Tiny, noise


def test_quartiles_by_hand():
    # Class 0 centred at 0, class 1 at 10, both from training rows; eight ranked rows of class 0, five of class 1.
    train_values, train_labels = [-1, 1, 9, 11], [0, 0, 1, 1]
    values = [3, -1, 0.5, 2, -4, 5, -6, 7, 10, 11, 12, 14, 16]
    labels = np.array(train_labels + [0] * 8 + [1] * 5)
    block = np.array(train_values + values)[:, None]
    found = typicality(block, labels, np.arange(4), np.arange(4, 17))
    assert np.flatnonzero(found.typical).tolist() == [5, 6, 12]  # -1 and .5; of five rows one, 10
    assert np.flatnonzero(found.atypical).tolist() == [10, 11, 16]  # -6 and 7; 16
    assert np.isnan(found.distance[:4]).all()
    # Deviations -1, 1, -1, 1: a variance of 4 / 3.
    np.testing.assert_allclose(found.distance[4:6], np.array([3, 1]) / np.sqrt(4 / 3), rtol=1e-5)


def test_distances_are_mahalanobis_to_training_centres():
    rng = np.random.default_rng(0)
    block = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 3))
    labels = rng.integers(0, 4, 300)
    train, rows = np.arange(200), np.arange(200, 300)
    train = train[labels[train] != 3]  # class 3 has no centre
    found = typicality(block, labels, train, rows)
    centres = np.stack([block[train][labels[train] == label].mean(0) for label in range(3)])
    precision = np.linalg.inv(np.cov((block[train] - centres[labels[train]]).T))
    known = rows[labels[rows] < 3]
    expected = [mahalanobis(block[row], centres[labels[row]], precision) for row in known]
    np.testing.assert_allclose(found.distance[known], expected, rtol=1e-4)
    assert not (found.typical | found.atypical)[labels == 3].any() and not found.typical[:200].any()
    for label in range(3):
        mine = known[labels[known] == label]
        assert found.typical[mine].sum() == found.atypical[mine].sum() == len(mine) // 4
        assert found.distance[mine][found.typical[mine]].max() < found.distance[mine][~found.typical[mine]].min()
        assert found.distance[mine][found.atypical[mine]].min() > found.distance[mine][~found.atypical[mine]].max()


def populace(seed=0):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 4, 400), rng.integers(0, 25, 400)
    kind = rng.integers(0, 4, 400)
    return labels, groups, Typicality(np.zeros(400), kind == 0, kind == 3)


@pytest.mark.parametrize("per_source", [1, 3, 7])
def test_pairs_are_atypical_with_typical_of_another_group_and_the_right_class(per_source):
    labels, groups, typical = populace()
    pairs = choose_pairs(labels, groups, typical, per_source, np.random.default_rng(1))
    source, own, other = (pairs[name].to_numpy() for name in ("source", "own", "other"))
    assert typical.atypical[source].all() and typical.typical[own].all() and typical.typical[other].all()
    assert (groups[source] != groups[own]).all() and (groups[source] != groups[other]).all()
    assert (labels[own] == labels[source]).all() and (pairs["label"] == labels[source]).all()
    assert (labels[other] != labels[source]).all() and (pairs["target"] == labels[other]).all()
    assert (pairs["source"].value_counts() == per_source).all()
    assert set(source) == set(np.flatnonzero(typical.atypical))
    # The classes take turns: three others, no more than one apart.
    turns = pairs.groupby("source")["target"].value_counts().unstack(fill_value=0)
    spread = [sorted(row[[c for c in range(4) if c != labels[s]]]) for s, row in turns.iterrows()]
    assert all(row[-1] - row[0] <= 1 for row in spread)
    assert choose_pairs(labels, groups, typical, per_source, np.random.default_rng(1)).equals(pairs)


def test_a_sound_without_references_is_left_out():
    labels, groups = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 2, 3, 1])
    typical = np.array([False, True, False, True, False, True])
    atypical = ~typical
    pairs = choose_pairs(labels, groups, Typicality(np.zeros(6), typical, atypical), 2, np.random.default_rng(0))
    # Row 0 would have to take row 1, of its own group; row 2 is of the group of row 5, but has row 3.
    assert set(pairs["source"]) == {2, 4}
    assert (pairs.loc[pairs["source"] == 2, ["own", "other"]] == [3, 1]).all(axis=None)
    nobody = Typicality(np.zeros(6), np.zeros(6, bool), atypical)
    empty = choose_pairs(labels, groups, nobody, 2, np.random.default_rng(0))
    assert empty.empty and list(empty) == ["source", "own", "other", "label", "target"]


def heard(network, segments, layer):
    """Activations of a layer and the output for all segments, in one batch."""
    with torch.inference_mode(), capture(network, {layer: network.layers[layer]}) as values:
        output = network(network.front_end(segments.batch(range(len(segments)))))
    return values[layer], output.numpy()


def reduced(activations, components):
    return fit_reduction(activations.flatten(1).clone(), components, activations.shape[1:])


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_change_of_nothing_changes_nothing(layer):
    network, segments = Tiny(), noise(100)
    activations, output = heard(network, segments, layer)
    reduction = reduced(activations, 6)
    # The same batches: bit by bit.
    blank = np.zeros((100, 6), np.float32)
    edited = push(network, segments, layer, reduction, np.arange(100), {"no-op": blank})["no-op"]
    with torch.inference_mode():
        batches = [network(network.front_end(segments.waveforms[start : start + 64])).numpy() for start in (0, 64)]
    assert edited.dtype == np.float32 and (edited == np.concatenate(batches)).all()
    # Other batches: to rounding.
    sources = np.random.default_rng(0).integers(0, 100, 70)
    edited = push(network, segments, layer, reduction, sources, {"no-op": blank[:70]})["no-op"]
    np.testing.assert_allclose(edited, output[sources], atol=1e-5)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_change_of_nothing_changes_nothing_in_half_precision(layer, tmp_path):
    network, segments = Tiny(), noise(64)
    found = extract(network, segments, range(64), tmp_path, components=6, precision="bf16")
    given = (network, segments, layer, found.reductions[layer], np.arange(64), {"no-op": np.zeros((64, 6), np.float32)})
    assert (push(*given, precision="bf16")["no-op"] == found.output).all()
    assert not np.allclose(push(*given)["no-op"], found.output, atol=1e-5)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_the_change_that_swaps_in_another_sound_leads_to_its_output(layer):
    network, segments = Tiny(), noise(100)
    activations, output = heard(network, segments, layer)
    sources = np.arange(70)
    targets = (sources + 13) % 100
    found = {}
    for components in (3, 8):
        reduction = reduced(activations, components)
        scores = reduction.reduce(activations).numpy()
        changes = {"swap": scores[targets] - scores[sources], "half": 0.5 * (scores[targets] - scores[sources])}
        found[components] = push(network, segments, layer, reduction, sources, changes)
    before = np.linalg.norm(output[sources] - output[targets], axis=1)

    def left(components, edit):
        return np.linalg.norm(found[components][edit] - output[targets], axis=1) / before

    assert np.median(left(3, "swap")) < 0.8 and np.mean(left(3, "swap") < 1) > 0.75
    assert np.median(left(8, "half")) < 0.8
    if layer == "first":  # eight input samples span all there is
        np.testing.assert_allclose(found[8]["swap"], output[targets], atol=1e-4)


def test_what_the_layer_is_changed_by_is_the_lifted_change_alone():
    network, segments = Tiny(), noise(80)
    activations, _ = heard(network, segments, "second")
    reduction = reduced(activations, 5)
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 80, 70)
    changes = {name: rng.standard_normal((70, 5)).astype(np.float32) for name in ("one", "two")}
    seen = {"one": [], "two": []}
    segments.read.clear()
    edited = push(
        network,
        segments,
        "second",
        reduction,
        sources,
        changes,
        progress=lambda items, **words: seen.update(words) or items,
        inspect=lambda name, before, after: seen[name].append((before.clone(), after.clone())),
    )
    assert segments.read == [64, 6] and seen["description"] == "editing second"
    for name, change in changes.items():
        before, after = (torch.cat(part) for part in zip(*seen[name], strict=True))
        assert before.shape == (70, 3, 4)
        torch.testing.assert_close(before, activations[torch.from_numpy(sources)], atol=1e-5, rtol=0)
        moved = reduction.reduce(after) - reduction.reduce(before)
        np.testing.assert_allclose(moved.numpy(), change, atol=1e-4)
        with torch.inference_mode():
            np.testing.assert_allclose(edited[name], network.resume("second", after).numpy(), atol=1e-6)
    assert not any(module._forward_hooks for module in network.modules())
