"""Watching a training: weights at the steps asked for, and measures that add up."""

import time

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from audiointerp.training.watch import Throughput, WeightsSchedule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


class Slow(pl.LightningModule):
    def __init__(self, wait_s=0.0):
        super().__init__()
        self.network, self.wait_s = nn.Linear(2, 1), wait_s

    def training_step(self, batch, index):
        time.sleep(self.wait_s)
        return self.network(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Late(torch.utils.data.Dataset):
    def __init__(self, wait_s):
        self.wait_s = wait_s

    def __len__(self):
        return 5

    def __getitem__(self, index):
        time.sleep(self.wait_s)
        return torch.ones(4, 2), torch.zeros(4)


def run(module, callback, wait_s=0.0, epochs=1):
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    trainer.fit(module, DataLoader(Late(wait_s), batch_size=None))
    return trainer


def test_weights_are_saved_at_the_steps_asked_for(tmp_path):
    module = Slow()
    first = module.network.weight.detach().clone()
    run(module, WeightsSchedule(module.network, tmp_path / "w", [0, 1, 4, 10, 99]), epochs=2)
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == [f"step-{step:08d}.pt" for step in (0, 1, 4, 10)]
    states = {step: torch.load(tmp_path / "w" / f"step-{step:08d}.pt", weights_only=True) for step in (0, 4, 10)}
    assert torch.equal(states[0]["weight"], first) and torch.equal(states[10]["weight"], module.network.weight)
    assert not torch.equal(states[4]["weight"], states[10]["weight"]) and set(states[0]) == {"weight", "bias"}


@pytest.mark.parametrize(("data_s", "step_s", "low", "high"), [(0.05, 0.0, 0.5, 1.0), (0.0, 0.05, 0.0, 0.5)])
def test_waiting_for_data_is_told_from_work(data_s, step_s, low, high):
    watch = Throughput()
    trainer = run(Slow(step_s), watch, data_s)
    assert low <= watch.measured["waiting_share"] <= high
    assert 5 < watch.measured["clips_per_s"] < 20 / 0.25
    assert 0 < watch.measured["processor_s"] < 60 and watch.measured["peak_memory_mb"] > 50
    assert float(trainer.callback_metrics["clips_per_s"]) == pytest.approx(watch.measured["clips_per_s"], rel=1e-5)
