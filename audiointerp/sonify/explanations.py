"""Explanations of a class that can be heard, from raw-waveform and from mel networks, through one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from audiointerp.sonify.deconvnet import DeconvNet, class_weights, features_of
from audiointerp.sonify.explainers import METHODS, Unfolded, attribute
from audiointerp.sonify.mel_masks import MelFrames, joined, to_mask
from audiointerp.sonify.removal import removed
from audiointerp.study import UserError, torch_stream

NOISE, WHOLE = "noise", "whole clip"
REFERENCES = (NOISE, WHOLE)
"""A control, an attribution drawn at random, and a ceiling, the clip as its own explanation."""


@dataclass(frozen=True)
class Explanation:
    """What in a clip speaks for a class.

    Attributes:
        attribution: On what the network takes: samples `(L,)`, or a mel picture `(T, F)`.
        sound: The explanation, shape `(L,)`.
        rest: The clip without it, shape `(L,)`.
    """

    attribution: Tensor
    sound: Tensor
    rest: Tensor


@dataclass
class WaveformExplainer:
    """Explains classes of a raw-waveform chain; an attribution to samples is itself a sound.

    The sound has the clip's peak; the rest is the clip without its least-squares part along the sound.

    Args:
        model: A chain with `front_end` and `resume`.
        layers: Layers whose maps a DeconvNet leads back, weighted by how much they raise the class.
        seed: Seed of the noise.
    """

    model: nn.Module
    layers: Sequence[str] = ()
    seed: int = 0
    _unfolded: Unfolded = field(init=False)

    def __post_init__(self) -> None:
        self.net, self._unfolded = DeconvNet(self.model), Unfolded(self.model)
        self._deconv = {f"DeconvNet, {layer}": layer for layer in self.layers}
        for layer in self.layers:
            self.net.position(layer)

    @property
    def methods(self) -> tuple[str, ...]:
        return (*self._deconv, *METHODS, *REFERENCES)

    def __call__(self, waveform: Tensor, target: int, method: str, clip: int = 0) -> Explanation:
        """Explains why a clip `(L,)` is of class `target`; each number of a clip has noise of its own.

        Raises:
            UserError: If there is no such method.
        """
        peak = waveform.abs().max()
        features = features_of(self.model, waveform[None])
        if method in self._deconv:
            heard, layer = self.net.hear(features), self._deconv[method]
            weights = class_weights(self.model, layer, heard, self.net, target)
            found = self.net.sonify(heard, layer, seed="class_weighted", weights=weights).sounds[0]
        elif method in REFERENCES:
            found = reference(method, waveform, self.seed, clip)
        else:
            found = attribute(self._unfolded, features, torch.tensor([target]), method)[0, 0]
        largest = found.abs().max()
        sound = found * (peak / largest) if largest > 0 else torch.zeros_like(found)
        part = torch.from_numpy(removed(waveform.numpy(), sound.numpy())).to(waveform)
        return Explanation(found, sound, waveform - part)


@dataclass
class MelExplainer:
    """Explains classes of a network on mel pictures; an attribution becomes a mask, the mask a sound.

    Args:
        network: Turns patches `(P, 1, T, F)` into logits `(P, K)`, each ReLU a module called once.
        picture: Turns waveforms `(B, L)` into log-mel frames `(B, T, F)`.
        frames: The same front end's frames, for the way back.
        patch: Frames of a patch.
        hop: Frames from patch to patch.
        silence: Value of silence in the picture, where integrated gradients begin.
        seed: Seed of the noise.
    """

    network: nn.Module
    picture: Callable[[Tensor], Tensor]
    frames: MelFrames
    patch: int
    hop: int
    silence: float
    seed: int = 0

    @property
    def methods(self) -> tuple[str, ...]:
        return (*METHODS, *REFERENCES)

    def usable(self, samples: int) -> int:
        """Gives the samples of a clip that whole patches hold.

        Raises:
            UserError: If there is not one.
        """
        count = self.frames.count(samples)
        if count < self.patch:
            least = (self.patch - 1) * self.frames.hop + len(self.frames.window)
            raise UserError(f"expected a clip of at least {least} samples (one patch), got {samples}: pad it")
        held = (count - self.patch) // self.hop * self.hop + self.patch
        return (held - 1) * self.frames.hop + len(self.frames.window)

    def patches(self, waveform: Tensor) -> Tensor:
        """Cuts a clip's mel picture into patches `(P, 1, T, F)`."""
        picture = self.picture(waveform[None])[0]
        return picture.unfold(0, self.patch, self.hop).transpose(1, 2).unsqueeze(1)

    def __call__(self, waveform: Tensor, target: int, method: str, clip: int = 0) -> Explanation:
        """Explains why a clip `(L,)`, of which `usable(L)` samples are taken, is of class `target`.

        Each number of a clip has noise of its own.

        Raises:
            UserError: If there is no such method, or the clip is shorter than a patch.
        """
        waveform = waveform[: self.usable(len(waveform))]
        count = self.frames.count(len(waveform))
        if method in REFERENCES:
            found = reference(method, torch.ones(count, self.frames.mel.shape[1]), self.seed, clip)
        else:
            patches = self.patches(waveform)
            targets = torch.full((len(patches),), target)
            parts = attribute(self.network, patches, targets, method, baseline=self.silence)
            found = joined(parts[:, 0], self.hop, count)
        mask = to_mask(found) if method != WHOLE else found
        return Explanation(found, self.frames.masked(waveform, mask), self.frames.masked(waveform, 1 - mask))


def reference(method: str, like: Tensor, seed: int, clip: int) -> Tensor:
    """Gives Gaussian noise of a shape, another for each clip, or the thing itself.

    Example:
        >>> reference("whole clip", torch.ones(2), 0, 0).tolist()
        [1.0, 1.0]
    """
    if method == WHOLE:
        return like.clone()
    return torch.randn(like.shape, generator=torch_stream(seed, "explanations", len(like), clip)).to(like)
