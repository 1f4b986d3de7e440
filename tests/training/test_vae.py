"""Training: who gets whose gradient, same seed same bits, resumed and reloaded models are bit-equal."""

import functools
import json

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.disentangle.models import DIPVAE, VAE, BetaTCVAE, BetaVAE, FactorVAE
from audiointerp.study import UserError
from audiointerp.training.fit_vae import VAESettings, fit_vae, training_of
from audiointerp.training.vae import PictureBatches

SIZES = {"latents": 3, "channels": (4, 4), "hidden": 16}
SETTINGS = VAESettings(learning_rate=3e-3, batch=32, epochs=4)
TRAIN, SELECT = np.arange(256), np.arange(256, 320)
MODELS = [
    VAE(**SIZES),
    BetaVAE(**SIZES),
    FactorVAE(**SIZES, width=16, depth=2, discriminator_rate=1e-3),
    BetaTCVAE(**SIZES),
    DIPVAE(**SIZES),
    DIPVAE(**SIZES, kind="II"),
]
make_trainer = functools.partial(
    pl.Trainer,
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
    enable_checkpointing=False,
    num_sanity_val_steps=0,
)
by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


class Trained(Exception):
    """Somebody asked for a trainer."""


def refuse(**settings):
    raise Trained


@pytest.fixture(scope="module")
def pictures():
    """Bars whose place and brightness vary."""
    rng = np.random.default_rng(0)
    place, level = rng.uniform(2, 10, size=(2, 320))
    bands = np.arange(12)
    columns = level[:, None] / 10 * np.exp(-0.5 * (bands - place[:, None]) ** 2)
    return np.repeat(columns[:, :, None], 4, axis=2).astype(np.float32)


def fit(model, pictures, folder, *, settings=SETTINGS, trainer=make_trainer, **changed):
    given = {"train": TRAIN, "select": SELECT, "seed": 0, **changed}
    return fit_vae(model, trainer, pictures, settings=settings, folder=folder, cache=folder / "cache", **given)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@by_name
@pytest.mark.parametrize("protocol", ["corrected", "published"])
def test_every_objective_learns(model, protocol, pictures, tmp_path):
    settings = VAESettings(learning_rate=3e-3, batch=32, epochs=8)
    fitted = fit(model, pictures, tmp_path, settings=settings, protocol=protocol)
    first, last = fitted.history[0], fitted.history[-1]
    assert [row["epoch"] for row in fitted.history] == list(range(1, 9))
    assert last["val_reconstruction"] < first["val_reconstruction"]
    assert last["train_reconstruction"] < first["train_reconstruction"]
    assert fitted.encode(pictures).shape == (320, 3) and fitted.decode(np.zeros((2, 3))).shape == (2, 12, 4)
    assert not fitted.network.training and fitted.seconds > 0


def test_a_code_is_found_for_what_varies(pictures, tmp_path):
    settings = VAESettings(learning_rate=1e-2, batch=32, epochs=40)
    fitted = fit(VAE(latents=3, channels=(8, 8), hidden=32, sigma=0.1), pictures, tmp_path, settings=settings)
    decoded = fitted.decode(fitted.encode(pictures[SELECT]))
    assert np.mean((decoded - pictures[SELECT]) ** 2) < 0.3 * pictures[SELECT].var()


@by_name
def test_same_seed_same_bits(model, pictures, tmp_path):
    one, two = (weights(fit(model, pictures, tmp_path / name).network) for name in "ab")
    other = weights(fit(model, pictures, tmp_path, seed=1).network)
    assert equal(one, two) and not equal(one, other)


@by_name
def test_what_is_cached_is_not_trained_again_and_is_bit_equal(model, pictures, tmp_path):
    fitted = fit(model, pictures, tmp_path)
    again = fit(model, pictures, tmp_path, trainer=functools.partial(refuse, **make_trainer.keywords))
    assert equal(weights(fitted.network), weights(again.network)) and again.history == fitted.history
    assert (again.encode(pictures) == fitted.encode(pictures)).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"protocol": "published"},
        {"settings": VAESettings(batch=32, epochs=5)},
        {"train": TRAIN[:-1]},
        {"select": SELECT[:-1]},
    ],
)
def test_whatever_changes_the_weights_is_a_miss(changed, pictures, tmp_path):
    fit(MODELS[1], pictures, tmp_path)
    with pytest.raises(Trained):
        fit(MODELS[1], pictures, tmp_path, trainer=functools.partial(refuse, **make_trainer.keywords), **changed)
    with pytest.raises(Trained):
        fit(BetaVAE(**SIZES, beta=2.0), pictures, tmp_path, trainer=refuse)
    edited = pictures.copy()
    edited[3, 0, 0] += 1e-3
    with pytest.raises(Trained):
        fit(MODELS[1], edited, tmp_path, trainer=functools.partial(refuse, **make_trainer.keywords))


