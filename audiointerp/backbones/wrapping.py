"""What wrapping somebody else's network takes: building it, finding its layers, drawing it anew, telling its code."""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audiointerp.activations.base import Site, capture
from audiointerp.backbones.weights import load_state
from audiointerp.signatures import nearest
from audiointerp.study import UserError

Network = Callable[..., nn.Module] | nn.Module


def build(network: Network, seed: int) -> nn.Module:
    """Builds a network under a seed of its own; one that is there already is copied.

    Raises:
        UserError: If it cannot be built with what it was given, or what comes is no module.
    """
    if isinstance(network, nn.Module):
        return copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            built = network()
        except TypeError as error:
            raise UserError(f"backbone.network cannot be built: {error}; give +backbone.network.KEY=VALUE") from error
    if not isinstance(built, nn.Module):
        raise UserError(f"expected backbone.target to give a torch.nn.Module, got {type(built).__name__}")
    return built


def load_into(network: nn.Module, path: str | os.PathLike) -> None:
    """Loads a state dict that fits exactly.

    Raises:
        UserError: If tensors are missing, unknown or of another shape.
    """
    state, expected = load_state(Path(path).expanduser()), network.state_dict()
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    wrong = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    if missing or unknown or wrong:
        raise UserError(
            f"expected the {len(expected)} tensors of {type(network).__name__} in {os.fspath(path)}, got "
            f"{len(missing)} missing, {len(unknown)} unknown, {len(wrong)} of another shape (first: "
            f"{(wrong + missing + unknown)[0]})"
        )
    network.load_state_dict(state)


def drawn(network: Network, seed: int) -> nn.Module:
    """Builds a network none of whose weights were learnt.

    A target may load weights by itself. What it loads comes out the same under two seeds: it is drawn anew by its
    module's `reset_parameters`, and where there is none the values of the tensor are shuffled.
    """
    one, other = build(network, seed), build(network, seed + 1)
    others = dict(other.named_modules())
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for name, module in one.named_modules():
            own, twin = _own(module), _own(others[name])
            loaded = [key for key, value in own.items() if _varies(value) and torch.equal(value, twin[key])]
            if loaded and hasattr(module, "reset_parameters"):
                module.reset_parameters()
            else:
                for key in loaded:
                    if isinstance(own[key], nn.Parameter):  # a buffer without a reset is a window, a filterbank
                        flat = own[key].reshape(-1)
                        own[key].copy_(flat[torch.randperm(len(flat))].reshape(own[key].shape))
    return one


