"""The reduction is scikit-learn's scaler, PCA, scaler; its lift undoes it exactly and changes nothing else."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils._python_dispatch import TorchDispatchMode

from audiointerp.activations.reduction import fit_reduction
from audiointerp.study import UserError


def activations(n=60, d=20, seed=0, rank=None):
    """Features of different mean and size, mixed from `rank` sources, float32 `(n, d)`."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, rank or d)) * np.geomspace(1, 0.2, rank or d) @ rng.normal(size=(rank or d, d))
    return (mixed * rng.uniform(0.1, 5, d) + rng.normal(size=d)).astype(np.float32)


def fitted(x, components, **settings):
    return fit_reduction(torch.from_numpy(x.copy()), components, **settings)


@pytest.mark.parametrize(("n", "d"), [(60, 20), (25, 200)])
def test_agrees_with_scikit_learn(n, d):
    x = activations(n, d)
    pipeline = make_pipeline(StandardScaler(), PCA(5, svd_solver="full"), StandardScaler())
    expected = pipeline.fit_transform(x.astype(np.float64))
    reduction = fitted(x, 5)
    z = reduction.reduce(torch.from_numpy(x)).numpy()
    signs = np.sign((z * expected).sum(0))
    np.testing.assert_allclose(z * signs, expected, atol=2e-4)
    pca = pipeline.named_steps["pca"]
    np.testing.assert_allclose(reduction.components.numpy() * signs, pca.components_.T, atol=2e-4)
    np.testing.assert_allclose(reduction.explained, pca.explained_variance_ratio_, rtol=1e-4)
    fresh = activations(10, d, seed=1)
    np.testing.assert_allclose(
        reduction.reduce(torch.from_numpy(fresh)).numpy() * signs, pipeline.transform(fresh), rtol=1e-3, atol=1e-3
    )


def test_the_sign_of_a_component_is_that_of_its_largest_entry():
    basis = fitted(activations(), 6).components
    assert (basis.gather(0, basis.abs().argmax(0, keepdim=True)) > 0).all()


def test_the_same_sounds_give_the_same_bits_and_what_is_stored_is_row_major():
    x = activations(40, 300)
    first, second = fitted(x, 8), fitted(x, 8)
    assert torch.equal(first.components, second.components) and torch.equal(first.mean, second.mean)
    # A product with a matrix of other strides has other last bits, and only row-major ones come back from disk.
    assert first.components.is_contiguous()


def test_one_matrix_and_offset_do_the_same():
    x = torch.from_numpy(activations(60, 200))
    reduction = fitted(x.numpy(), 7)
    matrix, offset = reduction.affine()
    torch.testing.assert_close(x @ matrix + offset, reduction.reduce(x), rtol=1e-4, atol=1e-5)


def test_lift_is_exact_and_keeps_the_orthogonal_complement():
    x = torch.from_numpy(activations(80, 96, seed=2))
    reduction = fitted(x.numpy(), 6, shape=(4, 8, 3))
    x = x.reshape(80, 4, 8, 3)
    change = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
    lifted = reduction.lift(change)
    assert lifted.shape == (80, 4, 8, 3)
    edited = x + lifted
    torch.testing.assert_close(reduction.reduce(edited) - reduction.reduce(x), change, rtol=0, atol=1e-5)

    def complement(values):
        standard = ((values.flatten(1) - reduction.mean) / reduction.scale).double()
        basis = reduction.components.double()
        return standard - standard @ basis @ basis.T

    torch.testing.assert_close(complement(edited), complement(x), rtol=0, atol=1e-5)
    assert complement(x).abs().max() > 0.1  # there is something to keep
    assert torch.equal(x + reduction.lift(torch.zeros(80, 6)), x)


@pytest.mark.parametrize("d", [20, 500])
def test_components_are_orthonormal_even_where_they_hold_little(d):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 10)) * np.geomspace(1, 3e-3, 10) @ rng.normal(size=(10, d))
    reduction = fitted(x.astype(np.float32), 10)
    assert reduction.explained[9] < 1e-4 * reduction.explained[0]
    basis = reduction.components
    torch.testing.assert_close(basis.T @ basis, torch.eye(10), rtol=0, atol=2e-6)


