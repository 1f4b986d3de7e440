r"""DeconvNet for raw-waveform CNNs: what in a sound made a feature map respond, as a sound.

One forward pass keeps the switches of every max-pooling and the length before it; a map is then led back block by
block: unpooled, rectified, and convolved with the transposed filters, without bias. This is the gradient of the map's
energy whose ReLU passes back :math:`\max(0, g)` whatever was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.sonify.chain import Stage, chain_of, shortest_input
from audiointerp.sonify.unpooling import UNPOOLINGS, along_line, by_share, to_nearest, to_switch
from audiointerp.study import UserError

SEEDS = ("map", "peak", "layer", "class_weighted")
SILENCE = 1e-8
"""Peak below which a sound is silent."""


@dataclass(frozen=True)
class Heard:
    """What one forward pass leaves for the way back.

    Attributes:
        maps: Output of each stage, `(B, C, T)`.
        switches: Places of the maxima before each pooling, int64 `(B, C, T)`; None where there is none.
        before: Rectified activation before each pooling where it was asked for, else None.
        lengths: Frames that go into each stage.
    """

    maps: tuple[Tensor, ...]
    switches: tuple[Tensor | None, ...]
    before: tuple[Tensor | None, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Sonifications:
    """Sonifications of maps of one layer, from one clip.

    Attributes:
        sounds: Shape `(M, L)`, each with the clip's peak; zeros where a map is dead.
        maps: Indices of the maps, int64 `(M,)`; -1 for a whole layer.
        peaks: Largest activation of each map, `(M,)`.
        frames: When it was reached [frames of the layer], int64 `(M,)`.
        gains: What each sound was multiplied with, `(M,)`; 0 where nothing came back.
        dead: Whether the map was zero throughout, or nothing came back, bool `(M,)`.
    """

    sounds: Tensor
    maps: Tensor
    peaks: Tensor
    frames: Tensor
    gains: Tensor
    dead: Tensor


class DeconvNet:
    """The way back through a sequential CNN, with the weights of the way there.

    Args:
        model: As for `chain_of`; its weights are read now, so a network that is trained on needs a new one.
        chunk: Maps led back at once. One is fastest on a CPU, where larger buffers cost more than they save.
    Raises:
        UserError: If the network is no chain, or `chunk` is below 1.
    References:
        Visualizing and Understanding Convolutional Networks (Zeiler and Fergus, 2014), section 2.1.
        Revisiting transposed convolutions for interpreting raw waveform sound event recognition CNNs by sonification
            (anonymous, under review), section 3.2 and figure B.2.
    """

    def __init__(self, model: nn.Module, chunk: int = 1) -> None:
        if chunk < 1:
            raise UserError(f"expected a chunk of at least 1 map, got {chunk}")
        self.stages: dict[str, Stage] = chain_of(model)
        self.layers = tuple(self.stages)
        self.shortest = shortest_input(self.stages.values())
        self.chunk = int(chunk)
        with torch.no_grad():  # a transposed convolution is a convolution with these; CPUs run that faster
            self._flipped = [
                stage.conv.weight.transpose(0, 1).flip(2).contiguous() if stage.stride == 1 else None
                for stage in self.stages.values()
            ]

    def position(self, layer: str | int) -> int:
        """Gives a layer's place in the chain, from its name or its number from 1 on.

        Raises:
            UserError: If there is no such layer.
        """
        name = f"block{layer}" if isinstance(layer, int) else str(layer)
        if name not in self.stages:
            raise UserError(f"expected a layer from {self.layers[0]} to {self.layers[-1]}, got {layer!r}")
        return self.layers.index(name)

    @torch.no_grad()
    def hear(self, features: Tensor, depth: int | None = None, keep_before: bool = False) -> Heard:
        """Runs the chain once and keeps what the way back needs.

        Args:
            features: Shape `(B, C, L)`.
            depth: Stages to run; None for all.
            keep_before: Whether activations before pooling are kept, for `unpool="soft"`.
        Raises:
            UserError: If `L` is below `shortest`.
        """
        if features.ndim != 3 or features.shape[2] < self.shortest:
            raise UserError(
                f"expected features of shape (B, C, L) with L of at least {self.shortest} samples, got "
                f"{tuple(features.shape)}: pad the clip"
            )
        maps, switches, before, lengths = [], [], [], []
        for stage in list(self.stages.values())[:depth]:
            lengths.append(features.shape[2])
            features = F.relu(stage.conv(features))
            before.append(features if keep_before else None)
            places = None
            if stage.pool > 1:
                features, places = F.max_pool1d(features, stage.pool, return_indices=True)
            maps.append(features)
            switches.append(places)
        return Heard(tuple(maps), tuple(switches), tuple(before), tuple(lengths))

    @torch.no_grad()
    def back(
        self,
        heard: Heard,
        layer: str | int,
        seeds: Tensor,
        *,
        maps: Tensor | None = None,
        start: int = 0,
        row: int = 0,
        unpool: str = "switch",
    ) -> tuple[Tensor, int]:
        """Leads activations of a layer back to the input; only samples that can be reached are computed.

        Args:
            heard: The forward pass.
            layer: The layer's name or number.
            seeds: Activations, `(M, C, n)`; with `maps` `(M, 1, n)`, all other maps being zero.
            maps: The map of each seed, int64 `(M,)`: the first step is then sparse in channels.
            start: Frame of the layer that the seeds begin at.
            row: The clip of the batch whose switches are taken.
            unpool: As in `sonify`.
        Returns:
            Signals `(M, C0, m)` and the sample at which they begin; what lies outside is zero.
        Raises:
            UserError: If the way of unpooling is unknown, or lacks what it needs.
        """
        if unpool not in UNPOOLINGS:
            raise UserError(f"expected unpool to be one of {', '.join(UNPOOLINGS)}, got {unpool!r}")
        position = self.position(layer)
        stages = list(self.stages.values())
        for n in range(position, -1, -1):
            stage, length = stages[n], heard.lengths[n]
            chosen = maps if n == position else None
            seeds = self._unpooled(heard, n, seeds, chosen, start, row, unpool)
            seeds, start = self._transposed(stage, self._flipped[n], seeds, chosen), start * stage.pool * stage.stride
            start -= stage.padding
            first, last = max(0, -start), min(seeds.shape[2], length - start)
            seeds, start = seeds[:, :, first:last], start + first
        return seeds, start

    def _unpooled(
        self, heard: Heard, n: int, seeds: Tensor, maps: Tensor | None, start: int, row: int, unpool: str
    ) -> Tensor:
        """Takes seeds back through the pooling and the ReLU of stage `n`."""
        pool = list(self.stages.values())[n].pool
        if pool == 1:
            return seeds.relu()
        if unpool == "linear":
            return along_line(seeds, pool).relu_()
        if unpool == "nearest":
            return to_nearest(seeds.relu(), pool)
        frames = slice(start, start + seeds.shape[2])
        channels = slice(None) if maps is None else maps
        places = heard.switches[n][row, channels, frames] - start * pool
        places = (places[:, None] if maps is not None else places[None]).expand_as(seeds)
        if unpool == "switch":
            return to_switch(seeds.relu(), places, pool)
        if heard.before[n] is None:
            raise UserError("expected activations before pooling for unpool='soft': hear with keep_before=True")
        samples = slice(start * pool, (start + seeds.shape[2]) * pool)
        before = heard.before[n][row, channels, samples]
        before = before[:, None] if maps is not None else before[None]
        return by_share(seeds.relu(), before, places, pool)

    def _transposed(self, stage: Stage, flipped: Tensor | None, seeds: Tensor, maps: Tensor | None) -> Tensor:
        """Convolves `(M, C, n)` with a stage's transposed filters, unpadded: `(M, C_in, (n - 1) * stride + kernel)`."""
        weight = stage.conv.weight
        if maps is not None:  # each row holds one channel: one group per row
            rows = F.conv_transpose1d(seeds.transpose(0, 1), weight[maps], stride=stage.stride, groups=len(maps))
            return rows.unflatten(1, (len(maps), -1))[0]
        if flipped is None:
            return F.conv_transpose1d(seeds, weight, stride=stage.stride)
        return F.conv1d(seeds, flipped, padding=stage.kernel - 1)

    @torch.no_grad()
    def sonify(
        self,
        heard: Heard,
        layer: str | int,
        maps: Sequence[int] | Tensor | None = None,
        *,
        peak: float = 1.0,
        row: int = 0,
        seed: str = "map",
        unpool: str = "switch",
        weights: Tensor | None = None,
    ) -> Sonifications:
        """Sonifies maps of one layer from one forward pass; arguments as in the function `sonify`.

        Args:
            heard: The forward pass.
            layer: The layer's name or number.
            maps: Indices of maps; None for all.
            peak: Largest absolute sample that sounds are scaled to.
            row: The clip of the batch.
            seed: What is led back.
            unpool: The way back through poolings.
            weights: For `class_weighted`: one factor per map, `(C,)`.
        """
        activation = heard.maps[self.position(layer)][row]
        chosen = _checked_maps(maps, len(activation), layer).to(activation.device)
        if seed not in SEEDS:
            raise UserError(f"expected seed to be one of {', '.join(SEEDS)}, got {seed!r}")
        if (weights is None) == (seed == "class_weighted"):
            raise UserError("expected weights with seed='class_weighted' and only there: take class_weights(...)")
        samples = heard.lengths[0]
        if seed in ("layer", "class_weighted"):
            whole = activation if weights is None else activation * weights.to(activation)[:, None]
            raw = self._placed(*self.back(heard, layer, whole[None], row=row, unpool=unpool), samples)
            best = whole.amax(0)
            peaks, frames, chosen = best.max()[None], best.argmax()[None], torch.full((1,), -1)
        else:
            peaks, frames = activation[chosen].max(1)
            raw = activation.new_zeros(len(chosen), samples)
            for first in range(0, len(chosen), self.chunk):
                part = slice(first, first + self.chunk)
                seeds = activation[chosen[part], None]
                if seed == "peak":
                    seeds = torch.zeros_like(seeds).scatter_(
                        2, frames[part, None, None], peaks[part, None, None]
                    )  # fmt: skip
                begin, end = _extent(seeds) if unpool != "linear" else (0, seeds.shape[2])
                if begin == end:
                    continue
                found, at = self.back(
                    heard, layer, seeds[:, :, begin:end], maps=chosen[part], start=begin, row=row, unpool=unpool
                )
                raw[part, at : at + found.shape[2]] = found[:, 0]
        largest = raw.abs().amax(1)
        dead = largest <= 0
        gains = torch.where(dead, 0.0, peak / torch.where(dead, 1.0, largest))
        return Sonifications(raw * gains[:, None], chosen.cpu(), peaks, frames, gains, dead)

    @staticmethod
    def _placed(found: Tensor, at: int, samples: int) -> Tensor:
        out = found.new_zeros(len(found), samples)
        out[:, at : at + found.shape[2]] = found[:, 0]
        return out


