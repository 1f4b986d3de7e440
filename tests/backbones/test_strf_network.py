"""Networks behind five front ends: an impulse keeps its time, rows stay apart, what is learnt learns and no more."""

import numpy as np
import pytest
import torch

from audiointerp.activations.base import capture
from audiointerp.backbones.log_spectrogram import AXES, Bands, PowerSpectrogram, band_centres
from audiointerp.backbones.strf import GaborSTRF
from audiointerp.backbones.strf_network import FRONTS, Delays, FreeKernels, STRFNetwork
from audiointerp.study import UserError

SMALL = {"filters": 4, "frames": 11, "bins": 7, "features": 5, "hidden": 3, "segment_s": 0.5}


def network(front="learnt Gabor", **settings):
    return STRFNetwork(["a", "b", "c"], front=front, **{**SMALL, **settings})


def noise(count=3, seed=0, seconds=0.5):
    return 0.1 * torch.randn(count, round(16000 * seconds), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tau", [0.1, 0.2031, 0.25, 0.4999])
def test_an_impulse_at_a_time_peaks_at_its_frame(tau):
    """From the waveform through the spectrogram to the filters, within half a hop."""
    spectrogram = PowerSpectrogram(16000, 80)
    bands = Bands(band_centres(64, 125.0), 16000, spectrogram.points)
    waveform = 1e-4 * noise(1)
    waveform[0, round(tau * 16000)] = 1.0
    levels = bands(spectrogram(waveform))
    assert abs(int(levels.mean(2).argmax()) - tau * 80) <= 0.5 + 1e-6
    strf = GaborSTRF(8, frame_rate=80.0, frames=21, bins=9, output="magnitude", edges="zeros", seed=1)
    response = strf((levels - levels.mean((1, 2), keepdim=True)).square().detach())
    energy = response[0, :, :, 32].detach()
    middle = (energy**8 * torch.arange(energy.shape[1])).sum(1) / (energy**8).sum(1)
    assert float((middle - tau * 80).abs().max()) <= (0.5 if 0.15 < tau < 0.4 else 1.5)


def test_tones_lie_in_their_bands_and_frames_cover_the_sound():
    spectrogram = PowerSpectrogram(16000, 80)
    for axis in AXES:
        centres = band_centres(64, 125.0, axis=axis)
        bands = Bands(centres, 16000, spectrogram.points)
        assert torch.allclose(bands.weights().sum(0), torch.ones(64), atol=1e-3)
        for index in (10, 30, 60):
            tone = 0.5 * np.sin(2 * np.pi * centres[index] * np.arange(8000) / 16000)
            levels = bands(spectrogram(torch.from_numpy(tone.astype(np.float32))[None]))
            assert levels.shape == (1, 41, 64)
            assert abs(int(levels[0, 20].argmax()) - index) <= 1
    assert np.allclose(np.diff(np.log2(band_centres(5, 100.0, bins_per_octave=4.0))), 0.25)


@pytest.mark.parametrize("front", FRONTS)
def test_every_front_gives_logits_and_learns_what_it_should(front):
    model = network(front, recurrent=True)
    features = model.front_end(noise())
    model.fit_standardisation(features)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad], lr=0.02)
    for _ in range(2):
        optimizer.zero_grad()
        logits = model(features)
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
        optimizer.step()
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    learnt = {name for name, value in model.named_parameters() if value.requires_grad}
    assert logits.shape == (3, 3) and moved == learnt
    counts = model.learnt_parameters()
    expected = {"learnt Gabor": 16, "frozen Gabor": 0, "free convolution": 4 * 2 * 77, "bands only": 0}
    assert counts["front end"] == expected.get(front, 3 * 64)
    rows = [model(features[i : i + 1])[0] for i in range(3)]
    assert torch.allclose(torch.stack(rows), model(features), atol=1e-5)


