"""Fitting networks: cached by what they depend on, the same bits again, gone on with after a stop."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.backbones.depths import Readers
from audiointerp.data.augment import Augmentation
from audiointerp.data.crops import Clips
from audiointerp.study import UserError
from audiointerp.training import fit_network
from audiointerp.training.fit_network import NetworkSettings, Workshop
from tests.training.two_processes import NETWORK, Noises

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SETTINGS = NetworkSettings(
    steps=6, batch=8, crop_s=0.0625, learning_rate=1e-2, projection=(8, 8), augmentation=Augmentation(mixup=0.2)
)
TARGETS = torch.arange(24) % 2
TRAIN, TEST = np.arange(16), np.array([23, 16, 20, 17])


def trainer(**given):
    return functools.partial(
        pl.Trainer,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **given,
    )


def network(seed=0):
    return CNN12(output_names=["smooth", "rough"], seed=seed, **NETWORK)


@pytest.fixture
def shop(tmp_path):
    return Workshop(trainer(), tmp_path / "run", tmp_path / "cache")


@pytest.fixture
def clips():
    return Clips(Noises(24), 500)


def recognise(shop, clips, settings=SETTINGS, seed=0, first=None, train=TRAIN, test=TEST, targets=TARGETS):
    return shop.recognition(first or network(), clips, targets, train, test, settings, seed=seed, name="net")


def stored(shop):
    return sorted(path.parent.name for path in shop.cache.glob("models/*/manifest.json"))


def test_logits_come_in_the_order_asked_for_and_are_those_of_the_network(shop, clips):
    fitted = recognise(shop, clips)
    with torch.no_grad():
        each = [fitted.network(fitted.network.front_end(torch.from_numpy(clips[i])[None]))[0] for i in TEST]
    torch.testing.assert_close(fitted.logits, torch.stack(each))
    assert {"clips_per_s", "waiting_share", "processor_s", "peak_memory_mb"} == set(fitted.facts)
    assert np.isfinite(fitted.loss) and not fitted.network.training


def test_what_was_fitted_is_found_again_and_any_change_is_not(shop, clips, monkeypatch):
    first = recognise(shop, clips)
    monkeypatch.setattr(fit_network.pl.Trainer, "fit", lambda *_, **__: 1 / 0)
    again = recognise(shop, clips)
    assert torch.equal(first.logits, again.logits) and again.facts == first.facts
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True))
    changed = [
        {"settings": replace(SETTINGS, steps=7)},
        {"settings": replace(SETTINGS, augmentation=Augmentation(noise=None))},
        {"seed": 1},
        {"first": network(1)},
        {"train": TRAIN[:-1]},
        {"test": TEST[:-1]},
        {"targets": 1 - TARGETS},
    ]
    for change in changed:
        with pytest.raises(ZeroDivisionError):
            recognise(shop, clips, **change)
    with pytest.raises(ZeroDivisionError):
        recognise(replace(shop, trainer=trainer(gradient_clip_val=1.0)), clips)
    recognise(shop, clips, replace(SETTINGS, resume_every=3, num_workers=2))
    recognise(replace(shop, trainer=trainer(log_every_n_steps=3)), clips)


def test_contrast_does_not_touch_what_it_is_given(shop, clips):
    first = network()
    before = first.embed.weight.clone()
    fitted = shop.contrast(first, clips, TRAIN, SETTINGS, seed=0, name="c")
    assert torch.equal(first.embed.weight, before) and not torch.equal(fitted.network.embed.weight, before)
    assert fitted.logits is None and len(stored(shop)) == 1
    again = shop.contrast(first, clips, TRAIN, SETTINGS, seed=0, name="c")
    assert torch.equal(again.network.embed.weight, fitted.network.embed.weight)


def test_readers_of_all_depths_learn_as_each_would_alone(shop, clips):
    settings = replace(SETTINGS, augmentation=Augmentation())
    names = ["block1", "block2", "embedding"]
    together = recognise(shop, clips, settings, first=Readers(network(), names, ["a", "b"], 0))
    assert together.logits.shape == (3, 4, 2)
    for place, name in enumerate(names):
        alone = recognise(shop, clips, settings, first=Readers(network(), [name], ["a", "b"], 0))
        torch.testing.assert_close(alone.logits[0], together.logits[place], rtol=1e-4, atol=1e-5)
    frozen = together.network.network
    assert all(torch.equal(a, b) for a, b in zip(frozen.parameters(), network().parameters(), strict=True))


def test_a_stopped_training_goes_on_to_the_same_bits(shop, clips, tmp_path):
    settings = replace(SETTINGS, steps=8, resume_every=2)
    whole = recognise(shop, clips, settings)

    class Stop(Exception):
        pass

    class Stopper(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 5:
                raise Stop

    other = replace(shop, cache=tmp_path / "other")

    def stopping(**given):
        made = trainer()(**given)
        made.callbacks.append(Stopper())
        return made

    stopping.keywords = trainer().keywords
    with pytest.raises(Stop):
        recognise(replace(other, trainer=stopping), clips, settings)
    (left,) = other.cache.glob("models/*/resume/*.ckpt")
    seen = []

    def watching(**given):
        made = trainer()(**given)
        fit = made.fit
        made.fit = lambda *a, **k: (seen.append(k.get("ckpt_path")), fit(*a, **k))[1]
        return made

    watching.keywords = trainer().keywords
    gone_on = recognise(replace(other, trainer=watching), clips, settings)
    assert seen == [str(left)] and not left.exists()
    for a, b in zip(whole.network.parameters(), gone_on.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(whole.logits, gone_on.logits)


def test_weights_are_saved_on_a_schedule(shop, clips):
    recognise(shop, clips, replace(SETTINGS, saved_steps=(0, 2, 6)))
    names = sorted(path.name for path in (shop.folder / "checkpoints" / "net").iterdir())
    assert names == ["step-00000000.pt", "step-00000002.pt", "step-00000006.pt"]


def test_the_manifest_is_written_last(shop, clips, monkeypatch):
    monkeypatch.setattr(fit_network, "write_atomically", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recognise(shop, clips)
    monkeypatch.undo()
    assert stored(shop) == []
    recognise(shop, clips)
    (manifest,) = shop.cache.glob("models/*/manifest.json")
    assert set(json.loads(manifest.read_text())) == {"loss", "facts"}


def test_divergence_is_told(shop, clips):
    with pytest.raises(
        UserError, match="training of net diverged with a learning rate of 1e\\+30: lower study.training"
    ):
        recognise(shop, clips, replace(SETTINGS, learning_rate=1e30, steps=12))


def test_crops_that_are_too_short_for_the_network_are_refused(shop, clips):
    with pytest.raises(
        UserError, match=r"crop_s of at least 0.002 s \(16 samples, the shortest that CNN12 takes\), got 0.001"
    ):
        recognise(shop, clips, replace(SETTINGS, crop_s=0.001))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "expected steps of 1 or more in NetworkSettings, got 0"),
        ({"batch": 1}, "expected batch of 2 or more"),
        ({"crop_s": 0.0}, "expected crop_s above 0 in NetworkSettings, got 0.0"),
        ({"temperature": -1.0}, "expected temperature above 0"),
        ({"learning_rate": 0.0}, "expected learning_rate above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        NetworkSettings(**settings)
