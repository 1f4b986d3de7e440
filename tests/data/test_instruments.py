"""Synthetic instruments: reproducible notes whose pitch, level and source do not tell the family."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from audiointerp.data.instrument_families import FAMILIES, SOURCES
from audiointerp.data.instruments import SyntheticInstruments, midi_hz
from audiointerp.probes.pitch import cents, estimate_pitch
from audiointerp.study import UserError

TINY = {"instruments": 3, "notes": 5, "duration_s": 0.5, "threads": 1}


@pytest.fixture(scope="module")
def sounds():
    return SyntheticInstruments(**TINY)


@pytest.fixture(scope="module")
def waveforms(sounds):
    return sounds.waveforms(np.arange(len(sounds)))


def test_a_note_depends_on_seed_and_number_alone(sounds, waveforms):
    again = SyntheticInstruments(**TINY)
    for i in (7, 100, 3):
        assert (again.waveform(i) == waveforms[i]).all()
    assert sounds.fingerprint == again.fingerprint
    other = SyntheticInstruments(**TINY, seed=1)
    assert other.fingerprint != sounds.fingerprint and (other.waveform(7) != waveforms[7]).any()


def test_a_group_is_an_instrument_that_plays_all_over_the_range(sounds):
    notes = sounds.notes.assign(group=sounds.group)
    assert sounds.group.nunique() == 3 * len(FAMILIES)
    assert (notes.groupby("group")["instrument_family"].nunique() == 1).all()
    assert (notes.groupby("group")["velocity"].nunique() == 5).all()
    thirds = notes.groupby("group")["pitch"].agg(["min", "max"])
    assert (thirds["min"] <= 52).all() and (thirds["max"] >= 67).all()


@pytest.mark.parametrize("factor", ["velocity", "instrument_source"])
def test_the_family_does_not_tell_other_factors(sounds, factor):
    table = sounds.notes.groupby(["instrument_family", factor]).size().unstack(fill_value=0)
    assert chi2_contingency(table).pvalue > 0.99
    assert set(sounds.notes["instrument_source"]) == set(SOURCES)


def test_notes_have_the_pitch_and_the_level_that_they_say(sounds, waveforms):
    hz, _ = estimate_pitch(waveforms, 16000, lowest_hz=100)
    error = np.abs(cents(hz, midi_hz(sounds.notes["pitch"].to_numpy())))
    assert np.median(error) < 15 and (error < 50).mean() > 0.95
    level = 20 * np.log10(np.abs(waveforms).max(1))
    by_velocity = sounds.notes.assign(level=level).groupby("velocity")["level"].mean().to_numpy()
    assert (np.diff(by_velocity) > 2).all() and np.abs(waveforms).max() <= 0.99


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"families": ["flute", "kazoo"]}, "data.families"),
        ({"families": ["flute"]}, "two or more"),
        ({"instruments": 1}, "at least 2 instruments"),
        ({"held": 0.0}, "held share"),
        ({"pitches": [60, 50]}, "data.pitches"),
        ({"pitches": [60, 120]}, "below 4000 Hz"),
        ({"factors": ["colour"]}, "data.factors"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    with pytest.raises(UserError, match=words):
        SyntheticInstruments(**TINY | given)
