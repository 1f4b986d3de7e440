"""Augmentation of batches of waveforms where they lie, CPU or GPU, drawn from a given stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiointerp.study import UserError


def gain(waveforms: Tensor, rng: np.random.Generator, low_db: float = -18.0, high_db: float = 6.0) -> Tensor:
    r"""Scales each waveform by :math:`10^{g/20}`, :math:`g` uniform between `low_db` and `high_db`.

    Args:
        waveforms: Shape `(B, L)`.
        rng: Where the gains are drawn from.
        low_db: Least gain [dB].
        high_db: Largest gain [dB].
    """
    factors = 10.0 ** (rng.uniform(low_db, high_db, len(waveforms)) / 20.0)
    return waveforms * _column(factors, waveforms)


def gaussian_noise(waveforms: Tensor, rng: np.random.Generator, low: float = 0.001, high: float = 0.015) -> Tensor:
    """Adds white noise to each waveform, its standard deviation uniform between `low` and `high`.

    Args:
        waveforms: Shape `(B, L)`.
        rng: Where the amplitudes are drawn from; the samples come from a generator on the waveforms' device that it
            seeds, and therefore differ between a CPU and a GPU.
        low: Least standard deviation.
        high: Largest standard deviation.
    """
    amplitudes = rng.uniform(low, high, len(waveforms))
    generator = torch.Generator(waveforms.device).manual_seed(int(rng.integers(2**62)))
    white = torch.randn(waveforms.shape, generator=generator, device=waveforms.device, dtype=waveforms.dtype)
    return waveforms + white * _column(amplitudes, waveforms)


def time_masks(
    waveforms: Tensor, rng: np.random.Generator, least: int = 1, most: int = 3, share: float = 0.1
) -> Tensor:
    """Silences some stretches of each waveform.

    Args:
        waveforms: Shape `(B, L)`.
        rng: Where their number, lengths and places are drawn from.
        least: Fewest stretches.
        most: Most stretches.
        share: Longest stretch, as a share of the waveform.
    """
    rows, length = waveforms.shape
    count = rng.integers(least, most + 1, rows)
    samples = rng.integers(0, int(share * length) + 1, (rows, most))
    starts = np.floor(rng.random((rows, most)) * (length - samples + 1)).astype(np.int64)
    samples[np.arange(most) >= count[:, None]] = 0
    at = torch.arange(length, device=waveforms.device)
    begin = torch.from_numpy(starts).to(waveforms.device)
    end = begin + torch.from_numpy(samples).to(waveforms.device)
    silent = torch.zeros(waveforms.shape, dtype=torch.bool, device=waveforms.device)
    for mask in range(most):  # one after the other: all at once would take `most` times the memory
        silent |= (at >= begin[:, mask, None]) & (at < end[:, mask, None])
    return waveforms.masked_fill(silent, 0.0)


def at_snr(signals: Tensor, noises: Tensor, snr_db: Tensor) -> Tensor:
    r"""Adds noises to signals at given signal-to-noise ratios.

    The noise's factor is :math:`\sqrt{P_x / (P_n 10^{\mathrm{SNR}/10})}` with mean powers :math:`P`. A pair of which
    one is silent has no ratio and is left as it is.

    Args:
        signals: Shape `(B, L)`.
        noises: Shape `(B, L)`.
        snr_db: Shape `(B,)` [dB].
    """
    power, against = (part.square().mean(-1, keepdim=True) for part in (signals, noises))
    ratio = torch.pow(10.0, snr_db[:, None].to(signals) / 10.0)
    audible = (power > 0) & (against > 0)
    factor = torch.sqrt(power / torch.where(audible, against * ratio, torch.ones_like(power)))
    return signals + torch.where(audible, factor, torch.zeros_like(factor)) * noises


def background(waveforms: Tensor, rng: np.random.Generator, low_db: float = 10.0, high_db: float = 26.0) -> Tensor:
    """Puts another waveform of the batch behind each one, at a ratio uniform between `low_db` and `high_db`.

    Args:
        waveforms: Shape `(B, L)`; a batch of one is left as it is.
        rng: Where the ratios and the pairs are drawn from.
        low_db: Least signal-to-noise ratio [dB].
        high_db: Largest signal-to-noise ratio [dB].
    """
    rows = len(waveforms)
    ratios = torch.from_numpy(rng.uniform(low_db, high_db, rows)).to(waveforms)
    if rows < 2:
        return waveforms
    order = rng.permutation(rows)
    behind = np.empty(rows, dtype=np.int64)
    behind[order] = np.roll(order, 1)  # along a cycle, so that nothing is behind itself
    return at_snr(waveforms, waveforms[torch.from_numpy(behind).to(waveforms.device)], ratios)


def mixup(waveforms: Tensor, targets: Tensor, rng: np.random.Generator, alpha: float = 0.2) -> tuple[Tensor, Tensor]:
    r"""Mixes each example with another one: :math:`\lambda a + (1 - \lambda) b` of waveforms and of targets.

    Args:
        waveforms: Shape `(B, L)`.
        targets: Shares or labels per class, float `(B, K)`.
        rng: Where pairs and :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` are drawn from.
        alpha: How even the mixtures are.
    References:
        mixup: beyond empirical risk minimization (Zhang et al., 2017).
    """
    share = rng.beta(alpha, alpha, len(waveforms))
    other = torch.from_numpy(rng.permutation(len(waveforms))).to(waveforms.device)
    mine, theirs = _column(share, waveforms), _column(1.0 - share, waveforms)
    return mine * waveforms + theirs * waveforms[other], mine.to(targets) * targets + theirs.to(targets) * targets[
        other
    ]


@dataclass(frozen=True)
class Augmentation:
    """Which augmentations are done, each to each waveform by itself with one probability.

    Attributes:
        gain_db: Range of the gain [dB]; None for none.
        noise: Range of the noise's standard deviation; None for none.
        masks: Fewest and most time masks; None for none.
        mask_share: Longest mask, as a share of the waveform.
        snr_db: Range of the ratio to a background from the same batch [dB]; None for none.
        mixup: Alpha of mixup, which training with labels does last; 0 for none.
        probability: Of each augmentation, for each waveform.
    Raises:
        UserError: If a range has no two rising ends, or a number is out of range.
    """

    gain_db: tuple[float, float] | None = (-18.0, 6.0)
    noise: tuple[float, float] | None = (0.001, 0.015)
    masks: tuple[int, int] | None = (1, 3)
    mask_share: float = 0.1
    snr_db: tuple[float, float] | None = (10.0, 26.0)
    mixup: float = 0.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("gain_db", "noise", "masks", "snr_db"):
            ends = getattr(self, name)
            if ends is None:
                continue
            if len(ends) != 2 or not ends[0] <= ends[1]:
                raise UserError(f"expected {name} with a least and a largest value, or null, got {list(ends)}")
            object.__setattr__(self, name, tuple(ends))
        if not (0 <= self.probability <= 1 and 0 <= self.mask_share <= 1 and self.mixup >= 0):
            raise UserError(
                "expected probability and mask_share between 0 and 1 and mixup of 0 or more, got "
                f"{self.probability}, {self.mask_share} and {self.mixup}"
            )

    def __call__(self, waveforms: Tensor, rng: np.random.Generator) -> Tensor:
        """Augments a batch `(B, L)`; the stream's state alone decides what is done."""
        steps = []
        if self.snr_db is not None:
            steps.append(lambda x: background(x, rng, *self.snr_db))
        if self.gain_db is not None:
            steps.append(lambda x: gain(x, rng, *self.gain_db))
        if self.noise is not None:
            steps.append(lambda x: gaussian_noise(x, rng, *self.noise))
        if self.masks is not None:
            steps.append(lambda x: time_masks(x, rng, *self.masks, self.mask_share))
        for step in steps:
            chosen = torch.from_numpy(rng.random(len(waveforms)) < self.probability).to(waveforms.device)
            waveforms = torch.where(chosen[:, None], step(waveforms), waveforms)
        return waveforms


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values)).to(like.device, like.dtype)[:, None]
