import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, label_matrix, nats_per_dim, residual_leak
from audiointerp.training.flow import FlowTraining, PairBatches, pair_loaders
from tests.disentangle.planted import linear_world

BLOCKS = {"kind": 3, "size": 2}


def batches(seed=0, name="pairs", **settings):
    scores, labels, _ = linear_world(60)
    return PairBatches(scores, label_matrix(labels, list(BLOCKS)), 32, 3, seed, name, **settings)


def module(penalty=0.0, **settings):
    flow = FactorFlow(8, BLOCKS, stages=1, hidden=8, depth=1)
    likelihood = PairLikelihood({name: flow.blocks[name] for name in BLOCKS})
    return FlowTraining(flow, likelihood, 1e-2, penalty=penalty, **settings)


def test_batches_hold_pairs_of_rows_and_what_they_share():
    scores, labels, _ = linear_world(60)
    rows = {row.tobytes(): index for index, row in enumerate(scores)}
    drawn = list(batches())
    assert len(drawn) == 3
    for first, second, shared in drawn:
        assert first.dtype == torch.float32 and first.shape == second.shape == (32, 8)
        a, b = ([rows[row.tobytes()] for row in part.numpy()] for part in (first, second))
        for column, factor in enumerate(BLOCKS):
            assert (shared[:, column].numpy() == (labels[factor][a] == labels[factor][b])).all()


def test_each_epoch_draws_its_own_pairs_and_the_same_ones_again():
    one, two = batches(), batches(epoch=lambda: 1)

    def values(source):
        return [batch[0].sum().item() for batch in source]

    assert values(one) == values(one) == values(batches())
    assert len({*values(one), *values(two), *values(batches(seed=1)), *values(batches(name="other"))}) == 12
    moving = iter(range(2))
    later = batches(epoch=lambda: next(moving))
    assert [values(later), values(later)] == [values(one), values(two)]


class Watch(pl.Callback):
    """Keeps what training was fed."""

    def __init__(self):
        self.seen = {}

    def on_train_batch_start(self, trainer, module, batch, index):
        self.seen[trainer.current_epoch, index] = batch[0].sum().item()


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*deprecated")
def test_training_sees_new_pairs_in_each_epoch():
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trained = module()
    trainer.fit(trained, *pair_loaders(batches(epoch=lambda: trained.current_epoch), batches(name="validation")))
    expected = {}
    for epoch in range(3):
        source = batches(epoch=lambda epoch=epoch: epoch)
        expected |= {(epoch, index): batch[0].sum().item() for index, batch in enumerate(source)}
    assert watch.seen == expected and len(set(expected.values())) == 9
    assert {"train_nats_per_dim", "val_nats_per_dim", "val_objective", "val_leak"} <= set(trainer.callback_metrics)
    with torch.no_grad():
        losses = [trained.eval().pair_losses(batch)[0] for batch in batches(name="validation")]
    value = trainer.callback_metrics["val_nats_per_dim"].item()
    assert value == pytest.approx(nats_per_dim(np.mean(losses), 8), abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*deprecated")
def test_training_resumes_with_the_same_bits(tmp_path):
    def train(epochs, checkpoint=None):
        trained, settings = module(), {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = pl.Trainer(accelerator="cpu", max_epochs=epochs, default_root_dir=tmp_path, **settings)
        loaders = pair_loaders(batches(epoch=lambda: trained.current_epoch), batches(name="validation"))
        trainer.fit(trained, *loaders, ckpt_path=checkpoint)
        return trainer, trained.state_dict()

    torch.manual_seed(0)
    half, _ = train(2)
    half.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed = train(4, tmp_path / "half.ckpt")
    _, whole = train(4)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_penalty_weighs_the_leak_of_the_residual():
    batch = next(iter(batches()))
    plain, penalised = module().eval(), module(penalty=2.0).eval()
    for part in (plain, penalised):
        part.log = lambda *args, **settings: None
    loss, leak = plain.pair_losses(batch)
    assert leak > 0 and plain.training_step(batch, 0) == loss
    assert penalised.training_step(batch, 0).item() == pytest.approx((loss + 2 * leak).item())
    with torch.no_grad():
        a, b = (plain.flow(part)[0][:, plain.flow.blocks[RESIDUAL]] for part in batch[:2])
    assert leak.item() == pytest.approx(residual_leak(a, b, batch[2]).item(), abs=1e-6)


def test_the_optimiser_takes_its_settings():
    optimiser = module(weight_decay=0.3).configure_optimizers()
    assert isinstance(optimiser, torch.optim.AdamW)
    assert optimiser.defaults["lr"] == 1e-2 and optimiser.defaults["weight_decay"] == 0.3
