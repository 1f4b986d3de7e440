"""Exact linear reductions: standardise, PCA, standardise; and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from audiointerp.study import UserError


@dataclass(frozen=True)
class LinearReduction:
    r"""A reduction :math:`z = ((x - m) / s)\, W / t` of activations and the exact lift of changes of :math:`z`.

    The columns of :math:`W` are orthonormal, so that :math:`x + s\,(t\,\Delta z)\,W^T` reduces to
    :math:`z + \Delta z` and keeps everything orthogonal to the components.

    Attributes:
        mean: Mean of each feature :math:`m`, shape `(D,)`.
        scale: Standard deviation of each feature :math:`s` (1 where it does not vary), shape `(D,)`.
        components: Principal directions :math:`W`, shape `(D, k)`.
        score_scale: Standard deviation of each component :math:`t`, shape `(k,)`.
        explained: Share of the standardised variance that each component holds, shape `(k,)`.
        convergence: Mean squared cosine between this subspace and that of half the clips; 1 is the same subspace.
        shape: Shape of one activation before it was flattened.
    """

    mean: Tensor
    scale: Tensor
    components: Tensor
    score_scale: Tensor
    explained: Tensor
    convergence: float
    shape: tuple[int, ...]

    def affine(self) -> tuple[Tensor, Tensor]:
        """Gives the reduction as one matrix `(D, k)` and offset `(k,)`: `z = x @ matrix + offset`."""
        matrix = self.components / self.scale[:, None] / self.score_scale
        return matrix, -(self.mean.double() @ matrix.double()).float()

    def reduce(self, activations: Tensor) -> Tensor:
        """Turns activations `(B, ...)` into scores `(B, k)`."""
        flat = (activations.flatten(1) - self.mean) / self.scale
        return flat @ self.components / self.score_scale

    def lifted_norm(self, change: Tensor) -> Tensor:
        """Gives the norm `(B,)` that changes of the scores `(B, k)` have once they are lifted, without lifting them."""
        weighted = self.components * self.scale[:, None]
        scaled = change * self.score_scale
        return ((scaled @ (weighted.T @ weighted)) * scaled).sum(1).clamp(min=0).sqrt()

    def lift(self, change: Tensor) -> Tensor:
        """Turns a change of the scores `(B, k)` into the change of the activations `(B, *shape)`."""
        return ((change * self.score_scale) @ self.components.T * self.scale).unflatten(1, self.shape)


def fit_reduction(activations: Tensor, components: int, shape: tuple[int, ...] | None = None) -> LinearReduction:
    """Fits a reduction through the Gram matrix of the clips: exact, and quick as long as clips are fewer than features.

    Args:
        activations: Flattened activations float32, shape `(N, D)`. Overwritten with their standardised form, so that
            no second copy of a large layer is made.
        components: Number of components wanted; fewer come back where the clips span less.
        shape: Shape of one activation before it was flattened, `(D,)` by default.
    Raises:
        UserError: If there are fewer than three clips, nothing varies, or a value is not finite.
    """
    n, d = activations.shape
    if n < 3:
        raise UserError(f"expected at least 3 clips to fit a reduction, got {n}: give the role `fit` a larger share")
    mean = activations.mean(0)
    activations -= mean
    scale = torch.linalg.vector_norm(activations, dim=0) / n**0.5
    # What is left of a constant is the rounding of its mean; standardised, it would pass for a signal.
    constant = scale <= torch.maximum(1e-6 * mean.abs(), 1e-7 * scale.max())
    activations[:, constant] = 0.0
    scale[constant] = 1.0
    activations /= scale
    rows = activations.numpy()
    gram = torch.from_numpy(rows @ rows.T).double()  # numpy sees the symmetry and computes half, torch all of it
    total = gram.trace()
    if not torch.isfinite(total):
        raise UserError("expected finite activations, got NaN or infinity: check the sounds and the network's weights")
    if total == 0:
        raise UserError("expected activations that vary, got the same values for every clip")
    values, vectors = _leading(gram, components)
    basis = activations.T @ (vectors / values.sqrt()).float()
    # One more QR takes the rounding of the float32 product out: lift is exact only for orthonormal components.
    basis, upper = torch.linalg.qr(basis)
    basis *= upper.diagonal().sign()
    # Row-major as it comes back from disk: another layout in memory gives products other last bits.
    basis = (basis * _orientation(basis)).contiguous()
    scores = activations @ basis
    score_scale = scores.square().mean(0).sqrt_()
    return LinearReduction(
        mean=mean,
        scale=scale,
        components=basis,
        score_scale=score_scale,
        explained=(values / total).float(),
        convergence=_convergence(gram, values, vectors),
        shape=tuple(shape) if shape is not None else (d,),
    )


def _leading(gram: Tensor, components: int) -> tuple[Tensor, Tensor]:
    from scipy.linalg import eigh

    # A few leading eigenvectors of many: scipy's solver can leave out the others, torch's cannot.
    first = max(0, len(gram) - components)
    values, vectors = map(torch.from_numpy, eigh(gram.numpy(), subset_by_index=[first, len(gram) - 1]))
    kept = int((values > 1e-6 * values[-1]).sum())
    return values[-kept:].flip(0), vectors[:, -kept:].flip(1)


def _orientation(basis: Tensor) -> Tensor:
    """Makes the largest entry of each component positive: eigenvectors have no sign of their own."""
    peak = basis.abs().argmax(0)
    return basis[peak, torch.arange(basis.shape[1])].sign()


def _convergence(gram: Tensor, values: Tensor, vectors: Tensor) -> float:
    """Compares the subspace with that of every second clip, in the clips' own coordinates."""
    half = torch.arange(0, len(gram), 2)
    half_values, half_vectors = _leading(gram[half][:, half], len(values))
    cross = (vectors / values.sqrt()).T @ gram[:, half] @ (half_vectors / half_values.sqrt())
    return float(torch.linalg.svdvals(cross).clamp(max=1.0).square().mean())
