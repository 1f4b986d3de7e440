import warnings

import numpy as np
import pytest

from audiointerp.disentangle.metrics import irs, z_diff, z_max_var, z_min_var
from tests.disentangle.metrics import loops
from tests.disentangle.metrics.worlds import grid, noise, one_to_one, rotated

FACTORS = grid()
DRAWN = (z_diff, z_min_var, z_max_var)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("kinds", [("ordered",) * 3, ("categorical", "ordered", "categorical")])
def test_irs_is_that_of_plain_loops(kinds):
    factors = grid(repeats=2)[:-17]
    for codes in (one_to_one(factors, noise=0.4), rotated(factors), noise(factors)):
        expected = loops.irs(factors, codes, 4, kinds)
        assert irs(factors=factors, codes=codes, bins=4, kinds=kinds) == pytest.approx(expected, abs=1e-12)


def test_irs_worked_out_by_hand():
    # Held at one level of the first factor, the code strays by .5; at one of the second, by 1.5; at all, by 2.
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 2)
    codes = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 2)
    assert irs(factors=factors, codes=codes, bins=2) == pytest.approx(1 - 0.5 / 2)
    # A second code, ten times as large, that is fixed by the second factor weighs ten times as much.
    wide = np.c_[codes, 10 * factors[:, 1]]
    assert irs(factors=factors, codes=wide, bins=2) == pytest.approx((0.75 * 2 + 1.0 * 5) / 7)


def test_irs_of_planted_codes():
    codes = one_to_one(FACTORS, noise_codes=0)
    assert irs(factors=FACTORS, codes=codes) == pytest.approx(1)
    assert irs(factors=FACTORS, codes=rotated(FACTORS, noise_codes=0)) < 0.9
    assert 0.05 < irs(factors=FACTORS, codes=noise(FACTORS)) < 0.4
    strays = codes.copy()
    strays[0] += 5
    assert irs(factors=FACTORS, codes=strays, quantile=0.95) > irs(factors=FACTORS, codes=strays)


def test_irs_does_not_depend_on_order_or_offset():
    codes = one_to_one(FACTORS, noise=0.3)
    score = irs(factors=FACTORS, codes=codes)
    assert irs(factors=FACTORS[:, ::-1], codes=7 * codes[:, ::-1] + 3) == pytest.approx(score)
    flat = np.concatenate([codes, np.ones((len(codes), 2))], axis=1)
    assert irs(factors=FACTORS, codes=flat) == pytest.approx(score)


@pytest.mark.parametrize("metric", [z_diff, z_min_var, z_max_var])
def test_planted_codes_are_told_and_noise_is_not(metric):
    given = {"factors": FACTORS, "batch": 50, "train": 600, "test": 600}
    codes = one_to_one(FACTORS, noise_codes=0)
    assert metric(codes=codes, **given) == pytest.approx(1, abs=0.01)
    between = metric(codes=rotated(FACTORS, noise_codes=0), **given)
    chance = np.mean([metric(codes=noise(FACTORS, seed=seed), seed=seed, **given) for seed in range(4)])
    assert chance == pytest.approx(0, abs=0.12)
    assert chance + 0.15 < between < 0.97 if metric is not z_diff else between > 0.5


def test_z_diff_is_blind_to_mixtures_within_a_factors_codes():
    given = {"factors": FACTORS, "batch": 50, "train": 600, "test": 600}
    codes = one_to_one(FACTORS, noise_codes=0)
    shared = np.c_[codes, codes[:, 0] + 0.1 * noise(FACTORS, 1)[:, 0]]
    assert z_diff(codes=shared, **given) == pytest.approx(1, abs=0.01)


def test_noise_in_the_codes_ruins_z_max_var_alone():
    given = {"factors": grid(repeats=20), "codes": one_to_one(grid(repeats=20), noise_codes=7)}
    assert z_min_var(**given) > 0.99 and z_diff(**given) > 0.99
    assert z_max_var(**given) < 0.5
    # Collapsed codes are left out instead.
    given["codes"][:, 3:] *= 0.01
    assert z_max_var(**given) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("metric", DRAWN)
def test_order_and_offset_of_codes_do_not_matter_and_seeds_do(metric):
    given = {"factors": FACTORS, "batch": 20, "train": 300, "test": 300}
    codes = rotated(FACTORS)
    score = metric(codes=codes, **given)
    assert metric(codes=codes[:, ::-1], **given) == pytest.approx(score, abs=0.011)
    assert metric(codes=codes * [2.0, 3.0, 4.0, 5.0, 6.0] + 3, **given) == pytest.approx(score, abs=0.011)
    assert metric(codes=codes, **given) == score
    assert metric(codes=codes, seed=1, **given) != score


@pytest.mark.parametrize("metric", [irs, *DRAWN])
def test_what_does_not_vary_is_defined(metric):
    codes, flat = one_to_one(FACTORS), np.full((len(FACTORS), 2), 0.1)
    small = {} if metric is irs else {"batch": 20, "train": 100, "test": 100}
    assert metric(factors=FACTORS, codes=flat, **small) == 0
    for kinds in ("ordered", "categorical"):
        assert np.isfinite(metric(factors=flat, codes=codes, kinds=kinds, **small))
        more = np.concatenate([FACTORS, flat[:, :1]], axis=1)
        assert np.isfinite(metric(factors=more, codes=codes, kinds=kinds, **small))
    assert metric(factors=FACTORS, codes=np.c_[codes, flat], **small) == metric(factors=FACTORS, codes=codes, **small)


@pytest.mark.parametrize("metric", [irs, *DRAWN])
def test_bad_input_is_refused(metric):
    codes = one_to_one(FACTORS)
    with pytest.raises(ValueError, match="got 1200 and 1199"):
        metric(factors=FACTORS, codes=codes[:-1])
    with pytest.raises(ValueError, match="expected finite codes"):
        metric(factors=FACTORS, codes=np.full(codes.shape, np.inf))
    with pytest.raises(ValueError, match="rows as bins"):
        metric(factors=FACTORS[:9], codes=codes[:9], bins=10)
    with pytest.raises(ValueError, match="expected kinds among"):
        metric(factors=FACTORS, codes=codes, kinds="nominal")


@pytest.mark.parametrize("metric", DRAWN)
def test_what_cannot_be_drawn_is_refused(metric):
    codes = one_to_one(FACTORS)
    with pytest.raises(ValueError, match="expected at least 2 factors, got 1"):
        metric(factors=FACTORS[:, :1], codes=codes)
    for name in ("batch", "train", "test"):
        with pytest.raises(ValueError, match=f"expected {name} of 1 or more, got 0"):
            metric(factors=FACTORS, codes=codes, **{name: 0})
    single = np.stack([np.arange(50), np.arange(50)[::-1]], axis=1)
    with pytest.raises(
        ValueError, match="expected two rows or more that share a level of .*, got none: use fewer bins"
    ):
        metric(factors=single, codes=noise(single), kinds="categorical")


def test_one_training_point_teaches_nothing():
    with pytest.raises(ValueError, match="expected train points of two factors or more, got one from 1 draws"):
        z_diff(factors=FACTORS, codes=one_to_one(FACTORS), train=1)


@pytest.mark.parametrize("quantile", [0.0, 1.5])
def test_unknown_quantiles_are_refused(quantile):
    with pytest.raises(ValueError, match=r"expected a quantile in \(0, 1\], got"):
        irs(factors=FACTORS, codes=FACTORS, quantile=quantile)
