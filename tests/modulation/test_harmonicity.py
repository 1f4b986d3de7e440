"""Harmonicity: planted shares of pitch are recovered, level does not count; filters that follow it are found."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from audiointerp.modulation.harmonicity import follows, harmonicity


def sounds(pitch_hz, share, seed=0):
    """A harmonic complex and noise of a given share of the power."""
    t = torch.arange(8000) / 16000
    tone = sum(torch.sin(2 * torch.pi * pitch_hz * k * t + k) for k in range(1, 6))
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(seed))
    parts = [part / part.square().mean().sqrt() for part in (tone, noise)]
    return (share**0.5 * parts[0] + (1 - share) ** 0.5 * parts[1])[None]


@pytest.mark.parametrize("pitch_hz", [110.0, 220.0, 700.0])
def test_the_harmonic_share_of_the_power_is_recovered(pitch_hz):
    found = [float(harmonicity(sounds(pitch_hz, share), 16000)[0]) for share in (0.95, 0.8, 0.6)]
    assert found == pytest.approx([0.95, 0.8, 0.6], abs=0.06)
    assert float(harmonicity(sounds(pitch_hz, 0.0), 16000)[0]) < 0.35


def test_level_and_quiet_frames_do_not_count():
    sound = sounds(200.0, 0.9)
    assert harmonicity(1e-3 * sound, 16000) == pytest.approx(harmonicity(sound, 16000), abs=1e-6)
    half = torch.cat([sound, 1e-4 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))], dim=1)
    assert harmonicity(half, 16000) == pytest.approx(harmonicity(sound, 16000), abs=0.02)
    assert np.isnan(harmonicity(torch.zeros(1, 8000), 16000)[0])


def test_filters_that_follow_are_told_from_those_that_do_not():
    rng = np.random.default_rng(0)
    harmonic = rng.uniform(size=60)
    responses = rng.uniform(0.5, 1.0, (60, 4))
    responses[:, 0] += 3.0 * harmonic
    level = rng.uniform(0.1, 10.0, (60, 1))  # what all filters share is no preference
    found = follows(level * responses, harmonic)
    shares = responses / responses.sum(1, keepdims=True)
    assert found == pytest.approx([spearmanr(shares[:, k], harmonic).statistic for k in range(4)])
    assert found[0] > 0.8 and (found[1:] < 0).all()
    unknown = np.where(np.arange(60) < 50, harmonic, np.nan)
    assert follows(responses, unknown) == pytest.approx(follows(responses[:50], harmonic[:50]))
    assert follows(np.ones((5, 2)), np.arange(5.0)).tolist() == [0.0, 0.0]


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="of at least 640 samples, got"):
        harmonicity(torch.zeros(1, 100), 16000)
    with pytest.raises(ValueError, match="pitches of 50 Hz or more, low below high, got 20.0 and 1200.0"):
        harmonicity(torch.zeros(1, 8000), 16000, low_hz=20.0)
    with pytest.raises(ValueError, match="to three sounds or more"):
        follows(np.ones((4, 2)), [0.1, np.nan, np.nan, 0.2])
    with pytest.raises(ValueError, match="a harmonicity of each"):
        follows(np.ones((4, 2)), [0.1, 0.2])
