"""Autoencoders learn, come from the cache, and say what is wrong; spectra and distances are what they say."""

from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.backbones.autoencoder import Autoencoder
from audiointerp.backbones.harmonic import HarmonicAutoencoder
from audiointerp.backbones.wavenet import WaveNetAutoencoder
from audiointerp.probes.pitch import cents, estimate_pitch
from audiointerp.study import UserError
from audiointerp.training.autoencode import CropBatches, repetition
from audiointerp.training.fit_autoencoder import AutoencoderSettings, fit_autoencoder
from audiointerp.training.spectral import frame_spectra, log_mel, log_mel_distance, magnitudes, spectral_distance

SMALL = {"strides": [4, 4, 8], "widths": [16, 8, 8], "filters": 16, "window": 256, "encoder_width": 16, "blocks": 1}
TRAINER = partial(
    pl.Trainer, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    num_sanity_val_steps=0,
)  # fmt: skip
QUICK = AutoencoderSettings(steps=60, batch=4, crop_s=0.128, learning_rate=5e-3, sketch_share=0.2, validations=2)
T = np.arange(4096) / 16000
NOTES = np.stack([0.4 * np.sin(2 * np.pi * hz * T) for hz in np.geomspace(200, 1600, 24)]).astype(np.float32)
TRAIN, SELECT = np.arange(0, 24, 2), np.arange(1, 24, 4)


def fit(tmp_path, network=None, settings=QUICK, notes=NOTES, train=TRAIN, seed=0, **more):
    network = network or Autoencoder(**SMALL, channels=4)
    return fit_autoencoder(
        network, TRAINER, notes, train, SELECT, settings, seed=seed, folder=tmp_path, cache=tmp_path / "cache", **more
    )


def test_it_learns_and_the_cache_gives_the_same_weights(tmp_path):
    before = Autoencoder(**SMALL, channels=4)
    steps = []
    first = fit(tmp_path, advance=steps.append)
    x = torch.from_numpy(NOTES[SELECT])
    with torch.no_grad():
        assert spectral_distance(x, first.network(x)) < 0.8 * spectral_distance(x, before(x))
    assert sum(steps) == 60 and first.history[-1]["step"] == 60
    again = fit(tmp_path)
    assert again.history == first.history and len(list((tmp_path / "cache" / "models").glob("*/manifest.json"))) == 1
    assert (again.encode(NOTES) == first.encode(NOTES)).all()


def test_another_seed_or_note_is_trained_anew(tmp_path):
    short = AutoencoderSettings(steps=2, batch=2, crop_s=0.064, validations=1)
    fit(tmp_path, settings=short)
    fit(tmp_path, settings=short, seed=1)
    changed = NOTES.copy()
    changed[TRAIN[3], 5] += 0.1
    fit(tmp_path, settings=short, notes=changed)
    assert len(list((tmp_path / "cache" / "models").glob("*/manifest.json"))) == 3


def test_the_same_seed_gives_the_same_bits(tmp_path):
    short = AutoencoderSettings(steps=4, batch=2, crop_s=0.064, validations=2)
    one, two = fit(tmp_path / "a", settings=short), fit(tmp_path / "b", settings=short)
    assert (one.decode(one.encode(NOTES)) == two.decode(two.encode(NOTES))).all()


def test_a_wavenet_learns_its_classes(tmp_path):
    network = WaveNetAutoencoder(hop=128, width=8, skip=8, layers=4, channels=4)
    settings = AutoencoderSettings(steps=40, batch=4, crop_s=0.064, learning_rate=1e-2, validations=4)
    fitted = fit(tmp_path, network, settings)
    losses = [entry["val_loss"] for entry in fitted.history]
    assert losses[-1] < losses[0] < 6 and losses[-1] < np.log(256)


def test_a_harmonic_autoencoder_keeps_the_pitch_of_notes_that_it_has_not_heard(tmp_path):
    sizes = {"channels": 6, "hop": 128, "harmonics": 8, "width": 16, "filters": 48, "window": 512, "encoder_width": 16}
    notes = np.stack([0.4 * np.sin(2 * np.pi * hz * T) for hz in np.geomspace(200, 800, 48)]).astype(np.float32)
    settings = AutoencoderSettings(steps=150, batch=8, crop_s=0.128, learning_rate=5e-3, pitch=0.3, validations=1)
    fitted = fit(tmp_path, HarmonicAutoencoder(**sizes, blocks=1), settings, notes, np.setdiff1d(np.arange(48), SELECT))
    found, _ = estimate_pitch(fitted.decode(fitted.encode(notes[SELECT])), 16000, lowest_hz=60)
    assert np.median(np.abs(cents(found, np.geomspace(200, 800, 48)[SELECT]))) < 50


def test_silence_does_not_outweigh_sound():
    note = torch.from_numpy(NOTES[:1])
    quiet = spectral_distance(torch.zeros_like(note), 1e-3 * note)
    assert quiet < spectral_distance(torch.from_numpy(NOTES[20:21]), note)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train": np.array([], int)}, "role 'train'"),
        ({"settings": AutoencoderSettings(steps=1, crop_s=0.001)}, "at least one hop"),
        ({"settings": AutoencoderSettings(steps=20, batch=2, learning_rate=1e12, validations=1)}, "learning_rate"),
    ],
)
def test_what_cannot_be_trained_says_why(tmp_path, given, words):
    with pytest.raises(UserError, match=words):
        fit(tmp_path, **given)


def test_settings_are_checked():
    with pytest.raises(UserError, match="steps of 1"):
        AutoencoderSettings(steps=0)


def test_crops_come_from_seed_and_epoch():
    def drawn(seed, epoch):
        return torch.stack(list(CropBatches(NOTES, TRAIN, 3, 1000, [2, 2], seed, epoch=lambda: epoch)))

    assert torch.equal(drawn(0, 0), drawn(0, 0)) and drawn(0, 0).shape == (2, 3, 1000)
    assert not torch.equal(drawn(0, 0), drawn(0, 1)) and not torch.equal(drawn(0, 0), drawn(1, 0))


def test_magnitudes_are_one_for_a_full_scale_sine():
    tone = torch.from_numpy(np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000).astype(np.float32))[None]
    assert magnitudes(tone, 512).max() == pytest.approx(1.0, abs=0.01)
    assert frame_spectra(tone[:, :7680], 16000, 512, 80).max() == pytest.approx(0.0, abs=0.3)
    assert log_mel(tone, 16000).max() == pytest.approx(0.0, abs=2.0)


def test_distances_grow_with_difference_and_need_one_shape():
    x = torch.from_numpy(NOTES[:1])
    near, far = x * 0.9, torch.from_numpy(NOTES[20:21])
    assert spectral_distance(x, near) < spectral_distance(x, far)
    assert log_mel_distance(x, near, 16000) < log_mel_distance(x, far, 16000)
    assert log_mel_distance(x, x, 16000).tolist() == [0.0]
    for distance in (spectral_distance, partial(log_mel_distance, sample_rate=16000)):
        with pytest.raises(ValueError, match="one shape"):
            distance(x, x[:, :-1])


def test_repeated_channels_are_told():
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(4, 3, 200, generator=rng)
    assert repetition(codes) < 0.05 and repetition(codes[:, [0, 0, 1]]) > 0.3
