import itertools
import random
import warnings

import numpy as np
import pytest
import torch
from nflows.transforms import Transform
from scipy.linalg import subspace_angles

from audiointerp.disentangle.flow import RESIDUAL, ClampedAffineCoupling, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, PairSampler, label_matrix
from audiointerp.study import UserError
from tests.disentangle.planted import linear_world, tensors

BLOCKS = {"kind": 3, "size": 2}
KINDS = list(itertools.product(["additive", "affine", "spline"], ["householder", "permutation"]))


def small(coupling="additive", mixing="householder", features=8, **settings):
    settings = {"stages": 3, "hidden": 16, "depth": 2} | settings
    return FactorFlow(features, BLOCKS, coupling=coupling, mixing=mixing, **settings)


def shaken(flow, amount=0.3):
    """Moves all parameters away from their initial values, where coupling networks give zeros."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
        square = torch.randn(flow.features, flow.features, generator=generator, dtype=torch.double)
        flow.rotation.matrix.copy_(torch.linalg.qr(square)[0])
    return flow.eval()


def trained(flow, scores, labels, steps=40):
    """A few steps of Adam on the pair likelihood."""
    sampler = PairSampler(label_matrix(labels, list(BLOCKS)))
    likelihood = PairLikelihood({name: flow.blocks[name] for name in BLOCKS})
    optimiser = torch.optim.Adam(flow.parameters(), lr=5e-3)
    rng, rows = np.random.default_rng(0), torch.from_numpy(scores)
    flow.train()
    losses = []
    for _ in range(steps):
        first, second, shared = sampler.draw(128, rng)
        latents, log_det = flow(rows[np.r_[first, second]])
        loss = likelihood(*latents.chunk(2), *log_det.chunk(2), torch.from_numpy(shared)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    return flow.eval()


@pytest.mark.parametrize(("coupling", "mixing"), KINDS)
def test_the_way_back_leads_where_it_came_from_also_after_training(coupling, mixing):
    # Scores that the flow is not made for, so that there is much to learn.
    scores, labels, _ = linear_world(400)
    scores = scores + 0.3 * scores**2
    flow = trained(small(coupling, mixing), scores, labels)
    unseen = torch.from_numpy(np.concatenate([scores, 1.5 * linear_world(400, seed=1)[0]]))
    with torch.no_grad():
        latents, log_det = flow(unseen)
        assert (flow.inverse(latents) - unseen).abs().max() < 1e-4
        backward = flow.transform.inverse(latents)[1]
        assert (log_det + backward).abs().max() < 1e-2
    assert (latents - unseen).abs().mean() > 0.1


@pytest.mark.parametrize(("coupling", "mixing"), KINDS)
def test_log_determinants_are_those_of_the_jacobian(coupling, mixing):
    flow = shaken(small(coupling, mixing, features=6, stages=1).double())
    # Beyond 4 the splines are linear.
    points = 2 * torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    points[3] *= 4
    parts = [part for part in flow.modules() if isinstance(part, Transform)]
    assert {"Rotation", "ActNorm"} < {type(part).__name__ for part in parts} and len(parts) == 6
    for part in (*parts, flow):
        log_det = part(points)[1]
        for point, value in zip(points, log_det, strict=True):
            jacobian = torch.autograd.functional.jacobian(lambda x, part=part: part(x[None])[0][0], point)
            assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(value.item(), abs=1e-9), part
    volume = flow(points)[1].std()
    assert volume > 1e-3 if coupling != "additive" else volume < 1e-12


@pytest.mark.parametrize(("coupling", "mixing"), KINDS)
def test_a_single_stage_bends_every_dimension(coupling, mixing):
    flow = shaken(small(coupling, mixing, stages=1).double())
    here, there = torch.randn(2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    jacobians = [torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0], x) for x in (here, there)]
    assert ((jacobians[0] - jacobians[1]).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize(("coupling", "mixing"), KINDS)
def test_every_parameter_gets_a_gradient(coupling, mixing):
    scores, labels, _ = linear_world(64)
    flow = shaken(small(coupling, mixing))
    latents, log_det = flow(torch.from_numpy(scores))
    shared = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (32, 2)).astype(bool))
    likelihood = PairLikelihood({name: flow.blocks[name] for name in BLOCKS})
    likelihood(*latents.chunk(2), *log_det.chunk(2), shared).mean().backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).any(), name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("coupling", "mixing"), KINDS)
@pytest.mark.parametrize("reflections", [8, 3])
def test_the_start_puts_class_means_into_their_blocks(coupling, mixing, reflections):
    scores, labels, _ = linear_world(600)
    flow = small(coupling, mixing, reflections=reflections)
    flow.align(*tensors(scores, labels))
    flow.eval()
    with torch.no_grad():
        latents = flow(torch.from_numpy(scores))[0].numpy()
    for factor, values in labels.items():
        centred = latents - latents.mean(0)
        means = np.stack([centred[values == label].mean(0) for label in np.unique(values)])
        power = {name: np.sum(means[:, block] ** 2) for name, block in flow.blocks.items()}
        assert power[factor] > (0.9 if coupling == "spline" else 0.99) * sum(power.values())
        if coupling != "spline":
            assert power[RESIDUAL] < 1e-8


def test_a_planted_worlds_subspaces_are_found():
    scores, labels, subspaces = linear_world(4000)
    flow = small(mixing="permutation")
    flow.align(*tensors(scores, labels))
    matrix = jacobian_at_zero(flow)
    for factor, directions in subspaces.items():
        assert np.degrees(subspace_angles(matrix[:, flow.blocks[factor]], directions)).max() < 3
    assert np.allclose(matrix.T @ matrix, np.eye(8), atol=1e-5)


def jacobian_at_zero(flow):
    """The linear map that an additive flow starts as, `(D, D)`: latents = scores @ map."""
    flow.eval()
    with torch.no_grad():
        return (flow(torch.eye(flow.features))[0] - flow(torch.zeros(1, flow.features))[0]).numpy()


def test_blocks_of_overlapping_factors_are_orthogonal_and_the_stronger_goes_first():
    rng = np.random.default_rng(0)
    labels = {"strong": rng.integers(0, 3, 900), "weak": rng.integers(0, 3, 900)}
    scores = rng.standard_normal((900, 6))
    scores[:, :2] += 4 * np.eye(3)[labels["strong"]][:, :2]
    scores[:, 1:3] += np.eye(3)[labels["weak"]][:, :2]  # shares an axis with the other factor
    scores = scores.astype(np.float32)
    flow = FactorFlow(6, {"weak": 2, "strong": 2}, stages=1)
    flow.align(*tensors(scores, labels))
    matrix = flow.rotation.matrix.numpy()
    assert np.allclose(matrix.T @ matrix, np.eye(6), atol=1e-5)
    linear = jacobian_at_zero(flow)
    assert np.degrees(subspace_angles(linear[:, flow.blocks["strong"]], np.eye(6)[:, :2])).max() < 5
    assert np.degrees(subspace_angles(linear[:, flow.blocks["weak"]], np.eye(6)[:, 2:3])).max() < 25
    latents = (scores - scores.mean(0)) @ linear
    for values in labels.values():
        left = [latents[values == label][:, flow.blocks[RESIDUAL]].mean(0) for label in range(3)]
        assert np.abs(left).max() < 1e-5


def test_a_change_puts_the_block_of_another_in_the_place_of_its_own():
    flow = shaken(small("affine"), 0.1)
    a, b = torch.from_numpy(linear_world(100)[0]).split(50)
    with torch.no_grad():
        for factor, block in flow.blocks.items():
            after, before, wanted = (flow(x)[0] for x in (a + flow.change(a, b, factor), a, b))
            kept = [i for i in range(8) if not block.start <= i < block.stop]
            assert torch.allclose(after[:, block], wanted[:, block], atol=1e-4)
            assert torch.allclose(after[:, kept], before[:, kept], atol=1e-4)
            assert flow.change(a, b, factor).abs().mean() > 0.1
            assert flow.change(a, a, factor).abs().max() < 1e-5
            before_swap = before.clone()
            swapped = flow.swap(before, wanted, factor)
            assert torch.equal(before, before_swap) and torch.equal(swapped[:, block], wanted[:, block])


def test_a_change_goes_as_far_as_it_is_told():
    flow = shaken(small("affine"), 0.1)
    a, b = torch.from_numpy(linear_world(100)[0]).split(50)
    with torch.no_grad():
        block = flow.blocks["kind"]
        start, goal = (flow(x)[0][:, block] for x in (a, b))
        for strength in (0.5, 1.0, 2.0):
            reached = flow(a + flow.change(a, b, "kind", strength))[0][:, block]
            assert torch.allclose(reached, start + strength * (goal - start), atol=1e-4)
        assert flow.change(a, b, "kind", 0.0).abs().max() < 1e-5
        assert torch.equal(flow.change(a, b, "kind"), flow.change(a, b, "kind", 1.0))


def test_blocks_lie_behind_the_residual_in_order():
    flow = small()
    assert flow.blocks == {RESIDUAL: slice(0, 3), "kind": slice(3, 6), "size": slice(6, 8)}
    assert FactorFlow(5, BLOCKS).blocks[RESIDUAL] == slice(0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 4}, "blocks of at least 1 dimension that fit into 4, got {'kind': 3, 'size': 2}: use more"),
        ({"features": 8, "blocks": {"kind": 0}}, "at least 1 dimension"),
        ({"features": 8, "coupling": "cubic"}, "additive, affine or spline, got 'cubic'"),
        ({"features": 8, "mixing": "lu"}, "householder or permutation, got 'lu'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(UserError, match=message):
        FactorFlow(**{"blocks": BLOCKS} | settings)


@pytest.mark.parametrize(("coupling", "mixing"), KINDS)
def test_initial_values_hang_on_the_seed_alone(coupling, mixing):
    torch.manual_seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = small(coupling, mixing, seed=1).eval()
        first(torch.zeros(2, 8))  # nflows warns of splines whose networks do not tell their width
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1] and random.getstate() == states[2]
    torch.manual_seed(6)
    again, other = small(coupling, mixing, seed=1).state_dict(), small(coupling, mixing, seed=2).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.state_dict().items())
    assert any(not torch.equal(value, other[name]) for name, value in first.state_dict().items())


def test_affine_scales_stay_within_the_clamp():
    flow = shaken(small("affine", clamp=0.5), 5.0)
    couplings = [part for part in flow.modules() if isinstance(part, ClampedAffineCoupling)]
    assert len(couplings) == 6
    for part in couplings:
        log_det = part(100 * torch.randn(50, 8))[1]
        assert 0.5 < log_det.abs().max() <= 4 * 0.5 + 1e-5  # four of eight dimensions are scaled
