"""Any torch network as a backbone: layers by their names, read and replaced from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audiointerp.activations.base import Site, capture
from audiointerp.backbones.base import Backbone, WeightsInfo, state_digest
from audiointerp.backbones.wrapping import (
    Network,
    build,
    channel_axes,
    code_digest,
    drawn,
    find_layers,
    load_into,
    replaced,
    said,
)
from audiointerp.signatures import nearest
from audiointerp.study import UserError

BUILT = "built"


class ModuleBackbone(Backbone):
    """A network that somebody else wrote, with the layers that are named.

    Nothing of it is rewritten: layers are read by hooks, and `resume` runs the whole network on silence while the
    layer's output is replaced. Where what follows a layer also reads what came before it (a connection round it),
    that would not be the full pass: it is tried once per layer, and refused.

    Args:
        network: Builds the network (`backbone.network`), or the network itself, which is copied.
        layers: Names of submodules as `named_modules` gives them, or names of your own to these; None for the
            network's children, lists and sequences opened. Of a module that gives a tuple the first tensor is the
            layer; `NAME@1` is the second call of a module that is called several times.
        target: Name for reports and cache keys; None for the network's class.
        weights: `built` (as the target builds them), a path to a state dict, or `random`.
        seed: Seed that the network is built under.
        kind: What weights are that were not drawn at random: `trained` or `standin`.
        front_end: Turns waveforms `(B, L)` into what the network takes; None for the waveforms themselves.
        channel: Whether an axis for channels is put in behind the batch.
        output: Index or key of the wanted tensor where the network gives a tuple or dict.
        output_mean: Axes of it to take means over, so that `(B, K)` is left.
        sample_rate: Rate that the network was made for [Hz].
        segment_s: Length of an input [s].
        hop_s: Step between two inputs of a longer clip [s]; None for their length.
        output_names: One name per output unit; None for numbers.
        channel_axes: Layers to the axis of their output `(B, ...)` that holds the channels; that of the others is
            told by the network.
        version: Part of cache keys; change it with code that the network calls in other files.
    Raises:
        UserError: If a layer is not there, is not reached, is called several times or gives no tensor; if the output
            is not `(B, K)`; if the weights do not fit or a number is out of range.
    Example:
        >>> net = nn.Sequential(nn.Conv1d(1, 4, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        >>> backbone = ModuleBackbone(net, sample_rate=8000, segment_s=0.1, channel=True)
        >>> list(backbone.layers), len(backbone.output_names)
        (['0', '1', '2', '3'], 4)
    """

    def __init__(
        self,
        network: Network,
        *,
        layers: Sequence[str] | Mapping[str, str] | None = None,
        target: str | None = None,
        weights: str = BUILT,
        seed: int = 0,
        kind: str = "trained",
        front_end: Callable[[Tensor], Tensor] | None = None,
        channel: bool = False,
        output: int | str | None = None,
        output_mean: Sequence[int] = (),
        sample_rate: int = 16_000,
        segment_s: float = 1.0,
        hop_s: float | None = None,
        output_names: Sequence[str] | None = None,
        channel_axes: Mapping[str, int] | None = None,
        version: str = "1",
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        if not (sample_rate > 0 and segment_s > 0 and (hop_s is None or hop_s > 0)):
            raise UserError(
                f"expected backbone.sample_rate, segment_s and hop_s above 0, got {sample_rate}, {segment_s}, {hop_s}"
            )
        self._settings = settings
        self.network = drawn(network, seed) if weights == "random" else build(network, seed)
        self.name = target or type(self.network).__name__
        self.sample_rate = int(sample_rate)
        self.segment_samples = round(segment_s * sample_rate)
        self.hop_samples = self.segment_samples if hop_s is None else round(hop_s * sample_rate)
        self.features, self.channel = front_end, channel
        self.output, self.output_mean = output, tuple(output_mean)
        source = {"random": f"random, seed {seed}", BUILT: f"built by {self.name}"}.get(weights)
        if source is None:
            load_into(self.network, weights)
            source = Path(weights).name
        self.weights = WeightsInfo("untrained" if weights == "random" else kind, source, state_digest(self.network))
        form = (sample_rate, channel, output, self.output_mean, version)
        self.preprocessing = f"module-1:{code_digest(self, network, front_end, form)}"
        self.eval().requires_grad_(False)
        with torch.inference_mode():
            units = self(self.silence(2, torch.device("cpu"))).shape[1]
            called = self.named(layers)
            submodules = None if called is None else list(called.values())
            sites = find_layers(self.network, submodules, lambda: self(self.silence(2, torch.device("cpu"))), rows=2)
        own = {} if called is None else {submodule: name for name, submodule in called.items()}
        self._layers = {own.get(name, name): site for name, site in sites.items()}
        if output_names is not None and len(output_names) != units:
            raise UserError(f"expected {units} backbone.output_names, one per output, got {len(output_names)}")
        self.output_names = [str(name) for name in output_names or (f"output {k + 1}" for k in range(units))]
        self._stand_for: dict[str, int] = {}
        self._axes = dict(channel_axes or {})
        for layer, axis in self._axes.items():
            self._check_axis(layer, axis)

    def named(self, layers: Sequence[str] | Mapping[str, str] | None) -> dict[str, str] | None:
        """Gives names of layers to names of submodules; None where they are to be found."""
        if layers is None or isinstance(layers, Mapping):
            return None if layers is None else {str(name): str(submodule) for name, submodule in layers.items()}
        return {str(name): str(name) for name in layers}

    @property
    def layers(self) -> Mapping[str, Site]:
        """Layer names to their places in the network, in the order of the forward pass."""
        return self._layers

    def site(self, layer: str) -> Site:
        """Gives the place of a layer.

        Raises:
            UserError: If there is no such layer; names the nearest.
        """
        if layer not in self.layers:
            raise UserError(f"expected a layer of {self.name}, got {layer!r}: {nearest(layer, self.layers)}")
        return self.layers[layer]

    def _check_axis(self, layer: str, axis: object) -> None:
        silence = self.silence(2, next(self.parameters()).device)
        count = {layer: lambda found: torch.tensor(found.ndim)}
        with torch.inference_mode(), capture(self, {layer: self.site(layer)}, count) as values:
            self(silence)
        rank = int(values[layer])
        if isinstance(axis, bool) or not isinstance(axis, int) or axis not in {*range(1, rank), *range(1 - rank, 0)}:
            raise UserError(
                f"expected backbone.channel_axes of {layer} as a whole number from 1 to {rank - 1} or from {1 - rank} "
                f"to -1, got {axis!r}: its output has {rank} axes, the first is the batch's"
            )

    def channel_axis(self, layer: str) -> int:
        """Tells the axis of a layer's output `(B, ...)` that holds its channels.

        Raises:
            UserError: If there is no such layer.
        """
        self.site(layer)
        if layer not in self._axes:
            silence = self.silence(2, next(self.parameters()).device)
            with torch.inference_mode():
                self._axes = channel_axes(self, self.layers, lambda: self(silence)) | self._axes
        return self._axes[layer]

    def front_end(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, segment_samples)` into what the network takes."""
        features = waveforms if self.features is None else self.features(waveforms)
        return features.unsqueeze(1) if self.channel else features

    def forward(self, features: Tensor) -> Tensor:
        """Turns features into outputs `(B, K)`.

        Raises:
            UserError: If the network gives something else; says which setting picks it out.
        """
        found = self.network(features)
        if self.output is not None:
            try:
                found = found[self.output]
            except (LookupError, TypeError) as error:
                raise UserError(
                    f"expected the output of {self.name} to have a part {self.output!r}, got {said(found)}: "
                    "set backbone.output"
                ) from error
        if not isinstance(found, Tensor):
            raise UserError(f"expected {self.name} to give one tensor, got {said(found)}: say which, backbone.output=")
        found = found.mean(self.output_mean) if self.output_mean else found
        if found.ndim != 2:
            raise UserError(
                f"expected {self.name} to give a tensor (B, K), got {said(found)}: take means over the other axes, "
                "backbone.output_mean=[AXIS]"
            )
        return found

    def silence(self, rows: int, device: torch.device) -> Tensor:
        """Gives the features of `rows` silent inputs."""
        return self.front_end(torch.zeros(rows, self.segment_samples, device=device))

    def resume(self, layer: str, activation: Tensor) -> Tensor:
        """Runs what follows `layer` on its output; what comes before it runs on silence.

        Args:
            layer: Name of the layer.
            activation: Its output, first axis `B`; it is not changed.
        Raises:
            UserError: If there is no such layer, or the rest of the network reads more than its output.
        """
        self.site(layer)
        if layer not in self._stand_for:
            self._stand_for[layer] = self._try(layer)
        rows = self._stand_for[layer] or len(activation)
        return self._pass(layer, activation, self.silence(rows, activation.device))

    def _pass(self, layer: str, activation: Tensor, features: Tensor, **given: Any) -> Tensor:
        """Runs the network with the output of a layer replaced."""
        site, calls = self.layers[layer], 0

        def replace(module: nn.Module, args: Any, found: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls - 1 != (site.call or 0):
                return None
            value = activation.clone()  # what follows may work in place
            return value if site.output is None else replaced(found, site.output, value)

        handle = site.module.register_forward_hook(replace)
        try:
            return self(features, **given)
        finally:
            handle.remove()

    def _try(self, layer: str) -> int:
        """Tells how many silent inputs may stand before a layer: 1, or 0 for as many as there are activations."""
        device = next(self.parameters()).device
        noise = 0.1 * torch.randn(2, self.segment_samples, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode(), capture(self, {layer: self.layers[layer]}) as values:
            whole = self(self.front_end(noise.to(device)))
        captured = values[layer]
        for rows in (1, 2):
            try:
                with torch.inference_mode():
                    resumed = self._pass(layer, captured, self.silence(rows, device))
            except (RuntimeError, ValueError):  # one input stands where two were heard
                continue
            if torch.equal(resumed, whole):
                return rows % 2
        raise UserError(
            f"expected to go on from {layer!r} of {self.name}, but what follows reads more than its output (a "
            "connection leads round it): choose a layer that everything passes through"
        )

    def untrained(self, seed: int) -> ModuleBackbone:
        """Gives the same architecture with weights drawn from `seed`, also where the target loads weights itself."""
        settings = {**self._settings, "weights": "random", "seed": seed, "output_names": self.output_names}
        return type(self)(**settings).to(next(self.parameters()).device)
