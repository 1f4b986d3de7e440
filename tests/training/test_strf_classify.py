"""Training behind filters: planted modulations are learnt, shuffled labels are not, filters have their own rate."""

import logging
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.modulation.ripples import ripple_spectrogram
from audiointerp.study import UserError
from audiointerp.training.strf_classify import FrontEndClassification, STRFTraining, fit_network, predict

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
TRAINER = partial(
    pl.Trainer, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0
)


def network(front="learnt Gabor", **settings):
    given = {"filters": 6, "frames": 15, "bins": 9, "features": 8, "bands": 32, "seed": 0, **settings}
    return STRFNetwork(["down", "up"], front=front, **given)


def ripples(count=80, frames=40, seed=0):
    """Ripples in noise that fall or rise: nothing but the direction tells them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    shape = {"frames": frames, "bins": 32, "frame_rate": 80.0, "bins_per_octave": 11.0}
    rows = [ripple_spectrogram(8.0, 1.0 - 2.0 * label, phase=rng.uniform(0, 6.3), **shape) for label in labels]
    return torch.from_numpy(
        np.stack(rows) + 0.3 * rng.normal(size=(count, frames, 32)).astype(np.float32)
    ).float(), labels


def fitted(tmp_path, labels=None, front="learnt Gabor", per_frame=False, **settings):
    features, own = ripples()
    labels = own if labels is None else labels
    if per_frame:
        labels = np.repeat(labels[:, None], features.shape[1], axis=1)
    training = STRFTraining(**{"epochs": 4, "batch": 16, "learning_rate": 1e-2, **settings})
    rows = np.arange(60), np.arange(60, 80)
    return fit_network(
        network(front, per_frame=per_frame), TRAINER, features, labels, *rows, training, seed=0, folder=tmp_path
    )


@pytest.mark.parametrize("per_frame", [False, True])
def test_planted_directions_are_learnt_from_filters(tmp_path, per_frame):
    found = fitted(tmp_path, per_frame=per_frame)
    new, labels = ripples(seed=9)
    logits = predict(found.network, new)
    right = logits.argmax(1) == (labels[:, None] if per_frame else labels)
    assert right.mean() > 0.9 and found.loss < 0.4 and not found.network.training
    assert not list((tmp_path / "checkpoints").iterdir())


def test_shuffled_labels_are_not(tmp_path):
    labels = np.random.default_rng(3).permutation(np.arange(80) % 2)
    assert fitted(tmp_path, labels).loss > 0.6  # a guess has 0.69


def test_equal_seeds_give_equal_weights_and_frozen_filters_stay(tmp_path):
    first, again = (fitted(tmp_path, epochs=1).network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    frozen = fitted(tmp_path, front="frozen Gabor", epochs=1).network
    assert torch.equal(frozen.strf.kernels(), network("frozen Gabor").strf.kernels())
    assert not torch.equal(first["strf.raw_omega"], frozen.strf.raw_omega)


def test_filters_have_a_rate_of_their_own_and_do_not_decay(tmp_path):
    for front, special in (("learnt Gabor", 4), ("learnt bands", 3), ("free convolution", 0)):
        module = FrontEndClassification(network(front), STRFTraining(learning_rate=0.01, front_end_rate=7.0))
        module.trainer = pl.Trainer(accelerator="cpu", max_steps=4, logger=False, enable_checkpointing=False)
        groups = module.configure_optimizers()["optimizer"].param_groups
        rates = {round(group["max_lr"], 6): len(group["params"]) for group in groups if group["max_lr"] > 0.02}
        assert rates == ({0.07: special} if special else {})
        assert all(group["weight_decay"] == 0 for group in groups if group["params"][0].ndim == 1)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UserError, match="epochs of 1 or more in STRFTraining, got 0"):
        STRFTraining(epochs=0)
    with pytest.raises(UserError, match="expected a finite validation loss"):
        fitted(tmp_path, learning_rate=1e30, epochs=2)
