"""Pitch by YIN: right on tones with and without their fundamental, doubtful on noise."""

import numpy as np
import pytest
import torch

from audiointerp.probes.pitch import CLEAR, cents, estimate_pitch, track_pitch

T = np.arange(16000) / 16000


@pytest.mark.parametrize("hz", [41.2, 110.0, 440.0, 1318.5])
def test_harmonic_tones_are_found_within_a_few_cents(hz):
    rng = np.random.default_rng(0)
    tone = sum(np.sin(2 * np.pi * hz * k * T + rng.uniform(0, 6)) / k for k in range(1, 6))
    missing = sum(np.sin(2 * np.pi * hz * k * T + rng.uniform(0, 6)) for k in range(2, 6))
    found, doubt = estimate_pitch(np.stack([tone, missing]).astype(np.float32), 16000)
    assert np.abs(cents(found, hz)).max() < (5 if hz < 1000 else 15) and doubt.max() < 0.1


def test_noise_is_told_by_its_aperiodicity():
    noise = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32)
    assert estimate_pitch(noise, 16000)[1].min() > 0.5


def test_a_batch_does_not_change_a_note():
    tones = np.stack([np.sin(2 * np.pi * hz * T) for hz in (100, 200, 300)]).astype(np.float32)
    together, alone = estimate_pitch(tones, 16000)[0], estimate_pitch(tones[1:2], 16000)[0]
    assert together[1] == pytest.approx(alone[0], rel=1e-12)


def test_too_short_notes_and_empty_ranges_are_refused():
    with pytest.raises(ValueError, match="at least"):
        estimate_pitch(np.zeros((1, 500), np.float32), 16000)
    with pytest.raises(ValueError, match="below 8000 Hz"):
        estimate_pitch(np.zeros((1, 16000), np.float32), 16000, highest_hz=9000)


@pytest.mark.parametrize("hop", [512, 2048])
def test_frames_have_pitches_of_their_own(hop):
    halves = np.concatenate([np.sin(2 * np.pi * 220 * T[:8192]), 0.1 * np.sin(2 * np.pi * 500 * T[:8192])])
    hz, aperiodicity, power = track_pitch(torch.from_numpy(halves)[None].float(), 16000, hop)
    frames = 16384 // hop
    assert hz.shape == aperiodicity.shape == power.shape == (1, frames) and hz.dtype == torch.float32
    edge = -(-1072 // hop)  # frames that hold samples of both halves, or of what lies outside
    inside = np.r_[edge : frames // 2 - edge, frames // 2 + edge : frames - edge]
    true = np.where(inside < frames // 2, 220.0, 500.0)
    assert np.abs(cents(hz[0, inside].numpy(), true)).max() < 5 and (aperiodicity[0, inside] < CLEAR).all()
    assert torch.allclose(power[0, inside], torch.from_numpy(np.where(true == 220, 0.5, 0.005)).float(), rtol=0.1)


@pytest.mark.parametrize("hz", [1975.5, 2489.0, 2960.0])
def test_high_tones_are_not_taken_for_their_subharmonics(hz):
    tones = [sum(np.sin(2 * np.pi * hz * k * T + k) / k for k in range(1, top + 1)) for top in (1, 2)]
    waveforms = np.stack(tones).astype(np.float32)
    assert np.abs(cents(estimate_pitch(waveforms, 16000)[0], hz)).max() < 10
    found = track_pitch(torch.from_numpy(waveforms[:, :15872]), 16000, 512)[0][:, 4:-4]
    assert np.abs(cents(found.numpy(), hz)).max() < 10


def test_what_does_not_move_has_neither_pitch_nor_power():
    hz, aperiodicity, power = track_pitch(torch.full((1, 4096), 0.5), 16000, 512)
    inside = slice(3, 5)
    assert (aperiodicity[0, inside] == 1).all() and (power[0, inside] == 0).all() and (hz <= 3000).all()


@pytest.mark.parametrize("hop", [512, 4096])
def test_a_frame_lies_on_the_middle_of_its_hop(hop):
    def heard(offset):
        waveform = torch.zeros(1, 4 * hop)
        centre = 2 * hop + hop // 2 + offset
        waveform[0, centre - 10 : centre + 10] = torch.linspace(-1, 1, 20)
        return float(track_pitch(waveform, 16000, hop)[2][0, 2])

    assert heard(-520) == pytest.approx(heard(520)) and heard(0) == pytest.approx(heard(520)) and heard(0) > 0
    assert heard(-560) == heard(560) == 0


def test_pitch_is_tracked_on_the_device_of_the_waveforms():
    found = track_pitch(torch.zeros(2, 2048, device="meta"), 16000, 512)
    assert all(part.device.type == "meta" and part.shape == (2, 4) for part in found)
