"""Clips are cut and padded as said, with noise that sounds like the clip's own floor."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.data import segments
from audiointerp.data.base import Sounds
from audiointerp.study import UserError


class Arrays(Sounds):
    """Sounds from arrays that counts how often a clip is asked for."""

    sample_rate = 16000

    def __init__(self, waves):
        self.waves = [np.asarray(w, np.float32) for w in waves]
        self.factors = pd.DataFrame({"x": [str(i % 2) for i in range(len(waves))]})
        self.lengths = np.array([len(w) for w in waves])
        self.clip_keys = [str(hash(w.tobytes())) for w in self.waves]
        self.preprocessing, self.asked = {}, []

    def waveform(self, i):
        self.asked.append(i)
        return self.waves[i].copy()


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


def test_table_and_batch():
    sounds = Arrays([noise(2500), noise(600, 1), noise(1000, 2)])
    cut = segments.Segments(sounds, 1000, 500, pad="zeros")
    assert cut.table["clip"].tolist() == [0, 0, 0, 0, 1, 2]
    assert cut.table.start_s.tolist() == [0, 500 / 16000, 1000 / 16000, 1500 / 16000, 0, 0]
    assert cut.table.padded_share.tolist() == [0, 0, 0, 0, 0.4, 0]
    batch = cut.batch([4, 3, 0])
    assert batch.shape == (3, 1000) and str(batch.dtype) == "torch.float32"
    assert np.array_equal(batch[0], np.pad(sounds.waves[1], (0, 400)))
    assert np.array_equal(batch[1], sounds.waves[0][1500:2500])
    assert sorted(sounds.asked) == [0, 1]
    with pytest.raises(IndexError, match="expected segments in"):
        cut.batch([6])
    with pytest.raises(IndexError, match="expected segments in"):
        cut.batch([-1])


def test_an_incomplete_tail_is_dropped():
    assert len(segments.Segments(Arrays([noise(1999)]), 1000)) == 1
    assert len(segments.Segments(Arrays([noise(2000)]), 1000)) == 2


def test_arguments_are_checked():
    for length, hop in [(0, 10), (10, 0)]:
        with pytest.raises(UserError, match="positive length"):
            segments.Segments(Arrays([noise(20)]), length, hop)
    with pytest.raises(UserError, match="floor, zeros, repeat"):
        segments.Segments(Arrays([noise(20)]), 10, pad="mirror")


def test_fingerprint_follows_sounds_length_hop_and_pad():
    a, b = Arrays([noise(100)]), Arrays([noise(100, 1)])
    prints = [segments.Segments(a, *rest).fingerprint for rest in [(50,), (40,), (50, 10), (50, 50, "zeros")]]
    prints.append(segments.Segments(b, 50).fingerprint)
    assert len(set(prints)) == 5
    assert segments.Segments(Arrays([noise(100)]), 50).fingerprint == prints[0]


def test_repeat():
    assert segments.pad_to(np.arange(3, dtype=np.float32), 7, 16000, "repeat").tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_floor_has_level_and_spectrum_of_the_quiet_part_only():
    rng = np.random.default_rng(0)
    quiet = np.convolve(rng.normal(0, 0.003, 16000), np.ones(8) / np.sqrt(8), "same")  # low-pass
    clip = quiet.copy()
    clip[:10000] += 0.4 * np.sin(2 * np.pi * 3000 * np.arange(10000) / 16000)
    floor = segments.noise_floor(clip.astype(np.float32), 16000, 16000)
    assert floor.std() == pytest.approx(quiet.std(), rel=0.25)

    def bands(x):
        power = np.abs(np.fft.rfft(x)) ** 2
        return np.array([part.mean() for part in np.array_split(power, 8)])

    assert np.abs(10 * np.log10(bands(floor) / bands(quiet))).max() < 3


def test_floor_is_the_clips_own_and_repeats():
    a = segments.noise_floor(noise(4000), 500, 16000)
    assert np.array_equal(a, segments.noise_floor(noise(4000), 500, 16000))
    assert not np.array_equal(a, segments.noise_floor(noise(4000, 1), 500, 16000))
    assert abs(np.corrcoef(a, noise(4000)[:500])[0, 1]) < 0.2


@pytest.mark.parametrize("n", [2, 50, 400, 401])
def test_floor_of_very_short_clips_is_finite(n):
    padded = segments.pad_to(noise(n), 15600, 16000, "floor")
    assert padded.shape == (15600,) and padded.dtype == np.float32 and np.isfinite(padded).all()
    assert np.array_equal(padded[:n], noise(n))
    assert padded[n:].std() > 0


def test_the_floor_of_digital_silence_is_silence():
    clip = np.concatenate([noise(4000), np.zeros(4000, np.float32)])
    assert not segments.noise_floor(clip, 100, 16000).any()