def sonify(
    model: nn.Module,
    waveform: Tensor,
    layer: str | int,
    maps: Sequence[int] | Tensor | None = None,
    *,
    sample_rate: int | None = None,
    seed: str = "map",
    unpool: str = "switch",
    target: int | None = None,
    chunk: int = 1,
) -> Sonifications:
    """Turns feature maps of a raw-waveform CNN into sounds: what in the clip they respond to.

    The clip goes through the network once, whatever the number of maps.

    Args:
        model: A chain (see `chain_of`); with `front_end` the waveform goes through it.
        waveform: One clip, mono, shape `(L,)`.
        layer: The layer's name, such as `block4`, or its number from 1 on.
        maps: Indices of maps from 0 on; None for all.
        sample_rate: Rate of the clip [Hz]; held against the network's where both are known.
        seed: What is led back: the whole `map`, its `peak` alone (only the receptive field is computed), all maps of
            the `layer` at once, or `class_weighted`, all maps by how much they raise the score of class `target`.
        unpool: To the `switch` of each pooling (published), to the `nearest` value, along a `linear` interpolation, or
            `soft`, by share of the activation before pooling.
        target: Index of the class for `class_weighted`; None for the one that scores highest.
        chunk: Maps led back at once.
    Returns:
        Sounds with the clip's peak, dead maps flagged.
    Raises:
        UserError: If the clip has several channels, is too short, silent, not finite, of another rate, or if there is
            no such layer, map, class, seed or unpooling.
    Example:
        >>> net = nn.Sequential(nn.Conv1d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2))
        >>> found = sonify(net, torch.randn(100), "block1", maps=[0, 3])
        >>> tuple(found.sounds.shape), found.dead.tolist()
        ((2, 100), [False, False])
    """
    deconvnet = DeconvNet(model, chunk)
    shortest = max(deconvnet.shortest, getattr(model, "shortest", 1))
    waveform = checked_clip(waveform, shortest, getattr(model, "sample_rate", None), sample_rate)
    parameter = next(model.parameters())
    heard = deconvnet.hear(features_of(model, waveform[None].to(parameter)), keep_before=unpool == "soft")
    weights = None
    if seed == "class_weighted":
        weights = class_weights(model, deconvnet.layers[deconvnet.position(layer)], heard, deconvnet, target)
    peak = float(waveform.abs().max())
    return deconvnet.sonify(heard, layer, maps, peak=peak, seed=seed, unpool=unpool, weights=weights)


