"""Training sounds of the stand-in: sixteen families, every clip of its own, none of them a clip of a study."""

import numpy as np
import pytest

from audiointerp.data.sound_families import FAMILIES, SoundFamilies
from audiointerp.study import UserError


def test_families_are_balanced_and_every_clip_is_a_group():
    sounds = SoundFamilies(clips=32)
    assert sounds.factors["family"].value_counts().tolist() == [2] * 16
    assert sounds.group.is_unique and (sounds.labels == np.arange(32) % 16).all()
    assert [list(FAMILIES)[k] for k in sounds.labels] == sounds.factors["family"].tolist()


def test_clips_are_sound_and_the_same_in_every_batch():
    sounds = SoundFamilies(clips=32, keep_mb=0, threads=2)
    waveforms = sounds.waveforms(np.arange(32))
    assert waveforms.shape == (32, 15600) and waveforms.dtype == np.float32
    assert np.isfinite(waveforms).all() and np.abs(waveforms).max() <= 1 and (np.abs(waveforms).max(1) > 0.01).all()
    other = SoundFamilies(clips=64, keep_mb=0, threads=1)
    for i in (0, 10, 31):
        assert np.array_equal(waveforms[i], other.waveform(i))
    assert not np.array_equal(waveforms[0], SoundFamilies(clips=32, seed=1).waveform(0))


def test_the_seed_is_in_the_fingerprint():
    assert SoundFamilies(32).fingerprint == SoundFamilies(32).fingerprint != SoundFamilies(32, seed=1).fingerprint


@pytest.mark.parametrize("family", FAMILIES)
def test_two_clips_of_a_family_differ(family):
    sounds = SoundFamilies(32, keep_mb=0)
    k = list(FAMILIES).index(family)
    a, b = sounds.waveforms([k, k + 16])
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.9


def test_tones_are_more_tonal_than_noise_and_wind_is_duller_than_rain():
    sounds = SoundFamilies(16 * 8)
    spectra = np.abs(np.fft.rfft(sounds.waveforms(np.arange(128)), axis=1)) ** 2 + 1e-12
    flatness = np.exp(np.log(spectra).mean(1)) / spectra.mean(1)
    centroid = (spectra * np.arange(spectra.shape[1])).sum(1) / spectra.sum(1)
    family = sounds.factors["family"].to_numpy()

    def typical(values, name):
        return np.median(values[family == name])

    assert typical(flatness, "tone") < typical(flatness, "noise") / 5
    assert typical(centroid, "wind") < typical(centroid, "rain") / 2
    assert typical(centroid, "membrane") < typical(centroid, "insects") / 2


def test_too_few_clips_are_refused():
    with pytest.raises(UserError, match="at least 16 clips"):
        SoundFamilies(clips=15)
