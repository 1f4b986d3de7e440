"""One pass gives every layer's reduced activations, the same bits whichever way the work is cut."""

import numpy as np
import pytest
import torch
from small_network import LAYERS, Noise, SmallNetwork

from audiointerp.activations import extract as extraction
from audiointerp.activations.extract import activations_of, extract
from audiointerp.activations.reduction import fit_reduction
from audiointerp.study import UserError

N = 600  # a whole chunk and one that is not
FIT = np.arange(0, 240, 2)


@pytest.fixture(scope="module")
def network():
    return SmallNetwork()


@pytest.fixture(scope="module")
def found(network, tmp_path_factory):
    return extract(network, Noise(N), FIT, tmp_path_factory.mktemp("cache"), components=6)


@pytest.fixture(scope="module")
def full(network):
    """The full activations of all segments, by plain calls of the blocks, and the logits."""
    with torch.no_grad():
        values, step = {}, network.front_end(Noise(N).waveforms)
        for name in LAYERS:
            values[name] = step = network.blocks[name](step).clone()
        return values, network.head(step.mean(-1))


def same(first, second, layers=LAYERS):
    return all(np.array_equal(first.scores[name], second.scores[name]) for name in layers) and np.array_equal(
        first.output, second.output
    )


def test_scores_are_the_reduced_activations_and_output_the_logits(found, full):
    values, logits = full
    assert list(found.scores) == LAYERS
    np.testing.assert_allclose(found.output, logits, rtol=1e-5, atol=1e-6)
    for name in LAYERS:
        assert found.scores[name].shape == (N, 6) and found.scores[name].dtype == np.float32
        np.testing.assert_allclose(found.scores[name], found.reductions[name].reduce(values[name]), atol=2e-4)
        assert found.reductions[name].shape == values[name].shape[1:]


def test_reductions_are_fitted_on_the_given_segments_only(found, full, network, tmp_path):
    values, _ = full
    for name in LAYERS:
        expected = fit_reduction(values[name][FIT].flatten(1), 6)
        torch.testing.assert_close(found.reductions[name].components, expected.components, rtol=0, atol=1e-3)
        assert found.explained[name] == pytest.approx(float(expected.explained.sum()), rel=1e-4)
        assert found.convergence[name] == found.reductions[name].convergence
    sounds = Noise(N)
    sounds.waveforms[1::2] *= 3  # what is not in `fit`
    sounds.fingerprint = "louder"
    louder = extract(network, sounds, FIT, tmp_path, components=6)
    for name in LAYERS:
        assert torch.equal(louder.reductions[name].components, found.reductions[name].components)
        assert not np.array_equal(louder.scores[name], found.scores[name])


def test_a_change_of_scores_is_lifted_to_a_layer_s_own_shape(found, full):
    values, _ = full
    reduction = found.reductions["block2"]
    change = torch.from_numpy(found.scores["block2"][1:9] - found.scores["block2"][:8])
    edited = values["block2"][:8] + reduction.lift(change)
    np.testing.assert_allclose(reduction.reduce(edited), found.scores["block2"][1:9], atol=2e-4)


def test_the_same_bits_twice(found, network, tmp_path):
    again = extract(network, Noise(N), FIT, tmp_path, components=6)
    assert same(again, found) and not again.cached
    stored = extract(network, Noise(N), FIT, tmp_path, components=6)
    assert same(stored, found) and stored.cached
    for name in LAYERS:
        assert torch.equal(stored.reductions[name].components, found.reductions[name].components)


def test_some_layers_have_the_same_bits_as_all(found, network, tmp_path):
    some = extract(network, Noise(N), FIT, tmp_path, layers=["block3", "block1"], components=6)
    assert list(some.scores) == ["block3", "block1"]
    assert same(some, found, ["block1", "block3"])
    sounds = Noise(N)
    rest = extract(network, sounds, FIT, tmp_path, components=6)
    assert same(rest, found) and not rest.cached
    only = extract(network, sounds, FIT, tmp_path, layers=["block2"], components=6)
    assert only.cached and only.stored_bytes < rest.stored_bytes


def test_little_memory_means_more_passes_over_the_fitting_segments_and_the_same_bits(found, network, tmp_path):
    titles = []

    def progress(items, *, description, **_):
        titles.append(description)
        return items

    sizes = {"block1": 6 * 124, "block2": 8 * 30, "block3": 12 * 14, "block4": 16 * 6}
    two = 4.0 * len(FIT) * (sizes["block1"] + sizes["block2"])  # room for the first two layers
    for limit, expected in (
        (1.0, ["fitting block1", "fitting block2", "fitting block3", "fitting block4"]),
        (two, ["fitting block1 to block2", "fitting block3 to block4"]),
        (2e9, ["fitting block1 to block4"]),
    ):
        titles.clear()
        sounds = Noise(N)
        cut = extract(network, sounds, FIT, tmp_path / str(limit), components=6, group_bytes=limit, progress=progress)
        assert [title for title in titles if title.startswith("fitting")] == expected
        assert titles[-1] == f"hearing {N} segments, 4 layers"
        assert len(sounds.heard) == len(expected) * len(FIT) + N + 1
        assert same(cut, found)


def test_no_more_segments_are_fitted_on_than_the_limit(network, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "FIT_LIMIT", 30)
    sounds = Noise(100)
    extract(network, sounds, np.arange(5, 95), tmp_path, components=3)
    chosen = sounds.heard[1:31]
    assert sounds.heard[31:] == list(range(100))
    assert chosen == sorted(set(chosen)) and (chosen[0], chosen[-1]) == (5, 94)
    assert set(np.diff(chosen)) <= {3, 4}  # spread evenly


def test_full_activations_of_a_few_segments(network, full):
    values, logits = full
    rows = [599, 3, *range(70)]
    activations, output = activations_of(network, Noise(N), rows, "block3")
    torch.testing.assert_close(activations, values["block3"][rows], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output, logits[rows], rtol=1e-5, atol=1e-6)


def test_the_network_is_left_as_it_was(network, found):
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert network.weights == SmallNetwork().weights


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ["block1", "block9"]}, r"expected layers among \['block1', .*, got \['block9'\]"),
        ({"layers": ["block1"], "keep": ["block2"]}, r"expected layers to keep among \['block1'\], got \['block2'\]"),
        ({"fit": []}, r"expected the indices of at least 3 segments to fit reductions on, got 0 .*larger share"),
        ({"fit": [0, 1]}, r"expected the indices of at least 3 segments to fit reductions on, got 2"),
        ({"fit": np.arange(40) < 30}, r"expected the indices of at least 3 segments .*, got 40 of type bool"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_heard_or_written(network, tmp_path, settings, message):
    sounds = Noise(40)
    with pytest.raises(UserError, match=message):
        extract(network, sounds, **{"fit": range(30), "cache": tmp_path, **settings})
    assert not sounds.heard and not list(tmp_path.iterdir())


def test_a_network_in_training_mode_is_refused(tmp_path):
    network = SmallNetwork().train()
    with pytest.raises(UserError, match=r"expected SmallNetwork in evaluation mode, got it training: call eval\(\)"):
        extract(network, Noise(40), range(30), tmp_path)


def test_sounds_that_cannot_be_told_apart_are_refused_and_leave_nothing_complete(network, tmp_path):
    sounds = Noise(40)
    sounds.waveforms[:] = sounds.waveforms[0]
    with pytest.raises(UserError, match="expected activations that vary"):
        extract(network, sounds, range(30), tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))
