import numpy as np
import pandas as pd
import pytest

from audiointerp.statistics.clusters import codes, draws, sums, vector


def test_sums_agree_with_pandas():
    rng = np.random.default_rng(0)
    columns, code = rng.normal(size=(50, 3)), rng.integers(0, 7, 50)
    expected = pd.DataFrame(columns).groupby(code).sum().reindex(range(7), fill_value=0.0)
    np.testing.assert_allclose(sums(columns, code, 7), expected.to_numpy(), atol=1e-12)


def test_draws_are_multinomial():
    counts = draws(np.random.default_rng(0), 10, 20_000)
    assert (counts.sum(axis=1) == 10).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.03)
    covariance = np.cov(counts.T)
    np.testing.assert_allclose(np.diag(covariance), 0.9, atol=0.05)
    np.testing.assert_allclose(covariance[0, 1:], -0.1, atol=0.05)


@pytest.mark.parametrize("labels", [["x", "a", "x"], pd.Series(["x", "a", "x"]), np.array([9, 2, 9]), [2.5, 1.0, 2.5]])
def test_codes_of_any_type(labels):
    assert codes(labels, "labels")[1].tolist() == [1, 0, 1]


@pytest.mark.parametrize("labels", [["a", None], [1.0, np.nan], pd.Series(["a", None])])
def test_a_missing_label_is_refused(labels):
    with pytest.raises(ValueError, match="expected a label for every item in groups, got 1 missing"):
        codes(labels, "groups")


def test_bad_vectors_are_refused():
    with pytest.raises(ValueError, match="expected finite values, got 1"):
        vector([1.0, np.nan], "values")
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        vector([[1.0]], "values")
    with pytest.raises(ValueError, match="expected 2 values, got 1"):
        vector([1.0], "values", 2)
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        codes([], "labels")
    with pytest.raises(ValueError, match="expected 3 groups, got 2"):
        codes(["a", "b"], "groups", 3)
