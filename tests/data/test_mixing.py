"""Recorded sounds in recorded noises: at the ratio that is said, in noises of their own, without digital silence."""

import corpora
import numpy as np
import pytest

from audiointerp.data.fsdd import FSDD
from audiointerp.data.mixing import InNoise, dealt, joined, sounding, unit, window
from audiointerp.study import UserError


@pytest.fixture
def recordings(tmp_path):
    return FSDD(corpora.fsdd(tmp_path, digits=(0, 1, 2), speakers=("ann", "bob"), takes=2))


@pytest.fixture
def noises(tmp_path):
    return FSDD(corpora.fsdd(tmp_path / "other", digits=(3, 4), speakers=("eve",), takes=4), factors=["digit"])


def test_silence_is_cut_out_of_noises_and_repeats_never_hold_it():
    wave = np.concatenate([np.zeros(480), np.full(320, 0.5), np.zeros(800)])
    assert np.array_equal(sounding(wave), np.full(320, 0.5))
    assert np.array_equal(sounding(np.zeros(320)), np.zeros(320))
    rng = np.random.default_rng(0)
    assert np.array_equal(window(wave, 1000, rng), np.full(1000, 0.5))


def test_recordings_are_joined_until_the_time_is_full():
    parts = [np.array([1.0, 2.0]), np.array([3.0]), np.array([4.0])]
    assert joined(iter(parts), 3).tolist() == [1.0, 2.0, 3.0]
    assert joined(parts[:2], 5).tolist() == [1.0, 2.0, 3.0, 1.0, 2.0]
    assert np.sqrt(np.mean(unit(np.array([3.0, -3.0])) ** 2)) == pytest.approx(1.0)
    assert np.array_equal(unit(np.zeros(4)), np.zeros(4))


def test_sounds_are_as_loud_as_said_in_noises_of_their_own_group(recordings, noises):
    loud, quiet = (InNoise(recordings, noises, (snr, snr), duration_s=0.5, group="digit") for snr in (40.0, -40.0))
    assert list(loud.factors) == ["speaker"] and sorted(set(loud.group)) == ["digit 0", "digit 1", "digit 2"]
    owned = [set(noises.group[part]) for part in loud._noise_pools]
    assert not any(a & b for i, a in enumerate(owned) for b in owned[:i])
    for i in (0, 5):
        sound = unit(recordings.waveform(i))
        placed = np.abs(np.correlate(loud.waveform(i).astype(np.float64), sound, "valid")).max()
        energy = np.sqrt(np.sum(loud.waveform(i) ** 2.0) * np.sum(sound**2))
        assert placed / energy > 0.99
        hidden = np.abs(np.correlate(quiet.waveform(i).astype(np.float64), sound, "valid")).max()
        assert hidden / np.sqrt(np.sum(quiet.waveform(i) ** 2.0) * np.sum(sound**2)) < 0.9
    assert len(loud.waveform(0)) == 8000 and np.abs(loud.waveform(0)).max() <= 1.0


def test_a_clip_depends_on_its_sound_and_the_seed_alone(recordings, noises):
    whole = InNoise(recordings, noises, group="digit")
    again, other = InNoise(recordings, noises, group="digit"), InNoise(recordings, noises, group="digit", seed=1)
    assert np.array_equal(whole.waveform(3), again.waveform(3)) and whole.clip_keys == again.clip_keys
    assert not np.array_equal(whole.waveform(3), other.waveform(3))
    assert not set(whole.clip_keys) & set(other.clip_keys)


def test_what_cannot_be_mixed_is_refused(recordings, noises, tmp_path):
    slow = FSDD(tmp_path, sample_rate=8000)
    for make, message in (
        (lambda: InNoise(recordings, noises, (5.0, 0.0)), r"data.snr_db=\[lowest, highest\]"),
        (lambda: InNoise(recordings, noises, duration_s=0.0), "a duration_s above 0"),
        (lambda: InNoise(slow, noises), "data.sounds at 16000 Hz, got 8000 Hz"),
        (lambda: InNoise(recordings, noises, group="room"), "no factor 'room'"),
        (lambda: InNoise(recordings, noises, factors=["colour"]), "no factor 'colour'"),
        (lambda: InNoise(recordings, noises), "at least 12 groups of noises for 12 pools, got 8"),
        (lambda: dealt(noises, 9, 0, "noises"), "at least 9 groups of noises"),
    ):
        with pytest.raises(UserError, match=message):
            make()
