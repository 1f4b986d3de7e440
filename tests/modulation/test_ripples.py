"""Ripples carry the modulations that they were made with, and filters and networks find them."""

import numpy as np
import pytest
import torch
from torch import nn

from audiointerp.backbones.strf import GaborSTRF, Tuning
from audiointerp.modulation.filters import fold, measured_tuning
from audiointerp.modulation.layers import ripple_responses
from audiointerp.modulation.ripples import ripple_sound, ripple_spectrogram
from audiointerp.modulation.spectrum import modulation_spectrum

SHAPE = {"frames": 100, "bins": 60, "frame_rate": 100.0, "bins_per_octave": 10.0}


@pytest.mark.parametrize(("omega", "big_omega"), [(8.0, 1.0), (8.0, -1.0), (20.0, 0.5), (4.0, 2.0)])
def test_a_ripple_spectrogram_holds_one_modulation(omega, big_omega):
    ripple = ripple_spectrogram(omega, big_omega, phase=0.7, **SHAPE)
    spectrum = modulation_spectrum([ripple], 100.0, 10.0)
    i, j = np.unravel_index(spectrum.power.argmax(), spectrum.power.shape)
    assert spectrum.omega[i] == pytest.approx(omega) and spectrum.Omega[j] == pytest.approx(big_omega, abs=0.1)


@pytest.mark.parametrize(("omega", "big_omega"), [(6.0, 0.8), (6.0, -0.8)])
def test_a_ripple_sound_has_the_level_course_of_its_tones(omega, big_omega):
    sound = ripple_sound(omega, big_omega, tones_per_octave=4, octaves=4.0, low_hz=250.0)
    assert sound.dtype == np.float32 and len(sound) == 16000 and np.abs(sound).max() == pytest.approx(0.5)
    t = np.arange(16000) / 16000
    phases = []
    for octave in (0.0, 1.0, 2.0):  # demodulate single tones
        tone = sound * np.exp(-2j * np.pi * 250.0 * 2**octave * t)
        smooth = np.convolve(tone, np.hanning(800) / 400, mode="same")[2000:-2000]
        level = np.abs(smooth) - np.abs(smooth).mean()
        wave = np.exp(-2j * np.pi * omega * t[2000:-2000])
        phases.append(np.angle((level * wave).sum()))
    turns = np.angle(np.exp(1j * (np.diff(phases) - 2 * np.pi * big_omega)))
    assert np.abs(turns).max() < 0.3


def test_planted_ripples_are_recovered_by_filters_that_learn():
    """Filters of unit norm that are trained to answer to a ripple in noise end within 10 % of it."""
    planted = [(6.0, 0.9), (15.0, -0.6)]
    generator = torch.Generator().manual_seed(0)
    strf = GaborSTRF(2, frames=61, bins=31, output="magnitude", zero_mean=True, unit_norm=True)
    wide = torch.ones(2)
    strf.set_tuning(Tuning(torch.tensor([9.0, 11.0]), torch.tensor([0.6, -1.0]), 0.05 * wide, 0.25 * wide))
    optimizer = torch.optim.Adam(strf.parameters(), lr=0.03)
    ripples = torch.from_numpy(np.stack([ripple_spectrogram(*modulation, **SHAPE) for modulation in planted]))
    for _ in range(60):
        optimizer.zero_grad()
        heard = ripples[:, 10:80, 10:50] + 0.5 * torch.randn(2, 70, 40, generator=generator)
        response = strf(heard).mean((2, 3))
        (-response[0, 0] - response[1, 1]).backward()
        optimizer.step()
    tuning = strf.tuning()
    declared = fold(tuning.omega.detach(), tuning.Omega.detach())
    measured = measured_tuning(strf.kernels().detach().numpy(), 100.0, 10.0)
    for found in (declared, measured):
        assert np.allclose(found[0], [6.0, 15.0], rtol=0.1) and np.allclose(found[1], [0.9, -0.6], rtol=0.1)


class Convolution(nn.Module):
    """One convolution with the real parts of planted kernels, a rectifier, and another layer."""

    def __init__(self, kernels):
        super().__init__()
        self.first = nn.Conv2d(1, len(kernels), kernels.shape[1:], bias=False)
        self.first.weight.data = kernels.real[:, None].clone()
        self.second = nn.Sequential(nn.ReLU(), nn.Conv2d(len(kernels), 3, 1))

    def forward(self, spectrograms):
        return self.second(self.first(spectrograms)).mean((2, 3))


def test_layers_of_a_network_answer_to_the_ripples_planted_in_their_kernels():
    strf = GaborSTRF(3, frames=41, bins=21, unit_norm=True)
    wide = torch.ones(3)
    strf.set_tuning(Tuning(torch.tensor([6.0, 12.0, -12.0]), torch.tensor([1.0, 0.6, 0.6]), 0.065 * wide, 0.3 * wide))
    network = Convolution(strf.kernels().detach()).eval()
    layers = {"first": network.first, "second": network.second}
    grid = {"omega": [3.0, 6.0, 12.0, 24.0], "Omega": [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]}
    responses = ripple_responses(network, layers, **grid, **{**SHAPE, "bins": 40})
    omega, big_omega = responses["first"].best()
    assert omega.tolist() == [6.0, 12.0, 12.0] and big_omega.tolist() == [1.0, 0.6, -0.6]
    assert responses["second"].response.shape == (3, 4, 6)
    assert (responses["first"].response > 0).all()
    assert not network.first._forward_hooks


def test_a_network_that_hears_nothing_answers_to_no_ripple():
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    nn.init.zeros_(network[0].weight)
    given = ripple_responses(network, {"all": network[0]}, omega=[4.0], Omega=[1.0], **SHAPE)
    assert (given["all"].response == 0).all()


def test_what_cannot_be_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(6000, 2))
    with pytest.raises(ValueError, match=r"output of last to have shape \(B, C, T, F\), got \(1, 2\)"):
        ripple_responses(network, {"last": network[1]}, omega=[4.0], Omega=[1.0], **SHAPE)
    with pytest.raises(ValueError, match="at least one temporal and one spectral modulation"):
        ripple_responses(network, {"last": network[1]}, omega=[], Omega=[1.0], **SHAPE)
    with pytest.raises(ValueError, match="tones below 8000 Hz, got up to 16000 Hz"):
        ripple_sound(4.0, 1.0, low_hz=250.0, octaves=6.0)
    with pytest.raises(ValueError, match="at least 8 tones per octave"):
        ripple_sound(4.0, -4.0, tones_per_octave=5)
    with pytest.raises(ValueError, match=r"a depth in \[0, 1\], got 1.5"):
        ripple_sound(4.0, 1.0, depth=1.5)
