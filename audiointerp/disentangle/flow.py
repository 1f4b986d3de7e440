"""An invertible flow that gives each factor a block of dimensions of its own, on nflows' transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from nflows.transforms import (
    ActNorm,
    AdditiveCouplingTransform,
    AffineCouplingTransform,
    CompositeTransform,
    HouseholderSequence,
    PiecewiseRationalQuadraticCouplingTransform,
    RandomPermutation,
    Transform,
)
from nflows.transforms.coupling import CouplingTransform
from torch import Tensor, nn

from audiointerp.study import UserError

RESIDUAL = "residual"


class AlternatingCoupling(CouplingTransform):
    """A coupling of every other dimension: strided views, where nflows gathers by index and scatters gradients back.

    Args:
        mask: Alternating 0 (drives) and 1 (is transformed), shape `(D,)`.
    """

    def __init__(self, mask: Tensor, create_net: Callable[[int, int], nn.Module], **settings) -> None:
        super().__init__(mask, create_net, **settings)
        self.start = int(mask[0])

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._couple(inputs, self._coupling_transform_forward)

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._couple(inputs, self._coupling_transform_inverse)

    def _couple(
        self, inputs: Tensor, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        driving, driven = inputs[:, self.start :: 2], inputs[:, 1 - self.start :: 2]
        changed, log_det = change(driven, self.transform_net(driving))
        outputs = torch.empty_like(inputs)
        outputs[:, self.start :: 2] = driving
        outputs[:, 1 - self.start :: 2] = changed
        return outputs, log_det


class AdditiveCoupling(AlternatingCoupling, AdditiveCouplingTransform):
    """A coupling that shifts one half of the dimensions: volume-preserving."""


class SplineCoupling(AlternatingCoupling, PiecewiseRationalQuadraticCouplingTransform):
    """A coupling that bends one half of the dimensions by monotone rational-quadratic splines."""


class ClampedAffineCoupling(AlternatingCoupling, AffineCouplingTransform):
    """An affine coupling whose log-scale stays within +-`clamp`: inversion cannot explode."""

    def __init__(self, mask: Tensor, create_net: Callable[[int, int], nn.Module], clamp: float) -> None:
        super().__init__(mask, create_net)
        self.clamp = clamp

    def _scale_and_shift(self, transform_params: Tensor) -> tuple[Tensor, Tensor]:
        raw = transform_params[:, self.num_transform_features :]
        shift = transform_params[:, : self.num_transform_features]
        return torch.exp(self.clamp * torch.tanh(raw / self.clamp)), shift

    def extra_repr(self) -> str:
        return f"clamp={self.clamp}"


class Rotation(Transform):
    """A fixed orthogonal map, such as the one that puts linearly readable factors into their blocks to begin with."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(features))

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs @ self.matrix, inputs.new_zeros(len(inputs))

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs @ self.matrix.T, inputs.new_zeros(len(inputs))


class Reflections(HouseholderSequence):
    r"""A sequence of Householder reflections as one change of rank K, where nflows reflects K times in turn.

    With the normals as rows of V, :math:`x H_1 \cdots H_K = x - x V^\top U^{-1} V`, U being the upper triangle of
    :math:`V V^\top` with its diagonal halved.

    References:
        Accumulating Householder transformations, revisited (Joffrain et al., 2006).
    """

    @staticmethod
    def _apply_transforms(inputs: Tensor, q_vectors: Tensor) -> tuple[Tensor, Tensor]:
        gram = (q_vectors[:, None] * q_vectors).sum(-1)  # no matrix product: autocast would round it, solving does not
        upper = gram.triu() - 0.5 * torch.diag(gram.diagonal())
        change = inputs @ q_vectors.T @ torch.linalg.solve_triangular(upper, q_vectors, upper=True)
        return inputs - change, inputs.new_zeros(len(inputs))


