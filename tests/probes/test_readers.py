"""Readers recover planted factors, and nothing from noise."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.probes.readers import FactorReader, agreement


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    place, kind = rng.uniform(2, 14, 3000), rng.integers(3, size=3000)
    bands = np.arange(16)
    width = np.array([0.7, 1.5, 3.0])[kind]
    inputs = np.exp(-0.5 * ((bands - place[:, None]) / width[:, None]) ** 2)[:, :, None].repeat(2, 2)
    factors = pd.DataFrame({"kind": np.array(["a", "b", "c"])[kind], "place": place})
    return inputs.astype(np.float32), factors


@pytest.fixture(scope="module")
def reader(planted):
    inputs, factors = planted
    return FactorReader(components=12, hidden=(32, 32), epochs=40).fit(inputs[:2000], factors[:2000])


def test_planted_factors_are_read(reader, planted):
    inputs, factors = planted
    scores = reader.scores(inputs[2000:], factors[2000:].reset_index(drop=True))
    assert scores["kind"] > 0.97 and scores["place"] > 0.97
    reading = reader.read(inputs[2000:])
    assert set(reading.values["kind"]) == {"a", "b", "c"}
    assert ((reading.confidence > 1 / 3) & (reading.confidence <= 1)).all()


def test_confidence_is_lower_where_it_errs(reader, planted):
    inputs, factors = planted
    rng = np.random.default_rng(1)
    blurred = inputs[2000:] + rng.normal(scale=0.3, size=inputs[2000:].shape).astype(np.float32)
    reading = reader.read(blurred)
    right = reading.values["kind"].to_numpy() == factors["kind"].to_numpy()[2000:]
    assert 0.4 < right.mean() < 0.999 and reading.confidence[right].mean() > reading.confidence[~right].mean() + 0.05


def test_labels_without_meaning_are_not_read(planted):
    inputs, factors = planted
    permuted = factors.sample(frac=1, random_state=0).reset_index(drop=True)
    reader = FactorReader(components=8, hidden=(16,), epochs=5).fit(inputs[:2000], permuted[:2000])
    scores = reader.scores(inputs[2000:], permuted[2000:].reset_index(drop=True))
    assert scores["kind"] < 0.42 and scores["place"] < 0.05


def test_the_same_seed_reads_the_same(planted):
    inputs, factors = planted
    one, two = (
        FactorReader(components=4, hidden=(8,), epochs=2, seed=3).fit(inputs[:200], factors[:200]).read(inputs[200:300])
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one.values, two.values)


def test_numbers_that_are_guessed_by_their_mean_score_zero():
    true = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert agreement(true, pd.DataFrame({"x": [2.0, 2.0, 2.0]})) == {"x": 0.0}


def test_tables_that_do_not_fit_are_refused(planted):
    inputs, factors = planted
    with pytest.raises(ValueError, match=r"expected factors for 10 inputs, got a table of shape \(9, 2\)"):
        FactorReader().fit(inputs[:10], factors[:9])
    with pytest.raises(ValueError, match="expected factors for 10 inputs"):
        FactorReader().fit(inputs[:10], factors[:10][[]])
