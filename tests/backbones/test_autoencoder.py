"""Autoencoders: lengths, seeds, and a WaveNet whose cached generation is the full network's."""

import numpy as np
import pytest
import torch

from audiointerp.backbones.autoencoder import Autoencoder, Filterbank
from audiointerp.backbones.wavenet import WaveNetAutoencoder, mu_law_classes, mu_law_samples
from audiointerp.study import UserError

SMALL = {"strides": [4, 4, 8], "widths": [8, 8, 8], "filters": 8, "window": 128, "encoder_width": 8, "blocks": 1}
NOTE = {"hop": 16, "width": 4, "skip": 6, "layers": 3, "stacks": 2, "channels": 3}


def test_the_papers_note_has_the_papers_code():
    model = Autoencoder()
    codes = model.encode(torch.zeros(1, 40_000))
    assert codes.shape == (1, 16, 78) and model.decode(codes).shape == (1, 78 * 512)


@pytest.mark.parametrize(("strides", "length"), [([4, 4, 8], 1000), ([5, 4], 100), ([4, 3, 1], 77)])
def test_any_hop_gives_whole_hops(strides, length):
    model = Autoencoder(**SMALL | {"strides": strides, "widths": [8] * len(strides), "channels": 5})
    frames = length // model.hop
    assert model.hop == np.prod(strides) and model.encode(torch.zeros(2, length)).shape == (2, 5, frames)
    assert model(torch.zeros(2, length)).shape == (2, frames * model.hop)


def test_the_seed_is_what_weights_come_from():
    one, same, other = Autoencoder(**SMALL, seed=3), Autoencoder(**SMALL, seed=3), Autoencoder(**SMALL, seed=4)
    x = torch.randn(1, 1280, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.encode(x), same.encode(x)) and not torch.equal(one.encode(x), other.encode(x))


def test_the_filterbank_starts_out_deaf_to_phase():
    bank = Filterbank(16, 512, 64, 16000)
    t = torch.arange(4096) / 16000
    tones = torch.stack([torch.sin(2 * torch.pi * 500 * t + phase) for phase in (0.0, 0.7, 1.6)])
    levels = bank(tones)[:, :, 10:-10]
    loudest = levels.mean((0, 2)).argmax()
    assert (levels[1:] - levels[:1])[:, loudest].abs().max() < 0.01
    assert levels[0, loudest].mean() - levels[0].mean(1).median() > 1


def test_every_parameter_learns():
    model = Autoencoder(**SMALL)
    codes = model.encode(torch.randn(1, 1280))
    (model.decode(codes).square().sum() + model.sketch(codes).sum()).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"channels": 0}, "model.channels"),
        ({"widths": [8, 8]}, "one of model.widths"),
        ({"strides": [3, 1, 1]}, "multiple of 4"),
        ({"window": 16}, "model.window"),
        ({"kernel": 4}, "model.kernel"),
    ],
)
def test_sizes_that_cannot_be_are_refused(given, words):
    with pytest.raises(UserError, match=words):
        Autoencoder(**SMALL | given)


def test_a_sound_shorter_than_a_hop_is_refused():
    with pytest.raises(ValueError, match="L >= 128"):
        Autoencoder(**SMALL).encode(torch.zeros(1, 100))


def test_mu_law_goes_and_comes_back():
    x = torch.linspace(-1, 1, 1001)
    back = mu_law_samples(mu_law_classes(x))
    assert (back - x).abs().max() < 0.025 and (back - x).abs()[490:511].max() < 4e-4
    assert torch.equal(mu_law_classes(mu_law_samples(torch.arange(256))), torch.arange(256))


def test_cached_generation_is_the_full_network_sample_by_sample():
    model = WaveNetAutoencoder(**NOTE, seed=1).eval()
    codes = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    seen = []

    def choose(logits):
        seen.append(logits)
        return logits.argmax(1)

    with torch.no_grad():
        samples = model.decoder.generate(codes, model.hop, choose)
        logits = model.decoder(samples, codes)
    assert samples.shape == (2, 80)
    assert torch.allclose(torch.stack(seen, dim=2), logits, atol=1e-5)


def test_the_decoder_never_sees_the_sample_that_it_predicts():
    model = WaveNetAutoencoder(**NOTE).eval()
    codes = torch.zeros(1, 3, 4)
    x = torch.zeros(1, 64, requires_grad=True)
    model.decoder(x, codes)[0, :, 40].sum().backward()
    moved = x.grad[0].abs() > 0
    assert moved[:40].any() and not moved[40:].any()


def test_drawn_samples_come_from_the_seed():
    model = WaveNetAutoencoder(**NOTE, seed=2).eval()
    codes = torch.zeros(1, 3, 4)
    assert torch.equal(model.decode(codes), model.decode(codes))
    quiet = WaveNetAutoencoder(**NOTE, seed=2, draws=False).eval()
    assert not torch.equal(model.decode(codes), quiet.decode(codes))


def test_a_wavenet_without_layers_is_refused():
    with pytest.raises(UserError, match="layers"):
        WaveNetAutoencoder(**NOTE | {"layers": 0})
