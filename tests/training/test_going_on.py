"""Trainings that are cut off go on after their last whole epoch, with the same bits, and are kept once."""

import functools
import threading

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.backbones.autoencoder import Autoencoder
from audiointerp.disentangle.flow import FactorFlow
from audiointerp.disentangle.models import FactorVAE
from audiointerp.training import fit_autoencoder, fit_flow, fit_vae
from audiointerp.training.going_on import alone_at, epochs_done, resumable, stopped_after
from tests.disentangle.planted import linear_world

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

QUIET = {
    "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
}  # fmt: skip
FLOW = fit_flow.FlowSettings(batch=256, pairs_per_sound=4.0, learning_rate=5e-2, epochs=20, patience=1)
MODEL = FactorVAE(latents=3, channels=(4, 4), hidden=16, width=16, depth=2)


class Killed(Exception):
    """Stands for the end of the process."""


class Watch(pl.Callback):
    """Notes the epochs that begin, and ends in one of them."""

    def __init__(self, at=None):
        self.at, self.begun = at, []

    def on_train_epoch_start(self, trainer, module):
        self.begun.append(trainer.current_epoch)
        if trainer.current_epoch == self.at:
            raise Killed


def trainer(watch):
    def make(*given, callbacks, **settings):
        return pl.Trainer(*given, callbacks=[*callbacks, watch], **{**QUIET, **settings})

    return functools.partial(make, precision=None)


@pytest.fixture(scope="module")
def flow_world():
    return linear_world(600)[:2]


def flow(world, folder, watch):
    scores, labels = world
    make = functools.partial(FactorFlow, stages=2, hidden=8, depth=1)
    return fit_flow.FlowFit(
        make, trainer(watch), scores, labels, np.arange(400), np.arange(400, 600), {"kind": 3, "size": 2}, FLOW,
        seed=0, folder=folder / "run", cache=folder / "cache",
    ).fit()  # fmt: skip


