"""What the layers of any network are tuned to, by their responses to ripples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audiointerp.activations.base import Site, capture
from audiointerp.backbones.base import Backbone
from audiointerp.modulation.ripples import ripple_sound, ripple_spectrogram

PHASES = 4


@dataclass(frozen=True)
class RippleResponses:
    """How strongly each channel of a layer follows ripples.

    Attributes:
        omega: Temporal modulations of the ripples, shape `(P,)` [Hz].
        Omega: Spectral modulations, shape `(Q,)` [cycles/octave].
        response: Root mean square deviation from the answer to a flat spectrogram, over phases, frames and bins, shape
            `(C, P, Q)`.
    """

    omega: NDArray[np.float64]
    Omega: NDArray[np.float64]
    response: NDArray[np.float64]

    def best(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Modulation of the ripple that each channel follows most, each shape `(C,)`."""
        flat = self.response.reshape(len(self.response), -1).argmax(axis=1)
        i, j = np.unravel_index(flat, self.response.shape[1:])
        return self.omega[i], self.Omega[j]


def ripple_responses(
    model: nn.Module,
    layers: Mapping[str, nn.Module | Site],
    *,
    omega: Sequence[float],
    Omega: Sequence[float],
    frames: int,
    bins: int,
    frame_rate: float,
    bins_per_octave: float,
    to_input: Callable[[Tensor], Tensor] = lambda ripples: ripples[:, None],
    level: float = 0.0,
    depth: float = 1.0,
) -> dict[str, RippleResponses]:
    """Plays ripples as spectrograms to a network and reads its layers.

    Args:
        model: Takes what `to_input` gives; put it into evaluation mode first.
        layers: Names to modules of `model` whose output is `(B, C, T, F)`.
        omega: Temporal modulations [Hz].
        Omega: Spectral modulations [cycles/octave]; give both signs to tell rising from falling.
        frames: Frames of the input.
        bins: Bins of the input.
        frame_rate: Frames per second of the input [Hz].
        bins_per_octave: Bins per octave of the input; on a mel axis that above 1 kHz.
        to_input: From ripples `(B, T, F)` to what the model takes; by default a channel axis is put in.
        level: Mean of the spectrograms, in the units of the network's input.
        depth: Amplitude of the ripples, in the same units.
    Returns:
        Names to responses.
    Raises:
        ValueError: If a layer's output has not four axes, or there is no ripple.
    """
    shape = {"frames": frames, "bins": bins, "frame_rate": frame_rate, "bins_per_octave": bins_per_octave}

    def play(rate: float, density: float, phases: NDArray[np.float64]) -> Tensor:
        ripples = np.stack([ripple_spectrogram(rate, density, phase=phase, **shape) for phase in phases])
        return to_input(level + depth * torch.from_numpy(ripples))

    flat = to_input(torch.full((1, frames, bins), float(level)))
    axes = dict.fromkeys(layers, 1)
    return _follow(lambda inputs: _heard(model, layers, inputs, 4), axes, flat, play, omega, Omega)


def ripple_sound_responses(
    backbone: Backbone,
    layers: Mapping[str, nn.Module | Site],
    *,
    omega: Sequence[float],
    Omega: Sequence[float],
    low_hz: float = 125.0,
    octaves: float = 5.5,
    depth: float = 0.9,
    channel_axis: int | None = None,
    seed: int = 0,
) -> dict[str, RippleResponses]:
    """Plays ripples as sounds to any backbone and reads its layers, also where they have no axis of frequency.

    Args:
        backbone: In evaluation mode.
        layers: Names to layers whose output is `(B, ..., C, ...)`.
        omega: Temporal modulations [Hz].
        Omega: Spectral modulations [cycles/octave]; give both signs to tell rising from falling.
        low_hz: Lowest tone [Hz].
        octaves: Range of the tones; the highest lies below half the backbone's sample rate.
        depth: Modulation depth in [0, 1].
        channel_axis: Axis of the channels; None for what the backbone says of each layer: 1 behind convolutions, -1 in
            transformers' `(B, N, D)`.
        seed: Seed of the tones' own phases.
    Returns:
        Names to responses, the deviation taken from the answer to the same tones without modulation.
    Raises:
        ValueError: If there is no ripple, or a tone lies too high.
    """
    tones = {
        "duration_s": backbone.segment_samples / backbone.sample_rate,
        "sample_rate": backbone.sample_rate,
        "low_hz": low_hz,
        "octaves": octaves,
        "seed": seed,
    }
    device = next(backbone.parameters()).device

    def play(rate: float, density: float, phases: Sequence[float], depth: float = depth) -> Tensor:
        sounds = [ripple_sound(rate, density, phase=phase, depth=depth, **tones) for phase in phases]
        length = backbone.segment_samples
        return backbone.front_end(torch.from_numpy(np.stack([sound[:length] for sound in sounds])).to(device))

    flat = play(0.0, 0.0, [0.0], depth=0.0)
    axes = {name: backbone.channel_axis(name) if channel_axis is None else channel_axis for name in layers}
    return _follow(lambda inputs: _heard(backbone, layers, inputs), axes, flat, play, omega, Omega)


def _follow(
    hear: Callable[[Tensor], dict[str, Tensor]],
    axes: Mapping[str, int],
    flat: Tensor,
    play: Callable[[float, float, NDArray[np.float64]], Tensor],
    omega: Sequence[float],
    Omega: Sequence[float],
) -> dict[str, RippleResponses]:
    """Measures how far the layers' answers to ripples are from those to a flat sound; `axes` hold their channels."""
    omega, Omega = np.asarray(omega, dtype=np.float64), np.asarray(Omega, dtype=np.float64)
    if not omega.size or not Omega.size:
        raise ValueError("expected at least one temporal and one spectral modulation, got none")
    unmoved = hear(flat)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in axes}
    for rate in omega:
        for density in Omega:
            values = hear(play(rate, density, 2.0 * np.pi * np.arange(PHASES) / PHASES))
            for name, axis in axes.items():
                square = (values[name] - unmoved[name]).double().square().movedim(axis, 0)
                found[name].append(square.flatten(1).mean(1).sqrt().cpu().numpy())
    grid = (len(omega), len(Omega))
    return {
        name: RippleResponses(omega, Omega, np.stack(columns, axis=1).reshape(-1, *grid))
        for name, columns in found.items()
    }


def _heard(
    model: nn.Module, layers: Mapping[str, nn.Module | Site], inputs: Tensor, axes: int | None = None
) -> dict[str, Tensor]:
    with torch.no_grad(), capture(model, layers) as values:
        model(inputs)
    for name, value in values.items():
        if axes is not None and value.ndim != axes:
            raise ValueError(f"expected the output of {name} to have shape (B, C, T, F), got {tuple(value.shape)}")
    return dict(values)
