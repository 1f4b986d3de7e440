import numpy as np
import pytest

from audiointerp.statistics.calibration import calibration_table, coverage, false_positives

# What interval theory grants only in the limit: skewed or bounded values, or very unequal sizes, in few clusters.
HARD = "skewed|accuracy|unequal"


@pytest.fixture(scope="module")
def positives():
    return false_positives(1000, seed=1)


@pytest.fixture(scope="module")
def covered():
    return coverage(500, resamples=400)


def test_sound_tests_hold_their_level(positives):
    sound = positives[positives.valid]
    too_many = sound[sound.observed > sound.nominal + 2 * sound.standard_error]
    assert too_many.empty, too_many.to_string()
    assert sound.test.nunique() == 10


def test_sound_tests_are_not_merely_shy(positives):
    assert (positives[positives.valid].observed > 0.02).all()


def test_ignoring_clusters_is_seen_to_fail(positives, covered):
    assert (positives[~positives.valid].observed > 0.15).all()
    assert (covered[~covered.valid].observed < 0.85).all()
    assert len(positives[~positives.valid]) == 5 and len(covered[~covered.valid]) == 1


def test_intervals_hold_the_planted_value(covered):
    sound = covered[covered.valid]
    hard = sound.setting.str.contains(HARD)
    assert (sound.runs > 490).all()
    assert (sound[~hard].observed > 0.95 - 2.5 * sound[~hard].standard_error).all(), sound[~hard].to_string()
    assert (sound[hard].observed > 0.87).all(), sound[hard].to_string()
    assert (sound[hard & sound.setting.str.contains("40")].observed > 0.91).all(), sound[hard].to_string()


def test_same_seed_same_table():
    one, two, other = (calibration_table(5, resamples=50, seed=s) for s in (0, 0, 1))
    assert one.equals(two) and not one.equals(other)
    assert np.isfinite(one.observed).all()
    assert not one.duplicated(["test", "setting", "measure"]).any()


def test_bad_input_is_refused():
    for table in (false_positives, coverage, calibration_table):
        with pytest.raises(ValueError, match="expected at least one run, got 0"):
            table(0)
        with pytest.raises(ValueError, match="expected alpha between 0 and 1, got 5"):
            table(1, alpha=5)
