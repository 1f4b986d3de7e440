"""Capture: the outputs of layers while the network runs, without changing what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Site:
    """A place in a network whose value is wanted.

    Attributes:
        module: The module whose output is read.
        output: Index or key of the wanted tensor where the module returns a tuple, list or dict.
        call: Which call of the module in one forward pass is read, where it is called several times.
    """

    module: nn.Module
    output: int | str | None = None
    call: int | None = None


@contextmanager
def capture(
    model: nn.Module,
    layers: Mapping[str, nn.Module | Site],
    transform: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> Iterator[dict[str, Tensor]]:
    r"""Records the output of each layer while the context is open; the network's outputs stay bit-equal.

    A value is copied, or transformed, the moment its layer returns, so that a later in-place operation cannot change
    it. With `transform` the full activation is never copied: that is what keeps memory bounded. A layer that is called
    outside a forward pass of `model`, as `resume` does, is not recorded.

    Args:
        model: The network, left without hooks on exit, even after an error.
        layers: Names to modules of `model`, or to `Site`s.
        transform: Names to functions of the layer's output whose result is kept in its place.
    Yields:
        A dict that each forward pass of `model` fills anew: name to a detached tensor, shape as the layer gives it.
    Raises:
        ValueError: If a module is no part of `model`, or `transform` names no layer.
        TypeError: If a layer gives something else than one tensor, or not the part that its `Site` says; the message
            names the layer.
        RuntimeError: If a layer was called more than once without a `Site` that says which call is meant, or was not
            reached.
    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
        >>> with capture(net, {"linear": net[0]}) as values:
        ...     out = net(torch.ones(1, 2))
        >>> values["linear"].shape
        torch.Size([1, 3])
    """
    parts = set(model.modules())
    sites = {name: site if isinstance(site, Site) else Site(site) for name, site in layers.items()}
    for name, site in sites.items():
        if site.module not in parts:
            raise ValueError(
                f"expected {name!r} to be a module of {type(model).__name__}, got one that is no part of it"
            )
    transform = transform or {}
    unknown = [name for name in transform if name not in sites]
    if unknown:
        raise ValueError(f"expected transforms of the layers {list(sites)}, got {unknown}")
    values: dict[str, Tensor] = {}
    calls: dict[str, int] = {}
    handles = []
    running = False

    def start(module: nn.Module, args: object) -> None:
        nonlocal running
        running = True
        values.clear()
        calls.clear()

    def record(name: str, site: Site, output: object) -> None:
        if not running:
            return
        call = calls[name] = calls.get(name, -1) + 1
        if site.call is None and call > 0:
            raise RuntimeError(
                f"layer {name!r} was called more than once in one forward pass: say which call is meant, "
                "Site(module, call=0) is the first"
            )
        if call != (site.call or 0):
            return
        value = output if site.output is None else _part(name, output, site.output)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"expected layer {name!r} to give one tensor, got {type(value).__name__}: "
                "say which part is meant, Site(module, output=0) is the first"
            )
        value = value.detach()
        kept = transform[name](value) if name in transform else value
        shared = kept.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()
        values[name] = kept.clone() if shared else kept

    def finish(module: nn.Module, args: object, output: object) -> None:
        nonlocal running
        running = False
        lost = [name for name in sites if name not in values]
        if lost:
            raise RuntimeError(f"layers {lost} were not reached in the forward pass, or not called as often as asked")

    try:
        handles.append(model.register_forward_pre_hook(start))
        for name, site in sites.items():
            handles.append(
                site.module.register_forward_hook(
                    lambda module, args, output, name=name, site=site: record(name, site, output)
                )
            )
        handles.append(model.register_forward_hook(finish))
        yield values
    finally:
        for handle in handles:
            handle.remove()


def _part(name: str, output: object, key: int | str) -> object:
    if isinstance(output, Tensor):  # indexing it would give its first example
        raise TypeError(f"expected layer {name!r} to give a tuple, list or dict with a part {key!r}, got one tensor")
    try:
        return output[key]
    except (LookupError, TypeError) as error:
        raise TypeError(
            f"expected layer {name!r} to give a part {key!r}, got a {type(output).__name__} without it"
        ) from error
