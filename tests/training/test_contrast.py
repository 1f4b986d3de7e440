"""NT-Xent against a loop, negatives over processes, SimCLR that brings two crops of one clip together."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.augment import Augmentation
from audiointerp.data.crops import Clips, Crops, crop_loader
from audiointerp.training.contrast import Contrast, Projection, gather, nt_xent
from audiointerp.training.schedule import Optimisation
from tests.conftest import REPOSITORY
from tests.training.two_processes import NETWORK, Noises, fit, train

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def pairs(n=5, d=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, d, generator=generator, dtype=torch.float64).unbind(0)


def by_loop(first, second, temperature):
    z = [row / np.linalg.norm(row) for row in np.concatenate([first.numpy(), second.numpy()])]
    n, losses = len(first), []
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        others = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n) if k != i]
        losses.append(-math.log(math.exp(float(z[i] @ z[partner]) / temperature) / sum(others)))
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_loss_agrees_with_a_loop(temperature):
    first, second = pairs()
    assert float(nt_xent(first, second, temperature)) == pytest.approx(by_loop(first, second, temperature), abs=1e-12)


def test_what_the_loss_must_not_depend_on():
    first, second = pairs()
    loss = nt_xent(first, second)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(nt_xent(second, first), loss) and torch.allclose(nt_xent(first[order], second[order]), loss)
    assert torch.allclose(nt_xent(5 * first, 0.1 * second), loss)
    assert nt_xent(first, second[order]) != loss


def test_known_values():
    apart = torch.eye(4)
    assert float(nt_xent(apart, apart, 1.0)) == pytest.approx(math.log(1 + 6 * math.exp(-1)), abs=1e-6)
    same = torch.ones(4, 3)
    assert float(nt_xent(same, same, 0.1)) == pytest.approx(math.log(7), abs=1e-6)


def test_gradients_agree_with_differences():
    first, second = pairs(3, 2)
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.5), (first.requires_grad_(), second.requires_grad_()))


def test_half_precision_does_not_round_the_similarities():
    first, second = (part.float() for part in pairs(8, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = nt_xent(first, second)
    assert torch.equal(inside, nt_xent(first, second))


@pytest.mark.parametrize(
    ("first", "second", "temperature", "message"),
    [
        (torch.ones(2, 3), torch.ones(3, 3), 0.1, r"two \(N, D\) of one shape, got \(2, 3\) and \(3, 3\)"),
        (torch.ones(2), torch.ones(2), 0.1, "of one shape"),
        (torch.ones(2, 3), torch.ones(2, 3), 0.0, "a temperature above 0, got 0.0"),
        (torch.ones(1, 3), torch.ones(1, 3), 0.1, "at least two pairs"),
    ],
)
def test_what_cannot_be_is_refused(first, second, temperature, message):
    with pytest.raises(ValueError, match=message):
        nt_xent(first, second, temperature)


def test_alone_the_rows_are_all_there_is():
    rows = torch.ones(3, 2)
    assert gather(rows) == (0, rows)


def test_the_projection_is_drawn_from_its_seed():
    torch.manual_seed(0)
    first = Projection(4, 5, 6, seed=1)
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), Projection(4, 5, 6, 1).parameters(), strict=True))
    assert first(torch.ones(2, 4)).shape == (2, 6) and not torch.equal(
        first[0].weight, Projection(4, 5, 6, 2)[0].weight
    )


def fitted(steps, seed=0, **settings):
    sounds = Noises(24)
    network = CNN12(output_names=["a", "b"], **NETWORK).requires_grad_(True)
    module = Contrast(network, Optimisation(5e-3), projection=(16, 16), seed=seed, **settings)
    crops = Crops(Clips(sounds, 500), torch.zeros(24), np.arange(24), 12, 500, views=2, seed=seed)
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, crop_loader(crops))
    return module, crops, trainer


def test_training_brings_two_crops_of_a_clip_together_and_leaves_the_classifier():
    @torch.no_grad()
    def loss_of(module, crops):
        crops.seed = 77
        batch = crops[0, 0, 1][0]
        return nt_xent(*(module(module.network.front_end(batch[:, view])) for view in range(2)), module.temperature)

    module, crops, trainer = fitted(40)
    fresh = Contrast(CNN12(output_names=["a", "b"], **NETWORK), Optimisation(), projection=(16, 16))
    assert loss_of(module, crops) < loss_of(fresh, crops) - 0.2
    assert torch.equal(module.network.classifier.weight, fresh.network.classifier.weight)
    assert not torch.equal(module.network.embed.weight, fresh.network.embed.weight)
    assert "train_loss" in trainer.callback_metrics


def test_the_seed_decides_and_augmentation_is_done():
    def weights(seed, **settings):
        return fitted(3, seed, **settings)[0].network.embed.weight

    augmented = weights(0, augmentation=Augmentation())
    torch.manual_seed(5)
    assert torch.equal(augmented, weights(0, augmentation=Augmentation()))
    assert not torch.equal(augmented, weights(1, augmentation=Augmentation()))
    assert not torch.equal(augmented, weights(0))


@pytest.mark.slow
def test_two_processes_give_the_losses_gradients_and_logits_of_one(tmp_path):
    script, out = Path(__file__).with_name("two_processes.py"), tmp_path / "losses.json"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(script), str(out), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    together = json.loads(out.read_text())
    for kind in ("contrast", "recognition"):
        alone, _ = train(kind, 1)
        assert len(alone["losses"]) == 4
        for name in set(alone) - {"positions"}:
            np.testing.assert_allclose(
                together[kind][name], alone[name], rtol=2e-4, atol=2e-6, err_msg=f"{kind} {name}"
            )
        assert together[kind].get("positions") == alone.get("positions")
    # Flows and VAEs: every process computes the same batches, and what is kept is kept once.
    alone = fit(1, tmp_path / "alone")
    for name, values in together["fit"].items():
        np.testing.assert_allclose(values, alone[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert len(list((tmp_path / "cache" / "models").glob("*/manifest.json"))) == 2
    assert not list((tmp_path / "cache" / "models").glob("*/resume"))
