"""Two-dimensional networks made to be listened to: what an attribution on the mel picture keeps of the sound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from audiointerp.study import UserError


@dataclass(frozen=True)
class MelFrames:
    """The frames that a log-mel front end makes, and the way back from a mask on them to a sound.

    Frame `t` holds samples `t * hop` to `t * hop + len(window)`; only whole frames are made.

    Args:
        window: Window of a frame, `(W,)`.
        hop: Samples from frame to frame.
        fft: Points of the transform, at least `W`.
        mel: Weights of the mel bands, `(fft // 2 + 1, F)`.
    """

    window: Tensor
    hop: int
    fft: int
    mel: Tensor

    def count(self, samples: int) -> int:
        """Gives the number of frames of a clip."""
        return max(0, (samples - len(self.window)) // self.hop + 1)

    def linear_mask(self, mask: Tensor) -> Tensor:
        """Spreads a mask on mel bands over the bins below them, `(T, F)` to `(T, fft // 2 + 1)`; 0 beyond the bands."""
        weight = self.mel.sum(1)
        spread = mask.to(self.mel) @ self.mel.T
        return torch.where(weight > 0, spread / torch.where(weight > 0, weight, 1.0), 0.0)

    def masked(self, waveform: Tensor, mask: Tensor) -> Tensor:
        """Keeps of a clip what a mask says: short-time transform, mask, inverse with the clip's own phase.

        Args:
            waveform: Shape `(L,)`.
            mask: On mel bands, `(T, F)` with `T = count(L)`, in [0, 1].
        Returns:
            Shape `(L,)`. A mask of ones gives the clip without what lies outside the bands, but for its edges.
        Raises:
            UserError: If the mask has another shape.
        """
        wanted = (self.count(len(waveform)), self.mel.shape[1])
        if tuple(mask.shape) != wanted or not wanted[0]:
            raise UserError(f"expected a mask of shape {wanted} for {len(waveform)} samples, got {tuple(mask.shape)}")
        width = len(self.window)
        frames = waveform.unfold(0, width, self.hop) * self.window
        spectrum = torch.fft.rfft(frames, n=self.fft) * self.linear_mask(mask)
        frames = torch.fft.irfft(spectrum, n=self.fft)[:, :width] * self.window
        total, weight = torch.zeros_like(waveform), torch.zeros_like(waveform)
        for t, frame in enumerate(frames):
            total[t * self.hop : t * self.hop + width] += frame
            weight[t * self.hop : t * self.hop + width] += self.window.square()
        return total / weight.clamp_min(0.05 * float(self.window.square().sum()) / self.hop)


def to_mask(attribution: Tensor, quantile: float = 0.95) -> Tensor:
    """Turns attributions into a mask: the positive part, full from a quantile of its positive values on.

    Args:
        attribution: Any shape.
        quantile: Of the positive values; what lies above it is kept whole.
    Returns:
        The same shape, in [0, 1]; zeros where nothing is positive.
    Example:
        >>> to_mask(torch.tensor([-1.0, 1.0, 2.0]), quantile=1.0).tolist()
        [0.0, 0.5, 1.0]
    """
    positive = attribution.clamp_min(0)
    above = positive[positive > 0]
    return (positive / torch.quantile(above, quantile)).clamp_max(1.0) if len(above) else positive


def joined(patches: Tensor, hop: int, frames: int) -> Tensor:
    """Lays patches of a clip one after the other, means where they overlap.

    Args:
        patches: Shape `(P, T, F)`; patch `p` begins at frame `p * hop`.
        hop: Frames from patch to patch.
        frames: Frames of the clip; those that no patch holds are zero.
    Example:
        >>> joined(torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]]), hop=1, frames=4)[:, 0].tolist()
        [1.0, 4.0, 7.0, 0.0]
    """
    total, count = patches.new_zeros(frames, patches.shape[2]), patches.new_zeros(frames, 1)
    for p, patch in enumerate(patches):
        part = slice(p * hop, min(frames, p * hop + patch.shape[0]))
        total[part] += patch[: part.stop - part.start]
        count[part] += 1
    return total / count.clamp_min(1)
