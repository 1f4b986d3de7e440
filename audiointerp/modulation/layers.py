"""What the layers of any two-dimensional network are tuned to, by their responses to ripples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audiointerp.activations.base import capture
from audiointerp.modulation.ripples import ripple_spectrogram

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
    layers: Mapping[str, nn.Module],
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
    omega, Omega = np.asarray(omega, dtype=np.float64), np.asarray(Omega, dtype=np.float64)
    if not omega.size or not Omega.size:
        raise ValueError("expected at least one temporal and one spectral modulation, got none")
    flat = _heard(model, layers, to_input(torch.full((1, frames, bins), float(level))))
    shape = {"frames": frames, "bins": bins, "frame_rate": frame_rate, "bins_per_octave": bins_per_octave}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in layers}
    for rate in omega:
        for density in Omega:
            phases = 2.0 * np.pi * np.arange(PHASES) / PHASES
            ripples = np.stack([ripple_spectrogram(rate, density, phase=phase, **shape) for phase in phases])
            values = _heard(model, layers, to_input(level + depth * torch.from_numpy(ripples)))
            for name in layers:
                square = (values[name] - flat[name]).double().square().mean((0, 2, 3))
                found[name].append(square.sqrt().cpu().numpy())
    grid = (len(omega), len(Omega))
    return {
        name: RippleResponses(omega, Omega, np.stack(columns, axis=1).reshape(-1, *grid))
        for name, columns in found.items()
    }


def _heard(model: nn.Module, layers: Mapping[str, nn.Module], inputs: Tensor) -> dict[str, Tensor]:
    with torch.no_grad(), capture(model, layers) as values:
        model(inputs)
    for name, value in values.items():
        if value.ndim != 4:
            raise ValueError(f"expected the output of {name} to have shape (B, C, T, F), got {tuple(value.shape)}")
    return dict(values)
