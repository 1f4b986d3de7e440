"""Other explainers through one call: captum's attributions of a class or a map to what a network hears."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from audiointerp.sonify.chain import chain_of, shortest_input
from audiointerp.study import UserError

METHODS = ("saliency", "integrated gradients", "guided backprop", "deconvolution", "LRP")
"""Methods of captum that are offered."""


class Unfolded(nn.Module):
    """A chain network written out as modules, each ReLU one of its own, as captum's methods need it.

    Args:
        model: A chain (see `chain_of`) with `resume(layer, activation)`, which begins with the mean over time; it is
            copied.
        layer: Where to stop and give the mean of each map; None for the network's logits.
    Raises:
        UserError: If the network is no chain, or its head is none that begins with the mean over time.
    """

    def __init__(self, model: nn.Module, layer: str | None = None) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval()
        stages = chain_of(model)
        if layer is not None and layer not in stages:
            raise UserError(f"expected a layer from {', '.join(stages)}, got {layer!r}")
        if layer is None and not hasattr(model, "resume"):
            raise UserError(f"expected a network with resume(layer, activation), got {type(model).__name__}")
        kept = list(stages)[: list(stages).index(layer) + 1] if layer is not None else list(stages)
        parts: list[nn.Module] = []
        for name in kept:
            stage = stages[name]
            parts += [stage.conv, nn.ReLU()] + ([nn.MaxPool1d(stage.pool)] if stage.pool > 1 else [])
        self.chain = nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1))  # a rule of relevance needs a module for the mean
        self.head = nn.ModuleList(part for part in model.modules() if isinstance(part, nn.Linear))
        self._resume: Callable[[str, Tensor], Tensor] | None = None if layer is not None else model.resume
        self._last = kept[-1]
        with torch.no_grad():
            silence = torch.zeros(1, stages[kept[0]].conv.in_channels, shortest_input(stages.values()) * 3)
            features = silence.to(stages[kept[0]].conv.weight)
            if layer is None and not torch.allclose(self(features), model(features), atol=1e-5):
                raise UserError(
                    "expected a network that takes the mean over time after its last block, got another head"
                )

    def forward(self, features: Tensor) -> Tensor:
        """Turns features `(B, 1, L)` into logits `(B, K)`, or means of maps `(B, C)`."""
        mean = self.chain(features)
        return mean[..., 0] if self._resume is None else self._resume(self._last, mean)


def attribute(
    network: nn.Module, features: Tensor, targets: Tensor, method: str, *, steps: int = 16, baseline: float = 0.0
) -> Tensor:
    """Attributes outputs to features by one of captum's methods.

    Args:
        network: Features to outputs `(B, K)`, each ReLU a module called once; for a chain `Unfolded(model)`.
        features: What the network takes, first axis `B`.
        targets: Index of the output of each clip, int64 `(B,)`.
        method: One of `METHODS`. Gradients keep their sign; LRP takes the epsilon rule throughout.
        steps: Points on the path of integrated gradients.
        baseline: Where that path begins, such as the level of silence in a log picture.
    Returns:
        Attributions, shape of `features`.
    Raises:
        UserError: If there is no such method.
    References:
        Captum: A unified and generic model interpretability library for PyTorch (Kokhlikyan et al., 2020).
    """
    if method not in METHODS:
        raise UserError(f"expected a method out of {', '.join(METHODS)}, got {method!r}")
    from captum import attr

    features = features.detach().clone().requires_grad_(True)
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.filterwarnings("ignore", message=".*hook.*")
        warnings.filterwarnings("ignore", message=".*required_grads.*")
        if method == "saliency":
            found = attr.Saliency(network).attribute(features, target=targets, abs=False)
        elif method == "integrated gradients":
            found = attr.IntegratedGradients(network).attribute(
                features, baselines=baseline, target=targets, n_steps=steps, internal_batch_size=len(features)
            )
        elif method == "guided backprop":
            found = attr.GuidedBackprop(network).attribute(features, target=targets)
        elif method == "deconvolution":
            found = attr.Deconvolution(network).attribute(features, target=targets)
        else:
            found = _relevance(network, features, targets)
    return found.detach()


def _relevance(network: nn.Module, features: Tensor, targets: Tensor) -> Tensor:
    """Layer-wise relevance propagation; captum has no rule for some convolutions, and leaves its own on an error."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    network = copy.deepcopy(network)
    weighted = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    pooling = (nn.MaxPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
    for part in network.modules():
        if isinstance(part, (*weighted, *pooling)):
            part.rule = EpsilonRule()
    return LRP(network).attribute(features, target=targets)