def features_of(model: nn.Module, waveforms: Tensor) -> Tensor:
    """Turns waveforms `(B, L)` into what the chain takes: through `front_end` where there is one, else `(B, 1, L)`."""
    return model.front_end(waveforms) if hasattr(model, "front_end") else waveforms.unsqueeze(1)


def class_weights(
    model: nn.Module, layer: str, heard: Heard, deconvnet: DeconvNet, target: int | None, row: int = 0
) -> Tensor:
    """Gives by how much each map of a layer raises a class' logit: the gradient's mean over time, `(C,)`.

    Args:
        model: With `resume(layer, activation)`.
        layer: The layer's name.
        heard: The forward pass.
        deconvnet: The way back.
        target: Index of the class; None for the one that scores highest.
        row: The clip of the batch.
    Raises:
        UserError: If the network cannot be resumed from a layer, or has no such class.
    References:
        Grad-CAM (Selvaraju et al., 2020), equation 1.
    """
    if not hasattr(model, "resume"):
        raise UserError(
            f"expected a network with resume(layer, activation) for seed='class_weighted', got {type(model).__name__}: "
            "choose another seed"
        )
    with torch.enable_grad():
        activation = heard.maps[deconvnet.position(layer)][row : row + 1].detach().requires_grad_(True)
        logits = model.resume(layer, activation)[0]
        target = int(logits.argmax()) if target is None else target
        if not 0 <= target < len(logits):
            raise UserError(f"expected a class from 0 to {len(logits) - 1}, got {target}")
        (gradient,) = torch.autograd.grad(logits[target], activation)
    return gradient[0].mean(1)


