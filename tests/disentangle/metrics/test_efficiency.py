import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from audiointerp.disentangle.metrics import sample_efficiency
from audiointerp.study import stream
from tests.disentangle.metrics.worlds import grid, noise, one_to_one, rotated

FACTORS = grid(levels=(4, 5, 20), repeats=8)
KINDS = ("categorical", "ordered", "ordered")


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def halved(codes, factors=FACTORS):
    order = np.random.default_rng(0).permutation(len(codes))
    train, test = np.array_split(order, 2)
    return {
        "train_factors": factors[train],
        "train_codes": codes[train],
        "test_factors": factors[test],
        "test_codes": codes[test],
    }


def test_separate_codes_need_fewer_labels_than_their_rotation():
    separate = sample_efficiency(**halved(one_to_one(FACTORS, noise_codes=5)), kinds=KINDS)
    mixed = sample_efficiency(**halved(rotated(FACTORS, noise_codes=5)), kinds=KINDS)
    assert separate.labels == (100, 1000, 1600) and separate.scores.shape == (3, 3)
    assert separate.ratio[0] > 0.95 and (separate.ratio <= 1.001).all()
    assert mixed.ratio[0] < separate.ratio[0] - 0.03
    assert (mixed.scores[:, 0] < mixed.scores[:, 2] - 0.02).all()
    np.testing.assert_allclose(mixed.ratio, (mixed.scores[:, :2] / mixed.scores[:, 2:]).mean(0))


def test_a_linear_model_does_not_see_rotations():
    separate, mixed = (
        sample_efficiency(**halved(codes), model="linear", labels=(100,))
        for codes in (one_to_one(FACTORS, noise_codes=0), rotated(FACTORS, noise_codes=0))
    )
    np.testing.assert_allclose(separate.scores, mixed.scores, atol=0.02)


def test_linear_scores_are_those_of_ridge_on_the_first_rows_drawn():
    given = halved(one_to_one(FACTORS, noise=0.5))
    found = sample_efficiency(**given, model="linear", labels=(50,), seed=3)
    rows = stream(3, "sample_efficiency").permutation(1600)[:50]
    scaler = StandardScaler().fit(given["train_codes"][rows])
    for column in range(3):
        model = Ridge().fit(scaler.transform(given["train_codes"][rows]), given["train_factors"][rows, column])
        expected = model.score(scaler.transform(given["test_codes"]), given["test_factors"][:, column])
        assert found.scores[column, 0] == pytest.approx(expected)


def test_noise_teaches_nothing():
    found = sample_efficiency(**halved(noise(FACTORS)), kinds=KINDS, labels=(100,), model="linear")
    np.testing.assert_allclose(found.scores, [[0.25] * 2, [0] * 2, [0] * 2], atol=0.06)
    assert np.isnan(sample_efficiency(**halved(np.zeros((3200, 2))), labels=(100,)).ratio).all()


@pytest.mark.parametrize("model", ["forest", "linear"])
@pytest.mark.parametrize("kind", ["ordered", "categorical"])
def test_a_factor_that_does_not_vary_is_defined(model, kind):
    flat = np.ones((len(FACTORS), 1))
    found = sample_efficiency(**halved(one_to_one(FACTORS), flat), labels=(100,), model=model, kinds=kind)
    assert found.scores.tolist() == ([[0, 0]] if kind == "ordered" else [[1, 1]])


def test_bad_input_is_refused():
    given = halved(one_to_one(FACTORS))
    with pytest.raises(ValueError, match="got 1600 and 1599"):
        sample_efficiency(**{**given, "train_codes": given["train_codes"][:-1]})
    with pytest.raises(ValueError, match="expected finite codes"):
        sample_efficiency(**{**given, "test_codes": given["test_codes"] * np.nan})
    with pytest.raises(
        ValueError, match="expected the same columns in training and test rows, got factors 3 and 3, cod"
    ):
        sample_efficiency(**{**given, "test_codes": given["test_codes"][:, 1:]})
    for labels in ((1,), (100, 1600), ()):
        with pytest.raises(ValueError, match="expected numbers of labels from 2 to 1599, got"):
            sample_efficiency(**given, labels=labels)
    with pytest.raises(ValueError, match="expected model forest or linear, got 'svm'"):
        sample_efficiency(**given, model="svm")
    with pytest.raises(ValueError, match="expected kinds among"):
        sample_efficiency(**given, kinds="nominal")