def _own(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a module itself."""
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _varies(value: Tensor) -> bool:
    return value.is_floating_point() and value.numel() > 1 and bool((value != value.reshape(-1)[0]).any())


def opened(network: nn.Module) -> list[str]:
    """Gives the names of the children, lists and sequences opened.

    Example:
        >>> opened(nn.ModuleDict({"body": nn.Sequential(nn.ReLU(), nn.ReLU()), "head": nn.Linear(2, 2)}))
        ['body.0', 'body.1', 'head']
    """
    names: list[str] = []
    for name, child in network.named_children():
        inner = opened(child) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        names += [f"{name}.{part}" for part in inner] or [name]
    return names


def find_layers(
    network: nn.Module, wanted: Sequence[str] | None, run: Callable[[], object], rows: int
) -> dict[str, Site]:
    """Finds the places of layers, and their order, by running a network once.

    Args:
        network: The network.
        wanted: Names as in `ModuleBackbone`; None for the children that can be layers.
        run: Runs the network on `rows` inputs.
        rows: Number of inputs, for telling a tensor with a batch axis.
    Raises:
        UserError: If a layer is not there, is not reached, is called several times or gives no tensor.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    names = opened(network) if wanted is None else list(dict.fromkeys(map(str, wanted)))
    for name in names:
        if name.partition("@")[0] not in modules:
            raise UserError(
                f"backbone.layers: {type(network).__name__} has no submodule {name!r}: {nearest(name, modules)}"
            )
    calls: dict[str, list[Any]] = {name.partition("@")[0]: [] for name in names}
    order: list[str] = []

    def note(name: str, found: Any) -> None:
        order.append(f"{name}@{len(calls[name])}")
        calls[name].append(found)

    handles = [modules[name].register_forward_hook(lambda m, a, found, name=name: note(name, found)) for name in calls]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    sites: dict[str, Site] = {}
    for name in names:
        module, _, call = name.partition("@")
        try:
            sites[name] = _site(modules[module], calls[module], call, rows)
        except UserError as error:
            if wanted is not None:
                raise UserError(f"backbone.layers: {name!r} {error}") from error
    if not sites:
        raise UserError(
            f"expected backbone.layers=[NAME, ...], got none, and {type(network).__name__} shows none by itself: "
            f"{nearest('', modules)}"
        )
    return {name: sites[name] for name in sorted(sites, key=lambda n: order.index(n if "@" in n else f"{n}@0"))}


def _site(module: nn.Module, found: list[Any], call: str, rows: int) -> Site:
    if not found:
        raise UserError("is not reached in the forward pass: choose a layer that is")
    if not call and len(found) > 1:
        raise UserError(f"is called {len(found)} times in one forward pass: say which is meant, NAME@0 is the first")
    if call and not (call.isdigit() and int(call) < len(found)):
        raise UserError(f"is called {len(found)} times, there is no call {call}: NAME@0 is the first")
    value, key = found[int(call or 0)], None
    if isinstance(value, Mapping) and value:
        key = "last_hidden_state" if "last_hidden_state" in value else next(iter(value))
    elif isinstance(value, tuple | list) and value:
        key = 0
    tensor = value if key is None else value[key]
    if not (isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim > 1 and len(tensor) == rows):
        raise UserError(f"gives {said(tensor)} for {rows} inputs, expected a tensor (B, ...): choose another layer")
    return Site(module, key, int(call) if call else None)


def channel_axes(
    network: nn.Module, layers: Mapping[str, nn.Module | Site], run: Callable[[], object]
) -> dict[str, int]:
    """Tells the axis of the channels of each layer's output `(B, ...)`, by running a network once.

    It is the one that is as wide as what the last module with weights gives: 1 behind convolutions, -1 behind linear
    layers and in transformers. Where that one is not, as behind a concatenation, another one that is as wide is taken,
    or 1, and a warning says so.

    Args:
        network: The network.
        layers: Names to layers of it.
        run: Runs the network.
    Example:
        >>> net = nn.Sequential(nn.Conv1d(1, 3, 5), nn.ReLU(), nn.Linear(8, 6))
        >>> channel_axes(net, {"relu": net[1], "linear": net[2]}, lambda: net(torch.zeros(1, 1, 12)))
        {'relu': 1, 'linear': -1}
    """
    width, usual = 0, 1

    def note(module: nn.Module, args: object, found: object) -> None:
        nonlocal width, usual
        width, usual = _channels(module) or (width, usual)

    def axis(value: Tensor) -> Tensor:
        fitting = [axis for axis in (usual, *range(1, value.ndim)) if value.shape[axis] == width]
        sure = int(bool(fitting) and fitting[0] == usual)
        return torch.tensor([fitting[0] if fitting else 1, sure])

    handles = [module.register_forward_hook(note) for module in network.modules() if _channels(module)]
    try:
        with capture(network, layers, dict.fromkeys(layers, axis)) as values:
            run()
    finally:
        for handle in handles:
            handle.remove()
    for name in layers:
        if not values[name][1]:
            logging.getLogger(__name__).warning(
                "layer %s: axis %d is taken for its channels, which the network does not tell; "
                "backbone.channel_axes={%s: AXIS} sets another",
                *(name, int(values[name][0]), name),
            )
    return {name: int(values[name][0]) for name in layers}


def _channels(module: nn.Module) -> tuple[int, int] | None:
    """How many channels a module of torch gives, and their usual axis; None for those that leave them as they are."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return module.out_channels, 1
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.num_features, 1
    if isinstance(module, nn.GroupNorm):
        return module.num_channels, 1
    if isinstance(module, nn.Linear):
        return module.out_features, -1
    if isinstance(module, nn.LayerNorm):
        return module.normalized_shape[-1], -1
    if isinstance(module, nn.RNNBase):
        return (module.proj_size or module.hidden_size) * (1 + module.bidirectional), -1
    return None


def replaced(found: Any, key: int | str, value: Tensor) -> Any:
    """Gives a tuple, list or dict with one part replaced.

    Example:
        >>> replaced((torch.zeros(1), "rest"), 0, torch.ones(1))
        (tensor([1.]), 'rest')
    """
    if isinstance(found, Mapping):
        changed = copy.copy(found)
        changed[key] = value
        return changed
    parts = [*found]
    parts[key] = value
    return type(found)(*parts) if hasattr(found, "_fields") else type(found)(parts)


def said(value: Any) -> str:
    """Says in a few words what a module gave.

    Example:
        >>> said(torch.zeros(2, 3)), said((1, 2)), said({"logits": 0})
        ('a tensor (2, 3)', 'a tuple of 2', 'a dict with logits')
    """
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(str, value))}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list) else "")


def code_digest(module: nn.Module, *others: Any) -> str:
    """Hashes what a network computes beside its weights: its printed form and the source files of its parts.

    Files of torch are left out (its version is in the cache's keys anyway). A function that the forward pass calls in
    another file of yours is not seen: change `backbone.version` with it.

    Args:
        module: The network.
        others: Callables and plain values that take part, `functools.partial`s with what they hold.
    """
    digest = hashlib.sha256(repr(module).encode())
    kinds: dict[str, Any] = {f"{type(m).__module__}.{type(m).__qualname__}": type(m) for m in module.modules()}
    for other in others:
        if isinstance(other, partial):
            digest.update(repr((other.args, sorted(other.keywords.items()))).encode())
            other = other.func
        if callable(other) and not isinstance(other, nn.Module):
            kinds[f"{other.__module__}.{getattr(other, '__qualname__', type(other).__qualname__)}"] = other
        elif not isinstance(other, nn.Module):
            digest.update(repr(other).encode())
    files = {}
    for name in sorted(kinds):
        if name.split(".")[0] in ("torch", "builtins"):
            continue
        digest.update(name.encode())
        try:
            source = inspect.getmodule(kinds[name]) or kinds[name]
            files[source.__name__] = Path(inspect.getsourcefile(source) or "").read_bytes()
        except (TypeError, OSError):  # written at a prompt: what is left is its code
            code = getattr(getattr(kinds[name], "forward", kinds[name]), "__code__", None)
            digest.update(b"" if code is None else code.co_code + repr(code.co_consts).encode())
    for name in sorted(files):
        digest.update(files[name])
    return digest.hexdigest()
