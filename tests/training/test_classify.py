"""Classification: separable classes are learnt, labels without meaning are not, equal seeds give equal weights."""

import logging

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from audiointerp.training.classify import Classification, labelled_batches

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def planted(n, seed, noise=0.4):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    centres = torch.tensor([[2.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, -1.0], [0.0, 0.0, 2.0, 0.0]])
    return centres[labels] + noise * torch.randn(n, 4, generator=generator), labels


def small(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def trainer(epochs=4):
    return pl.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


def fitted(inputs, labels, epochs=4, seed=0, **settings):
    module = Classification(small(), **{"learning_rate": 2e-2, **settings})
    run = trainer(epochs)
    run.fit(module, labelled_batches(inputs, labels, 32, seed=seed), labelled_batches(*planted(90, 9), 32))
    return module.eval(), run


def test_separable_classes_are_learnt():
    module, run = fitted(*planted(300, 0))
    inputs, labels = planted(90, 9)
    measured = (module(inputs).argmax(1) == labels).float().mean()
    assert measured > 0.95
    assert float(run.callback_metrics["val_accuracy"]) == pytest.approx(float(measured), abs=1e-6)


def test_labels_without_meaning_stay_at_chance():
    inputs, labels = planted(300, 0)
    module, _ = fitted(inputs, labels[torch.randperm(300, generator=torch.Generator().manual_seed(1))])
    new, right = planted(900, 9)
    assert float((module(new).argmax(1) == right).float().mean()) < 0.75


def test_the_seed_decides_the_batches_and_nothing_global_does():
    inputs, labels = planted(120, 0)
    torch.manual_seed(1)
    first, _ = fitted(inputs, labels, 2)
    torch.manual_seed(2)
    again, _ = fitted(inputs, labels, 2)
    other, _ = fitted(inputs, labels, 2, seed=1)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_only_weights_with_more_than_one_axis_decay_and_the_rate_goes_round():
    module = Classification(small(), learning_rate=0.1, weight_decay=0.3)
    rates = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    run = trainer(2)
    run.callbacks.append(Watch())
    run.fit(module, labelled_batches(*planted(128, 0), 32, seed=0))
    decays = {group["weight_decay"]: [p.ndim for p in group["params"]] for group in run.optimizers[0].param_groups}
    assert set(decays[0.3]) == {2} and set(decays[0.0]) == {1}
    assert len(rates) == 8 and max(rates) > 0.05 and rates[0] < max(rates) and rates[-1] < 0.2 * max(rates)


def test_what_is_frozen_stays():
    module = Classification(small(), learning_rate=0.1)
    module.network[0].requires_grad_(False)
    before = module.network[0].weight.clone()
    trainer(1).fit(module, labelled_batches(*planted(64, 0), 32, seed=0))
    assert torch.equal(module.network[0].weight, before)


def test_batches_in_order_are_whole_and_shuffled_ones_drop_the_rest():
    inputs, labels = planted(70, 0)
    ordered = [row for batch, _ in labelled_batches(inputs, labels, 32) for row in batch]
    assert torch.equal(torch.stack(ordered), inputs)
    shuffled = labelled_batches(inputs, labels, 32, seed=0)
    first, second = ([batch[1].tolist() for batch in shuffled] for _ in range(2))
    assert [len(batch) for batch in first] == [32, 32] and first != second
    assert [len(batch[1]) for batch in labelled_batches(inputs, labels, 500, seed=0)] == [70]


def test_prediction_takes_batches_with_labels():
    module = Classification(small()).eval()
    inputs, labels = planted(40, 0)
    predicted = trainer(1).predict(module, labelled_batches(inputs, labels, 16))
    assert torch.allclose(torch.cat(predicted), module(inputs))