class CouplingNet(nn.Module):
    """The small network that drives a coupling: `depth` x (linear, leaky ReLU), then linear; starts at zero."""

    def __init__(self, inputs: int, outputs: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.hidden_features = hidden  # nflows' splines scale their parameters down by it
        sizes = [inputs] + [hidden] * depth
        layers: list[nn.Module] = []
        for size, following in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(size, following), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.head(self.body(x))


class FactorFlow(nn.Module):
    r"""Maps reduced activations to a latent whose leading block is the residual, followed by one block per factor.

    Each stage is ActNorm, an orthogonal mixing, and two couplings that transform one half of the dimensions from the
    other in turn.

    Args:
        features: Number of dimensions D.
        blocks: Factor names to block sizes, in order; what is left is the residual.
        stages: Number of stages.
        coupling: `additive` (volume-preserving), `affine` (softly clamped) or `spline` (rational-quadratic).
        mixing: `householder` (learned) or `permutation` (fixed).
        hidden: Width of the coupling networks.
        depth: Hidden layers of the coupling networks.
        reflections: Householder reflections per stage.
        clamp: Largest absolute log-scale of an affine coupling.
        seed: For the initial values.
    Raises:
        UserError: If the blocks do not fit, or a coupling or mixing is unknown.
    References:
        Disentangling Intermediate Representations in Sound-to-Event DNNs using Invertible Flow Models (Dick et al.);
        A Disentangling Invertible Interpretation Network (Esser et al., 2020).
    """

    def __init__(
        self,
        features: int,
        blocks: Mapping[str, int],
        *,
        stages: int = 5,
        coupling: str = "additive",
        mixing: str = "householder",
        hidden: int = 64,
        depth: int = 3,
        reflections: int = 8,
        clamp: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        residual = features - sum(blocks.values())
        if residual < 0 or any(size < 1 for size in blocks.values()):
            raise UserError(
                f"expected blocks of at least 1 dimension that fit into {features}, got {dict(blocks)}: "
                "use more components or smaller blocks"
            )
        if coupling not in ("additive", "affine", "spline"):
            raise UserError(f"expected coupling additive, affine or spline, got {coupling!r}")
        if mixing not in ("householder", "permutation"):
            raise UserError(f"expected mixing householder or permutation, got {mixing!r}")
        self.features = features
        self.blocks: dict[str, slice] = {}
        start = 0
        for name, size in {RESIDUAL: residual, **blocks}.items():
            self.blocks[name] = slice(start, start + size)
            start += size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.rotation = Rotation(features)
            parts = [
                part for _ in range(stages) for part in self._stage(coupling, mixing, hidden, depth, reflections, clamp)
            ]
            self.transform = CompositeTransform([self.rotation, *parts])

    def _stage(
        self, coupling: str, mixing: str, hidden: int, depth: int, reflections: int, clamp: float
    ) -> list[Transform]:
        mask = torch.arange(self.features) % 2

        def net(inputs: int, outputs: int) -> nn.Module:
            return CouplingNet(inputs, outputs, hidden, depth)

        def couple(mask: Tensor) -> Transform:
            if coupling == "additive":
                return AdditiveCoupling(mask, net)
            if coupling == "affine":
                return ClampedAffineCoupling(mask, net, clamp)
            return SplineCoupling(mask, net, num_bins=8, tails="linear", tail_bound=4.0)

        if mixing == "householder":
            mixer = Reflections(self.features, reflections)
            # Equal pairs of reflections cancel: the mixing starts as the identity, in random planes.
            half = torch.randn(-(-reflections // 2), self.features).repeat_interleave(2, dim=0)[:reflections]
            mixer.q_vectors.data.copy_(half + 1e-2 * torch.randn_like(half))
        else:
            mixer = RandomPermutation(self.features)
        return [ActNorm(self.features), mixer, couple(mask), couple(1 - mask)]

    @torch.no_grad()
    def align(self, scores: Tensor, labels: Mapping[str, Tensor]) -> None:
        """Turns the flow's axes so that each block starts on the directions that separate its factor's class means.

        Factors take turns by strength; a later one gets its directions orthogonal to the earlier ones'. Training starts
        from this linear solution rather than from arbitrary axes.

        Args:
            scores: Training rows, shape `(N, D)`.
            labels: Factor names to integer labels, each `(N,)`.
        """
        centred = (scores - scores.mean(0)).double()
        means = {
            name: torch.stack([centred[labels[name] == label].mean(0) for label in labels[name].unique()])
            for name in self.blocks
            if name != RESIDUAL
        }
        free = torch.eye(self.features, dtype=torch.double)
        basis = torch.empty(self.features, self.features, dtype=torch.double)
        for name in sorted(means, key=lambda name: -float(means[name].square().mean())):
            block = self.blocks[name]
            directions = torch.linalg.svd(means[name] @ free, full_matrices=True)[2]
            size = block.stop - block.start
            basis[:, block] = free @ directions[:size].T
            free = free @ directions[size:].T
        basis[:, self.blocks[RESIDUAL]] = free
        mixed = torch.eye(self.features, dtype=torch.double)
        for part in self.transform.modules():
            if isinstance(part, Reflections | RandomPermutation):
                mixed, _ = copy.deepcopy(part).double()(mixed)
        # The stages mix the axes again: what they do to them is undone beforehand.
        self.rotation.matrix.copy_(basis @ mixed.T)

    def forward(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Turns reduced activations `(B, D)` into latents `(B, D)` and log |det J| `(B,)`."""
        return self.transform(scores)

    def inverse(self, latents: Tensor) -> Tensor:
        """Turns latents `(B, D)` back into reduced activations `(B, D)`."""
        return self.transform.inverse(latents)[0]

    def change(self, scores: Tensor, reference: Tensor, factor: str, strength: float = 1.0) -> Tensor:
        """Gives the change of `scores` `(B, D)` that moves the factor's block to that of `reference`.

        A reference with the same block gives a change of zero up to the flow's rounding.

        Args:
            scores: Rows to edit, shape `(B, D)`.
            reference: Rows to take the block from, shape `(B, D)`.
            factor: Whose block is moved.
            strength: How far: 0 is not at all, 1 all the way, 2 as far again.
        """
        latents, _ = self(scores)
        wanted, _ = self(reference)
        return self.inverse(self.swap(latents, torch.lerp(latents, wanted, strength), factor)) - scores

    def swap(self, latents: Tensor, others: Tensor, factor: str) -> Tensor:
        """Gives `latents` with the factor's block taken from `others`; everything else is kept."""
        swapped = latents.clone()
        block = self.blocks[factor]
        swapped[:, block] = others[:, block]
        return swapped
