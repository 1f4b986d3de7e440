"""Recognition: scores against other implementations, losses by hand, planted classes learnt, meaningless ones not."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from torch import nn

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.augment import Augmentation
from audiointerp.data.crops import Clips, Crops, WholeClips, clip_loader, crop_loader
from audiointerp.training.recognise import Recognition, d_prime, recognition_loss, scores
from audiointerp.training.schedule import Optimisation, warm_up_cosine
from tests.training.two_processes import NETWORK, Noises

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def random_logits(n=60, k=5, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def test_scores_of_tags_agree_with_scikit_learn():
    logits = random_logits()
    tags = (random_logits(seed=1) + logits > 0.5).float()
    tags[:, 3] = 0.0  # a class that no clip has
    measured = scores(logits, tags)
    kept = [0, 1, 2, 4]
    expected = average_precision_score(tags[:, kept], logits.sigmoid()[:, kept], average="macro")
    area = roc_auc_score(tags[:, kept], logits[:, kept], average="macro")
    assert measured["mAP"] == pytest.approx(expected, abs=1e-6) and measured["scored_classes"] == 4
    assert measured["mAUC"] == pytest.approx(area, abs=1e-6) and "accuracy" not in measured
    assert measured["d_prime"] == pytest.approx(d_prime(area), abs=1e-5)


def test_scores_of_classes_agree_with_scikit_learn():
    logits = random_logits()
    labels = torch.from_numpy(np.random.default_rng(0).choice(4, 60, p=[0.5, 0.3, 0.1, 0.1]))  # class 4 is absent
    measured = scores(logits, labels)
    assert measured["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    guesses = logits.argmax(1).numpy()
    with np.errstate(all="ignore"):
        assert measured["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, guesses), abs=1e-6)
    expected = average_precision_score(np.eye(5)[labels][:, :4], logits.softmax(1)[:, :4], average="macro")
    assert measured["mAP"] == pytest.approx(expected, abs=1e-6) and measured["scored_classes"] == 4


def test_scores_without_contrast_are_refused():
    with pytest.raises(ValueError, match="a class that some clips have and others lack"):
        scores(random_logits(3), torch.ones(3, 5))


def test_d_prime_is_the_distance_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(1.5, 1, 200_000), rng.normal(0, 1, 200_000)
    assert d_prime(float((signal > noise).mean())) == pytest.approx(1.5, abs=0.02)


def test_losses_by_hand():
    logits, labels = random_logits(4, 3), torch.tensor([0, 2, 1, 1])
    chances = logits.softmax(1)
    by_hand = -np.mean([math.log(chances[row, k]) for row, k in enumerate(labels)])
    assert float(recognition_loss(logits, labels)) == pytest.approx(by_hand, abs=1e-6)
    one_hot = nn.functional.one_hot(labels, 3).float()
    assert torch.allclose(recognition_loss(logits, one_hot), recognition_loss(logits, labels))
    sigmoid = logits.sigmoid()
    binary = -(one_hot * sigmoid.log() + (1 - one_hot) * (1 - sigmoid).log()).mean()
    assert torch.allclose(recognition_loss(logits, one_hot, multilabel=True), binary)
    both = torch.stack([logits, 2 * logits])
    total = recognition_loss(logits, labels) + recognition_loss(2 * logits, labels)
    assert torch.allclose(recognition_loss(both, labels), total)


def test_the_rate_rises_and_falls_as_stated():
    factors = [warm_up_cosine(step, 100, 0.1) for step in range(101)]
    assert factors[:10] == pytest.approx([(k + 1) / 10 for k in range(10)]) and factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5) and factors[100] == pytest.approx(0.0)
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))


def fitted(targets, steps=40, test=None, seed=0, **settings):
    clips = Clips(Noises(len(targets)), 500)
    rows = np.arange(len(targets) // 2) if test is None else np.setdiff1d(np.arange(len(targets)), test)
    test = np.arange(len(targets) // 2, len(targets)) if test is None else test
    network = CNN12(output_names=["smooth", "rough"], **NETWORK).requires_grad_(True)
    module = Recognition(network, Optimisation(1e-2), seed=seed, **settings)
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, crop_loader(Crops(clips, targets, rows, 8, 500, seed=seed)))
    trainer.validate(module, clip_loader(WholeClips(clips, targets, test, 4)), verbose=False)
    return module, trainer


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("augmentation", [None, Augmentation(mixup=0.2)])
def test_planted_classes_are_learnt(multilabel, augmentation):
    labels = torch.arange(48) % 2
    targets = nn.functional.one_hot(labels, 2).float() if multilabel else labels
    module, trainer = fitted(targets, multilabel=multilabel, augmentation=augmentation)
    logits, seen, positions = module.evaluated
    assert torch.equal(positions, torch.arange(24, 48)) and torch.equal(seen, targets[24:])
    measured = scores(logits, seen)
    assert measured["mAP"] > 0.95
    assert float(trainer.callback_metrics["val_mAP"]) == pytest.approx(measured["mAP"], abs=1e-6)
    with torch.no_grad():
        one = module.network(module.network.front_end(torch.from_numpy(Noises(48).waveform(30))[None]))
    assert torch.allclose(one[0], logits[6], atol=1e-5)


def test_labels_without_meaning_stay_at_chance():
    labels = torch.from_numpy(np.random.default_rng(3).permutation(np.arange(120) // 2 % 2))
    module, _ = fitted(labels, steps=20)
    assert abs(scores(*module.evaluated[:2])["mAUC"] - 0.5) < 0.25


def test_what_is_frozen_stays_and_biases_do_not_decay():
    clips, targets = Clips(Noises(8), 500), torch.arange(8) % 2
    network = CNN12(output_names=["smooth", "rough"], **NETWORK)
    network.classifier.requires_grad_(True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    module = Recognition(network, Optimisation(1e-2, weight_decay=0.3))
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, crop_loader(Crops(clips, targets, np.arange(8), 8, 500)))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    decays = {group["weight_decay"]: [p.ndim for p in group["params"]] for group in trainer.optimizers[0].param_groups}
    assert decays == {0.3: [2], 0.0: [1]}


def test_the_seed_decides_and_nothing_global_does():
    labels = torch.arange(16) % 2

    def weights(seed):
        return fitted(labels, steps=3, seed=seed, augmentation=Augmentation())[0].network.embed.weight

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    assert torch.equal(first, weights(0)) and not torch.equal(first, weights(1))
