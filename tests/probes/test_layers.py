import numpy as np
import pytest

from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import by_fold
from audiointerp.probes.layers import LayerReader, choose_layer, nested_choice, null_accuracies
from audiointerp.study import UserError


def trap():
    """Two layers, three folds: `lucky` reads fold 0 from the others without a mistake, but these never read each other.

    `steady` reads folds 1 and 2 from each other without a mistake, and fold 0 not at all.
    """
    points = 10.0 * np.arange(20)
    labels = np.concatenate([np.arange(20) % 2, np.zeros(20, int), np.ones(20, int)])
    labels[20:30], labels[40:50] = 1, 0
    folds = np.repeat([0, 1, 2], 20)
    # Fold 1 and fold 2 hold one row of either class at each place: each other's nearest rows are of the wrong class.
    lucky = np.concatenate([points + np.where(labels[:20] == labels[20:40], 0.1, 0.9), points, points + 1.0])
    steady = np.where(folds == 0, 100.0 * (1 - labels), 100.0 * labels) + np.random.default_rng(0).uniform(0, 1, 60)
    readers = {"lucky": LayerReader(lucky[:, None], 1), "steady": LayerReader(steady[:, None], 1)}
    return readers, labels, folds


def test_the_choice_for_a_fold_does_not_look_at_it():
    readers, labels, folds = trap()
    predicted, chosen = nested_choice(readers, "knn", labels, folds)
    outer = folds == 0
    splits = by_fold(folds)
    seen = {name: reader.predict("knn", labels, splits[:1])[outer] for name, reader in readers.items()}
    assert (seen["lucky"] == labels[outer]).all() and not (seen["steady"] == labels[outer]).any()
    assert chosen[0] == "steady"  # a choice that looked at the outer fold would take the other one
    assert (predicted[outer] == seen["steady"]).all()


def test_what_lies_in_the_outer_fold_changes_no_choice():
    rng = np.random.default_rng(1)
    labels, folds = rng.integers(0, 2, 120), np.arange(120) % 4
    folds[100:] = -1
    layers = {str(i): rng.standard_normal((120, 3)) + 0.5 * labels[:, None] for i in range(4)}

    def choices(layers, labels):
        return nested_choice({name: LayerReader(values) for name, values in layers.items()}, "ridge", labels, folds)

    predicted, chosen = choices(layers, labels)
    assert (predicted[100:] == -1).all() and (predicted[:100] >= 0).all()
    for outer in range(4):
        held = folds == outer
        changed = {name: np.where(held[:, None], rng.standard_normal((120, 3)), x) for name, x in layers.items()}
        assert choices(changed, np.where(held, 1 - labels, labels))[1][outer] == chosen[outer]


@pytest.mark.parametrize("probe", ["knn", "ridge"])
def test_the_informative_layer_is_chosen(probe):
    rng = np.random.default_rng(2)
    labels, folds = rng.integers(0, 3, 150), np.arange(150) % 5
    readers = {f"noise {i}": LayerReader(rng.standard_normal((150, 4))) for i in range(3)}
    readers["planted"] = LayerReader(rng.standard_normal((150, 4)) + 2 * np.eye(4)[labels])
    best, scores = choose_layer(readers, probe, labels, by_fold(folds))
    assert best == "planted" and scores["planted"] > 0.7
    assert all(abs(scores[f"noise {i}"] - 1 / 3) < 0.16 for i in range(3))
    for name, reader in readers.items():
        assert scores[name] == balanced_accuracy(labels, reader.predict(probe, labels, by_fold(folds)))
    predicted, chosen = nested_choice(readers, probe, labels, folds)
    assert set(chosen.values()) == {"planted"}
    assert (predicted == readers["planted"].predict(probe, labels, by_fold(folds))).all()


@pytest.mark.parametrize("probe", ["knn", "ridge"])
def test_the_null_lies_at_chance(probe):
    rng = np.random.default_rng(4)
    labels, folds = np.arange(240) % 3, rng.permutation(np.arange(240) % 4)
    readers = {
        "planted": LayerReader(rng.standard_normal((240, 4)) + 2 * np.eye(4)[labels]),
        "noise": LayerReader(rng.standard_normal((240, 4))),
    }
    permuted = np.stack([rng.permutation(labels) for _ in range(150)])
    seen = []

    def progress(items, **words):
        seen.append(words["description"])
        return items

    null = null_accuracies(readers, probe, by_fold(folds), permuted, progress)
    assert null.shape == (150, 2) and seen == [f"permuted labels, {probe}"]
    # Training rows hold a little less of what the tested fold holds more of: the null lies a hair below chance.
    assert np.abs(null.mean(0) - 1 / 3).max() < 0.02
    assert null[3, 1] == balanced_accuracy(permuted[3], readers["noise"].predict(probe, permuted[3], by_fold(folds)))
    observed = balanced_accuracy(labels, readers["planted"].predict(probe, labels, by_fold(folds)))
    assert observed > null[:, 0].max() + 0.2


def test_an_unknown_probe():
    with pytest.raises(UserError, match="expected a probe among knn, ridge, got 'svm'"):
        LayerReader(np.eye(3)).predict("svm", np.arange(3), [])