@pytest.mark.parametrize("model", [MODELS[1], MODELS[2]], ids=lambda model: model.name)
def test_training_resumes_with_the_same_bits(model, pictures, tmp_path):
    def train(epochs, checkpoint=None, keep=None):
        module = training_of(model, (12, 4), len(TRAIN), SETTINGS, "corrected", 0)
        trainer = make_trainer(max_epochs=epochs, logger=False, default_root_dir=tmp_path)
        loaders = (
            PictureBatches(
                pictures, TRAIN, 32, 0, other=isinstance(model, FactorVAE), epoch=lambda: module.current_epoch
            ).loader(),
            PictureBatches(pictures, SELECT, 64, 0, shuffled=False).loader(),
        )
        trainer.fit(module, *loaders, ckpt_path=checkpoint)
        if keep:
            trainer.save_checkpoint(keep)
        return weights(module), module.history

    whole, history = train(4)
    train(2, keep=tmp_path / "half.ckpt")
    resumed, same = train(4, checkpoint=tmp_path / "half.ckpt")
    assert equal(whole, resumed) and [row["epoch"] for row in same] == [1, 2, 3, 4]
    assert [row["val_loss"] for row in same] == [row["val_loss"] for row in history]


@pytest.mark.parametrize(("protocol", "reaches"), [("corrected", False), ("published", True)])
def test_the_discriminator_s_loss_moves_the_encoder_only_as_published(protocol, reaches, pictures):
    module = training_of(MODELS[2], (12, 4), len(TRAIN), SETTINGS, protocol, 0)
    posterior = module.network.encode(torch.from_numpy(pictures[:32]))
    codes, other = posterior.sample(module._noise), posterior.sample(module._noise)
    module.discriminator_loss(codes, other).backward()
    gradients = [value.grad for value in module.network.encoder.parameters()]
    moved = any(gradient is not None and float(gradient.abs().sum()) > 0 for gradient in gradients)
    assert moved == reaches
    assert all(float(value.grad.abs().sum()) > 0 for value in module.discriminator.parameters())


def test_both_players_of_a_factor_vae_move_and_neither_moves_the_other(pictures, tmp_path):
    start = training_of(MODELS[2], (12, 4), len(TRAIN), SETTINGS, "corrected", 0)
    still = FactorVAE(**SIZES, width=16, depth=2, discriminator_rate=0.0)
    for model, moves in ((MODELS[2], True), (still, False)):
        module = training_of(model, (12, 4), len(TRAIN), SETTINGS, "corrected", 0)
        loaders = (
            PictureBatches(pictures, TRAIN, 32, 0, other=True).loader(),
            PictureBatches(pictures, SELECT, 64, 0, shuffled=False).loader(),
        )
        make_trainer(max_epochs=1, logger=False, default_root_dir=tmp_path).fit(module, *loaders)
        assert not equal(weights(start.network), weights(module.network))
        assert equal(weights(start.discriminator), weights(module.discriminator)) != moves


def test_the_learning_rate_falls_over_the_second_half():
    settings = VAESettings(learning_rate=1.0, epochs=10)
    module = training_of(MODELS[0], (12, 4), 10, settings, "corrected", 0)
    rates = [module.rate(epoch) for epoch in range(10)]
    assert rates[:5] == [1.0] * 5 and (np.diff(rates[5:]) < 0).all() and 0 < rates[-1] < 0.2
    published = training_of(MODELS[0], (12, 4), 10, settings, "published", 0)
    assert {published.rate(epoch) for epoch in range(10)} == {1.0}


def test_an_epoch_is_a_permutation_of_its_own(pictures):
    batches = PictureBatches(pictures, TRAIN, 100, 0, other=True)
    first = list(batches)
    assert len(first) == 2 and all(part.shape == (100, 12, 4) for pair in first for part in pair)
    rows = {picture.tobytes(): index for index, picture in enumerate(pictures)}
    seen = [rows[picture.numpy().tobytes()] for one, _ in first for picture in one]
    assert len(set(seen)) == 200 and set(seen) <= set(TRAIN.tolist())
    assert torch.equal(first[0][0], list(batches)[0][0]) and not torch.equal(first[0][0], first[0][1])
    batches.epoch = lambda: 1
    assert not torch.equal(first[0][0], list(batches)[0][0])
    in_order = torch.cat([part for (part,) in PictureBatches(pictures, SELECT, 50, 0, shuffled=False)])
    assert np.array_equal(in_order.numpy(), pictures[SELECT])


def test_training_that_diverges_is_told_and_not_cached(pictures, tmp_path):
    with pytest.raises(UserError, match=r"expected a finite validation loss.*lower study.training.learning_rate"):
        fit(VAE(**SIZES), pictures * np.float32(1e20), tmp_path)
    assert not list((tmp_path / "cache").rglob("manifest.json"))


def test_the_cache_s_facts_are_json(pictures, tmp_path):
    fitted = fit(MODELS[0], pictures, tmp_path)
    (manifest,) = (tmp_path / "cache").rglob("manifest.json")
    assert json.loads(manifest.read_text())["history"] == fitted.history


@pytest.mark.parametrize("changed", [{"epochs": 0}, {"batch": 1}, {"learning_rate": -1}])
def test_settings_that_cannot_be_are_refused(changed):
    with pytest.raises(UserError, match=f"expected {next(iter(changed))} of"):
        VAESettings(**changed)