@pytest.mark.parametrize("value", [0.0, 3.3, 10_000 / 3])
@pytest.mark.parametrize("n", [60, 333])
def test_features_that_do_not_vary_are_left_alone(value, n):
    x = activations(n, 20)
    constant = np.full((n, 7), value, np.float32)
    with_them = fitted(np.concatenate([x, constant], 1), 5)
    without = fitted(x, 5)
    torch.testing.assert_close(with_them.components[:20], without.components, rtol=0, atol=1e-4)
    torch.testing.assert_close(with_them.explained, without.explained, rtol=1e-4, atol=0)
    assert torch.equal(with_them.scale[20:], torch.ones(7))
    assert not with_them.lift(torch.ones(1, 5))[:, 20:].any()


def test_small_but_real_variation_is_kept():
    x = activations(200, 20)
    x[:, 3] *= 1e-4
    x[:, 4] = 100 + 0.01 * x[:, 4]
    np.testing.assert_allclose(fitted(x, 5).scale, x.astype(np.float64).std(0), rtol=1e-3)


def test_fewer_clips_than_components_give_as_many_as_they_span():
    x = activations(10, 300)
    reduction = fitted(x, 64)
    assert reduction.components.shape == (300, 9)
    assert float(reduction.explained.sum()) == pytest.approx(1, abs=1e-4)
    z = reduction.reduce(torch.from_numpy(x))
    torch.testing.assert_close(z.T @ z / 10, torch.eye(9), rtol=0, atol=1e-3)
    standard = torch.from_numpy(x) - reduction.mean
    torch.testing.assert_close(reduction.lift(z), standard, rtol=0, atol=1e-3)  # nothing is left out


def test_fewer_dimensions_than_components_give_as_many_as_there_are():
    assert fitted(activations(200, 30, rank=4), 64).components.shape == (30, 4)


def test_convergence_is_high_for_planted_structure_and_low_for_noise():
    rng = np.random.default_rng(0)
    planted = activations(400, 100, rank=3) + 0.01 * rng.normal(size=(400, 100)).astype(np.float32)
    assert fitted(planted, 3).convergence > 0.99
    noise = rng.normal(size=(400, 100)).astype(np.float32)
    assert fitted(noise, 3).convergence < 0.7
    assert 0 <= fitted(noise[:3], 3).convergence <= 1


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_clips_are_refused(n):
    with pytest.raises(UserError, match=f"expected at least 3 clips to fit a reduction, got {n}: give the role `fit`"):
        fit_reduction(torch.ones(n, 5), 2)


def test_what_never_varies_or_is_not_finite_is_refused():
    with pytest.raises(UserError, match="expected activations that vary"):
        fit_reduction(torch.full((50, 5), 0.3), 2)
    for wrong in (float("nan"), float("inf")):
        table = torch.randn(10, 5, generator=torch.Generator().manual_seed(0))
        table[3, 2] = wrong
        with pytest.raises(UserError, match="expected finite activations, got NaN or infinity"):
            fit_reduction(table, 2)


class LargestNew(TorchDispatchMode):
    """Notes the size of the largest tensor that is made [numbers]."""

    def __init__(self, *given):
        super().__init__()
        self.given = {tensor.untyped_storage().data_ptr() for tensor in given}
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.given:
                self.size = max(self.size, tensor.numel())
        return out


def test_no_second_copy_of_a_large_table_is_made():
    table = torch.from_numpy(activations(100, 3000))
    with LargestNew(table) as watch:
        fit_reduction(table, 8)
    assert 0 < watch.size < table.numel() / 5


def test_the_norm_of_a_lifted_change_is_known_without_lifting_it():
    generator = torch.Generator().manual_seed(3)
    spread = torch.linspace(0.1, 9.0, 30)
    fitted = fit_reduction(torch.randn(200, 30, generator=generator) * spread, 8)
    change = torch.randn(5, 8, generator=generator)
    torch.testing.assert_close(fitted.lifted_norm(change), fitted.lift(change).norm(dim=1), rtol=1e-4, atol=1e-5)
