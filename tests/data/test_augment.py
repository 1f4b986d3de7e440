"""Augmentations do what they are asked for, to the decibel, and are drawn from the given stream alone."""

import numpy as np
import pytest
import torch

from audiointerp.data.augment import (
    Augmentation,
    at_snr,
    background,
    gain,
    gaussian_noise,
    mixup,
    time_masks,
)
from audiointerp.study import UserError, stream


def waves(rows=64, length=1000, seed=0):
    x = torch.randn(rows, length, generator=torch.Generator().manual_seed(seed))
    return x * torch.linspace(0.01, 1.0, rows)[:, None]


def rng(*names):
    return stream(0, "test", *names)


def decibels(x):
    return 10 * np.log10(x.double().square().mean(-1).numpy())


def test_gains_are_uniform_in_decibels():
    x = waves(2000, 50)
    change = decibels(gain(x, rng(), -18, 6)) - decibels(x)
    assert change.min() > -18.01 and change.max() < 6.01
    np.testing.assert_allclose(np.quantile(change, [0.25, 0.5, 0.75]), [-12, -6, 0], atol=1.0)


def test_noise_has_the_amplitude_that_was_drawn_and_is_not_shared():
    x = torch.zeros(200, 4000)
    spread = gaussian_noise(x, rng(), 0.001, 0.015).std(-1).numpy()
    assert spread.min() > 0.0009 and spread.max() < 0.0158 and abs(np.median(spread) - 0.008) < 0.0015
    noisy = gaussian_noise(x, rng(), 0.01, 0.01)
    assert abs(np.corrcoef(noisy[0], noisy[1])[0, 1]) < 0.1


def test_masks_are_few_short_and_elsewhere_nothing_changes():
    x = waves(300, 1000) + 3.0
    masked = time_masks(x, rng(), 1, 3, 0.1)
    silent = (masked == 0).numpy()
    assert torch.equal(masked[~torch.from_numpy(silent)], x[~torch.from_numpy(silent)])
    edges = np.diff(np.pad(silent, ((0, 0), (1, 1))).astype(int), axis=1)
    runs = (edges == 1).sum(1)
    assert runs.max() <= 3 and silent.sum(1).max() <= 300 and 0.04 < silent.mean() < 0.14
    single = (time_masks(x, rng(), 1, 1, 0.1) == 0).numpy().sum(1)
    assert single.max() <= 100 and single.min() >= 0 and abs(single.mean() - 50) < 6
    places = (time_masks(x, rng(), 3, 3, 0.1) == 0).numpy().mean(0)
    assert places[450:550].mean() > 0.05 and places.max() < 0.4


@pytest.mark.parametrize("asked", [-5.0, 0.0, 10.0, 26.0])
def test_the_ratio_measured_is_the_ratio_asked_for(asked):
    x, n = waves(seed=1), waves(seed=2)
    mixed = at_snr(x, n, torch.full((64,), asked))
    measured = decibels(x) - decibels(mixed - x)
    np.testing.assert_allclose(measured, asked, atol=0.1)
    assert np.abs(measured - asked).max() < 0.01 or asked == 26.0  # what is left is float32's own rounding


def test_backgrounds_are_other_waveforms_of_the_batch_within_the_range():
    x = waves(32)
    mixed = background(x, rng(), 10, 26)
    measured = decibels(x) - decibels(mixed - x)
    assert measured.min() > 9.9 and measured.max() < 26.1 and np.ptp(measured) > 8
    added = torch.nn.functional.normalize(mixed - x, dim=1) @ torch.nn.functional.normalize(x, dim=1).T
    source = added.argmax(1)
    assert (source != torch.arange(32)).all() and sorted(source.tolist()) == list(range(32))


def test_silence_has_no_ratio_and_stays():
    x = waves(4)
    x[0] = 0
    mixed = at_snr(x, x.roll(1, 0), torch.full((4,), 10.0))
    assert torch.isfinite(mixed).all() and torch.equal(mixed[:2], x[:2]) and not torch.equal(mixed[2], x[2])
    assert torch.equal(background(x[1:2], rng()), x[1:2])


def test_mixup_mixes_waveforms_and_targets_by_the_same_shares():
    targets = torch.eye(8)
    waveforms = torch.eye(8).repeat(1, 3)
    mixed, shares = mixup(waveforms, targets, rng(), alpha=0.4)
    assert torch.equal(mixed[:, :8], shares) and torch.allclose(shares.sum(1), torch.ones(8))
    lam = mixup(torch.arange(4000.0)[:, None], torch.zeros(4000, 1), stream(0, "x"), 1.0)
    assert lam[0].min() >= 0 and abs(float(lam[0].mean()) - 1999.5) < 60


def test_the_stream_decides_and_nothing_global_does():
    x, every = waves(), Augmentation()
    torch.manual_seed(0)
    first = every(x, rng("a"))
    torch.manual_seed(1)
    assert torch.equal(first, every(x, rng("a"))) and not torch.equal(first, every(x, rng("b")))
    assert torch.equal(x, waves())


def test_each_waveform_is_changed_with_the_probability_given():
    x = waves(1000, 200)
    only = {"noise": None, "masks": None, "snr_db": None}
    changed = (Augmentation(**only, gain_db=(1, 2), probability=0.3)(x, rng()) != x).any(1).float().mean()
    assert 0.25 < float(changed) < 0.35
    assert torch.equal(Augmentation(probability=0.0)(x, rng()), x)
    assert torch.equal(Augmentation(gain_db=None, **only)(x, rng()), x)
    for name in ("gain_db", "noise", "masks", "snr_db"):
        rest = dict.fromkeys({"gain_db", "noise", "masks", "snr_db"} - {name})
        assert (Augmentation(**rest, probability=1.0)(x, rng()) != x).any(1).float().mean() > 0.9, name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_same_gains_masks_and_ratios_are_drawn():
    x = waves()
    without = Augmentation(noise=None)
    assert torch.allclose(without(x, rng()), without(x.cuda(), rng()).cpu(), atol=1e-6)
    assert Augmentation()(x.cuda(), rng()).is_cuda


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gain_db": [6, -18]}, r"gain_db with a least and a largest value, or null, got \[6, -18\]"),
        ({"masks": [1]}, "masks with a least"),
        ({"probability": 1.5}, "probability and mask_share between 0 and 1"),
        ({"mixup": -1}, "mixup of 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Augmentation(**settings)