def test_fronts_share_everything_behind_them():
    gabor, free = network("learnt Gabor"), network("free convolution")
    for name, value in gabor.head.state_dict().items():
        assert torch.equal(value, free.head.state_dict()[name])
    assert torch.equal(gabor.contraction.linear.weight, free.contraction.linear.weight)
    frozen = network("frozen Gabor")
    assert torch.equal(frozen.strf.kernels(), gabor.strf.kernels())


def test_learnt_bands_start_as_the_fixed_ones():
    fixed, learnt = network("bands only"), network("learnt bands")
    sounds = noise()
    features = fixed.front_end(sounds), learnt.front_end(sounds)
    for model, value in zip((fixed, learnt), features, strict=True):
        model.fit_standardisation(value)
    assert torch.allclose(fixed(features[0]), learnt(features[1]), atol=1e-4)
    levels = fixed.spectrogram(features[0])
    assert float(levels.mean((0, 1)).abs().max()) < 1e-4 and float(levels.std()) == pytest.approx(1.0, rel=0.01)


def test_free_kernels_correlate_as_gabor_filters_of_the_same_taps_do():
    gabor = GaborSTRF(4, frames=11, bins=7, output="magnitude")
    free = FreeKernels(4, 11, 7, "magnitude")
    kernels = gabor.kernels().detach()
    free.weight.data = torch.stack([kernels.real, kernels.imag], dim=1)
    assert torch.allclose(free.kernels(), kernels)
    assert torch.allclose(
        free(noise(2)[:, :600].reshape(2, 30, 20)), gabor(noise(2)[:, :600].reshape(2, 30, 20)), atol=1e-5
    )


def test_the_network_resumes_from_its_layers():
    for settings in ({}, {"per_frame": True, "recurrent": True}):
        model = network(**settings).eval()
        features = model.front_end(noise())
        with torch.no_grad(), capture(model, model.layers) as values:
            logits = model(features)
        assert logits.shape == ((3, 3, 41) if settings else (3, 3))
        for layer in model.layers:
            assert torch.equal(model.resume(layer, values[layer]), logits)
    with pytest.raises(UserError, match="expected a layer of strf, contraction, recurrence, got 'head'"):
        model.resume("head", features)


def test_an_untrained_one_is_of_the_same_kind_with_other_numbers():
    model = network(recurrent=True, per_frame=True)
    other = model.untrained(1)
    assert other.weights.sha256 != model.weights.sha256 == network(recurrent=True, per_frame=True).weights.sha256
    assert {name: value.shape for name, value in other.state_dict().items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }


def test_a_mel_axis_tells_its_density_above_1_khz():
    model = network(axis="mel")
    above = model.centres_hz[model.centres_hz > 1000]
    assert model.bins_per_octave == pytest.approx((len(above) - 1) / np.log2(above[-1] / above[0]), rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"front": "gabor"}, "expected a front end of learnt Gabor, frozen Gabor"),
        ({"output_names": []}, "at least one class, got none"),
        ({"bins_per_octave": 8.0}, "expected bands below 8000 Hz, got one at"),
        ({"frame_rate": 70}, "a frame_rate that divides 16000 Hz, got 70"),
        ({"axis": "bark"}, "expected an axis of log, mel, got 'bark'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        STRFNetwork(**{"output_names": ["a"], **SMALL, **settings})


def test_delayed_copies_stand_where_filters_would():
    delays = Delays(3, 11)
    spectrogram = torch.arange(20.0)[None, :, None].expand(1, 20, 2)
    given = delays(spectrogram)
    assert given.shape == (1, 3, 20, 2)
    assert torch.equal(given[0, 1], spectrogram[0])  # the middle one is not delayed
    assert given[0, 0, 10:, 0].tolist() == spectrogram[0, 5:15, 0].tolist()
    assert given[0, 2, :10, 0].tolist() == spectrogram[0, 5:15, 0].tolist()
    assert torch.equal(Delays(1, 11)(spectrogram)[:, 0], spectrogram)
    for output in ("magnitude", "concatenated"):
        counts = [network(front, output=output).learnt_parameters()["behind it"] for front in FRONTS]
        assert len(set(counts)) == 1
