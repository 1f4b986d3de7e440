"""The harmonic autoencoder: it sounds at the pitch that it is told, with the spectrum that is read off the code."""

import numpy as np
import pytest
import torch

from audiointerp.backbones.harmonic import PITCH_RANGE, PITCHES, HarmonicAutoencoder, pitch_targets
from audiointerp.probes.pitch import cents, estimate_pitch
from audiointerp.study import UserError

SMALL = {"channels": 4, "harmonics": 12, "width": 8, "filters": 8, "window": 512, "encoder_width": 8, "blocks": 1}


def codes_of(model, frames=40, seed=0):
    return torch.randn(1, model.channels, frames, generator=torch.Generator().manual_seed(seed))


def test_the_papers_note_has_the_papers_code():
    model = HarmonicAutoencoder()
    codes = model.encode(torch.zeros(1, 40_000))
    assert codes.shape == (1, 16, 78) and model.decode(codes).shape == (1, 78 * 512)


def without_noise(model):
    torch.nn.init.constant_(model.corrections[-1].bias[len(model.numbers) :], -50.0)
    return model


def flat(model):
    for layer in (model.straight_spectrum, model.spectrum[-1]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return model


@pytest.mark.parametrize("hz", [65.0, 220.0, 831.0, 2637.0])
def test_a_note_sounds_at_the_pitch_that_is_asked_for(hz):
    model = flat(without_noise(HarmonicAutoencoder(**SMALL)))
    codes = codes_of(model)
    with torch.no_grad():
        found, _ = estimate_pitch(model.sound(codes, torch.full((1, 40), hz)).numpy(), 16000)
    assert abs(cents(found, np.array([hz]))[0]) < 10


def test_a_glide_is_followed():
    model = flat(HarmonicAutoencoder(**SMALL))
    codes = codes_of(model)
    hz = torch.logspace(np.log10(200), np.log10(400), 40)[None]
    with torch.no_grad():
        sound = model.sound(codes, hz).numpy()
    for start in (4096, 14336):
        found, _ = estimate_pitch(sound[:, start : start + 2048], 16000)
        assert abs(cents(found, hz[0, start // 512 + 2].numpy())) < 60


def test_phases_run_on_from_frame_to_frame():
    model = without_noise(HarmonicAutoencoder(**SMALL | {"harmonics": 1}))
    with torch.no_grad():
        model.straight_spectrum.weight.zero_()
        sound = model.sound(torch.zeros(1, 4, 62), torch.full((1, 62), 500.0))[0, 2048:-2048].double()
    power = torch.fft.rfft(sound * torch.hann_window(len(sound), dtype=torch.float64)).abs().square()
    at = round(500 * len(sound) / 16000)
    assert power[at - 3 : at + 4].sum() / power.sum() > 1 - 1e-5


def test_partials_take_the_level_that_is_read_off_the_code():
    model = HarmonicAutoencoder(**SMALL)
    levels = torch.linspace(-2.0, -6.0, 80)[None, :, None].expand(1, 80, 3)
    at = torch.tensor([0.0, float(model.centres[10]), float(model.centres[40:42].mean()), 8000.0])
    found = model._levels_at(levels, at[None, :, None].repeat(1, 1, 3))[0, :, 1]
    assert torch.allclose(found, torch.tensor([-2.0, levels[0, 10, 0], levels[0, 40:42, 0].mean(), -6.0]), atol=1e-5)


def test_noise_fills_the_band_that_asks_for_it():
    model = HarmonicAutoencoder(**SMALL)
    gains = torch.zeros(1, 129, 100)
    gains[:, 32:48] = 1.0  # 2 to 3 kHz
    sound = model._noise(gains)[0]
    power = torch.fft.rfft(sound).abs().square()
    hz = torch.fft.rfftfreq(len(sound), 1 / 16000)
    assert len(sound) == 12800 and power[(hz > 1900) & (hz < 3100)].sum() / power.sum() > 0.97
    assert float(sound.square().mean()) == pytest.approx(1 / 8, rel=0.15)


def test_partials_above_the_range_are_left_out():
    model = without_noise(HarmonicAutoencoder(**SMALL))
    with torch.no_grad():
        sound = model.sound(codes_of(model), torch.full((1, 40), 2900.0))[0]
    power = torch.fft.rfft(sound * torch.hann_window(len(sound))).abs().square()
    hz = torch.fft.rfftfreq(len(sound), 1 / 16000)
    near = sum(power[(hz - k * 2900).abs() < 40].sum() for k in (1, 2))
    assert near / power.sum() > 0.999  # the third would lie at 8700 Hz and sound at 7300


def test_partials_that_a_jump_takes_out_of_range_are_left_out_around_it():
    model = HarmonicAutoencoder(**SMALL | {"harmonics": 48})
    hz = torch.cat([torch.full((1, 5), 150.0), torch.full((1, 5), 300.0)], 1)
    kept = model._below(hz, 40)[0]
    fine = torch.nn.functional.interpolate(hz[:, None].log2(), size=5120, mode="linear")[0, 0].exp2().view(40, 128)
    sounding = kept * torch.arange(1.0, 49.0)[:, None] * fine.amax(1)
    assert sounding.max() < 8000 and kept[:, 0].sum() == 48 and kept[:, -1].sum() == 25


def test_tone_and_noise_keep_time():
    model = HarmonicAutoencoder(**SMALL)
    amplitudes, gains = torch.zeros(1, 12, 41), torch.zeros(1, 129, 41)
    amplitudes[0, 2, 20], gains[0, :, 20] = 1.0, 1.0
    sounds = model._tone(amplitudes, torch.full((1, 41), 400.0)), model._noise(gains)
    for sound in sounds:
        power = sound[0].square()
        centre = (power * (torch.arange(len(power)) + 0.5)).sum() / power.sum()
        assert abs(centre - 20.5 * 128) < 12


def test_it_sounds_the_same_under_autocast():
    model = HarmonicAutoencoder(**SMALL)
    codes = codes_of(model, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model.sound(codes, torch.full((1, 8), 440.0))
    with torch.no_grad():
        true = model.sound(codes, torch.full((1, 8), 440.0))
    assert found.dtype == torch.float32 and (found - true).norm() < 0.05 * true.norm()


def test_pitches_are_read_between_quarter_tones(monkeypatch):
    model = HarmonicAutoencoder(**SMALL)
    hz = torch.tensor([[30.0, 110.0, 441.7, 2999.0]])
    shares = pitch_targets(hz)
    assert shares.shape == (1, PITCHES, 4) and torch.allclose(shares.sum(1), torch.ones(1, 4))
    monkeypatch.setattr(model, "pitch_logits", lambda codes: (shares + 1e-9).log())
    found = model.pitch(torch.zeros(1, 4, 4))
    assert (1200 * torch.log2(found / hz)).abs().max() < 0.5 and PITCH_RANGE[0] * 2 ** (PITCHES / 24) > PITCH_RANGE[1]


def test_a_code_has_one_sound_and_the_seed_gives_the_weights():
    one, same, other = (HarmonicAutoencoder(**SMALL, seed=seed) for seed in (3, 3, 4))
    codes = codes_of(one, 5)
    assert torch.equal(one.decode(codes), same.decode(codes)) and not torch.equal(
        one.decode(codes), other.decode(codes)
    )


def test_every_parameter_learns():
    model = HarmonicAutoencoder(**SMALL)
    torch.nn.init.normal_(model.corrections[-1].weight)
    codes = model.encode(0.1 * torch.randn(1, 5120))
    (model.decode(codes).square().sum() + model.sketch(codes).sum() + model.pitch_logits(codes)[:, 3].sum()).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hop": 500}, "model.control"),
        ({"harmonics": 0}, "model.harmonics"),
        ({"hop": 6, "control": 2}, "multiple of 4"),
        ({"channels": 0}, "model.channels"),
    ],
)
def test_sizes_that_cannot_be_are_refused(given, words):
    with pytest.raises(UserError, match=words):
        HarmonicAutoencoder(**SMALL | given)