def checked_clip(waveform: Tensor, shortest: int, expected_rate: int | None, sample_rate: int | None) -> Tensor:
    """Gives the clip, float, if it can be sonified.

    Raises:
        UserError: If it has several channels, is too short, silent, not finite or of another rate.
    """
    waveform = torch.as_tensor(waveform)
    if waveform.ndim != 1:
        raise UserError(
            f"expected one mono clip of shape (L,), got {tuple(waveform.shape)}: average the channels, or take the "
            "clips one by one"
        )
    if sample_rate is not None and expected_rate is not None and sample_rate != expected_rate:
        raise UserError(
            f"expected audio at {expected_rate} Hz (the network's), got {sample_rate} Hz: call audio.resample first"
        )
    if len(waveform) < shortest:
        raise UserError(
            f"expected a clip of at least {shortest} samples (one frame of the last block), got {len(waveform)}: pad it"
        )
    if not bool(torch.isfinite(waveform).all()):
        raise UserError("expected finite samples, got NaN or infinity: repair the file")
    if float(waveform.abs().max()) < SILENCE:
        raise UserError("expected a sound, got silence: there is nothing to lead back")
    return waveform if waveform.is_floating_point() else waveform.float()


def _checked_maps(maps: Sequence[int] | Tensor | None, count: int, layer: str | int) -> Tensor:
    chosen = torch.arange(count) if maps is None else torch.as_tensor(maps).reshape(-1)
    if len(chosen) and (chosen.is_floating_point() or chosen.dtype == torch.bool):
        raise UserError(f"expected maps as whole numbers from 0 to {count - 1}, got {chosen[0].item()}: give indices")
    chosen = chosen.long()
    wrong = chosen[(chosen < 0) | (chosen >= count)]
    if len(wrong) or not len(chosen):
        got = int(wrong[0]) if len(wrong) else "none"
        raise UserError(f"expected maps from 0 to {count - 1} (layer {layer} has {count}), got {got}")
    return chosen


def _extent(seeds: Tensor) -> tuple[int, int]:
    """Gives the first frame at which any seed is not zero and one past the last."""
    frames = (seeds != 0).flatten(0, 1).any(0).nonzero()
    return (int(frames[0]), int(frames[-1]) + 1) if len(frames) else (0, 0)