def vae(pictures, folder, watch):
    return fit_vae.fit_vae(
        MODEL, trainer(watch), pictures, np.arange(64), np.arange(64, 96), fit_vae.VAESettings(batch=32, epochs=4),
        seed=0, folder=folder / "run", cache=folder / "cache",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((96, 12, 4), dtype=np.float32)


def same(one, two):
    return all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def left(folder):
    return sorted(path.name for path in (folder / "cache" / "models").rglob("*") if path.is_file())


def test_a_flow_goes_on_after_each_epoch_with_the_same_bits(flow_world, tmp_path):
    undisturbed = Watch()
    whole = flow(flow_world, tmp_path / "whole", undisturbed)
    assert 3 <= len(undisturbed.begun) == whole.epochs
    place = tmp_path / "cut"
    begun = []
    for at in range(1, whole.epochs):
        watch = Watch(at)
        with pytest.raises(Killed):
            flow(flow_world, place, watch)
        begun += watch.begun[:-1]
        assert epochs_done(next((place / "cache").rglob("last.ckpt"))) == at
    watch = Watch()
    found = flow(flow_world, place, watch)
    assert begun + watch.begun == undisturbed.begun  # no epoch was done twice but the one that was cut off
    assert same(found.flow, whole.flow)
    assert (found.epochs, found.nats_per_dim, found.round_trip) == (whole.epochs, whole.nats_per_dim, whole.round_trip)
    assert found.history == whole.history
    assert left(place) == left(tmp_path / "whole")
    assert len(list((place / "run" / "checkpoints").glob("flow-seed0-*.ckpt"))) == 1


def test_a_flow_that_had_stopped_early_does_not_train_on(flow_world, tmp_path, monkeypatch):
    whole = flow(flow_world, tmp_path / "whole", Watch())
    assert whole.epochs < FLOW.epochs  # it is early stopping that ended it
    with monkeypatch.context() as patched:
        patched.setattr(fit_flow, "round_trip", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            flow(flow_world, tmp_path / "cut", Watch())
    last = next((tmp_path / "cut" / "cache").rglob("last.ckpt"))
    assert stopped_after(last, FLOW.patience) == whole.epochs and stopped_after(last, FLOW.patience + 1) is None
    watch = Watch()
    found = flow(flow_world, tmp_path / "cut", watch)
    assert watch.begun == [] and same(found.flow, whole.flow) and found.epochs == whole.epochs


def test_a_vae_goes_on_after_each_epoch_with_the_same_bits(pictures, tmp_path):
    whole = vae(pictures, tmp_path / "whole", Watch())
    for at in (1, 2, 3):
        with pytest.raises(Killed):
            vae(pictures, tmp_path / "cut", Watch(at))
    watch = Watch()
    found = vae(pictures, tmp_path / "cut", watch)
    assert watch.begun == [3] and same(found.network, whole.network) and found.history == whole.history
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def autoencoder(folder, watch, advance=None):
    network = Autoencoder(
        strides=[4, 4, 8], widths=[16, 8, 8], filters=16, window=256, encoder_width=16, blocks=1, channels=4
    )
    t = np.arange(2048) / 16000
    notes = np.stack([0.4 * np.sin(2 * np.pi * hz * t) for hz in np.geomspace(200, 1600, 8)]).astype(np.float32)
    settings = fit_autoencoder.AutoencoderSettings(steps=8, batch=2, crop_s=0.064, validations=4)
    return fit_autoencoder.fit_autoencoder(
        network, trainer(watch), notes, np.arange(6), np.arange(6, 8), settings,
        seed=0, folder=folder / "run", cache=folder / "cache", advance=advance,
    )  # fmt: skip


def test_an_autoencoder_goes_on_after_each_validation_with_the_same_bits(tmp_path):
    whole = autoencoder(tmp_path / "whole", Watch())
    for at in (1, 2, 3):
        with pytest.raises(Killed):
            autoencoder(tmp_path / "cut", Watch(at))
    watch, steps = Watch(), []
    found = autoencoder(tmp_path / "cut", watch, steps.append)
    assert watch.begun == [3] and steps == [6, 1, 1]
    assert same(found.network, whole.network) and found.history == whole.history
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_an_autoencoder_cut_off_after_its_last_validation_is_kept_as_it_is(tmp_path, monkeypatch):
    whole = autoencoder(tmp_path / "whole", Watch())
    with monkeypatch.context() as patched:
        patched.setattr(fit_autoencoder, "save", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            autoencoder(tmp_path / "cut", Watch())
    watch = Watch()
    found = autoencoder(tmp_path / "cut", watch)
    assert watch.begun == [] and same(found.network, whole.network) and found.history == whole.history
    assert found.seconds > 0 and left(tmp_path / "cut") == left(tmp_path / "whole")


def test_without_a_checkpoint_there_is_nothing_to_go_on_with(tmp_path):
    missing = tmp_path / "last.ckpt"
    assert resumable(missing) == {} and epochs_done(missing) == 0 and stopped_after(missing, 1) is None


def test_two_that_train_the_same_train_it_once(flow_world, tmp_path):
    watches, found = [Watch(), Watch()], []
    threads = [
        threading.Thread(target=lambda watch=watch: found.append(flow(flow_world, tmp_path, watch)))
        for watch in watches
    ]
    with alone_at(next_store(tmp_path, flow_world), trainer(Watch())):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.5)
        assert not found  # both wait
    for thread in threads:
        thread.join(60)
    assert len(found) == 2 and same(found[0].flow, found[1].flow)
    assert sorted(len(watch.begun) > 0 for watch in watches) == [False, True]


def next_store(folder, world):
    """Where the flow of `world` will be kept."""
    scout = folder / "scout"
    flow(world, scout, Watch())
    (manifest,) = (scout / "cache" / "models").rglob("manifest.json")
    return folder / "cache" / "models" / manifest.parent.name


def test_of_processes_that_train_together_only_the_first_asks(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with alone_at(tmp_path / "models" / "a", functools.partial(pl.Trainer, devices=2)):
        assert not (tmp_path / "models").exists()
    # Processes that were started together and train alone are several that train the same.
    with alone_at(tmp_path / "models" / "a", functools.partial(pl.Trainer, devices=1)):
        assert (tmp_path / "models" / "a.lock").exists()
