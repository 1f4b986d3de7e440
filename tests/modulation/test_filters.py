"""A filter's tuning is measured from its kernel; what is planted comes back."""

import numpy as np
import pytest
import torch

from audiointerp.backbones.strf import GaborSTRF, Tuning
from audiointerp.modulation.filters import fold, measured_tuning, modulation_transfer, peaks

RATE, DENSITY = 100.0, 10.0


def planted(omega, big_omega, **settings):
    strf = GaborSTRF(len(omega), frames=101, bins=41, frame_rate=RATE, bins_per_octave=DENSITY, **settings)
    count = torch.ones(len(omega))
    strf.set_tuning(Tuning(torch.tensor(omega), torch.tensor(big_omega), 0.12 * count, 0.5 * count))
    return strf


OMEGA, BIG_OMEGA = [6.0, -6.0, 20.0, -33.0, 10.0], [1.0, 1.0, -0.8, -2.5, 3.0]


def test_complex_kernels_are_measured_where_they_were_planted():
    kernels = planted(OMEGA, BIG_OMEGA).kernels().detach().numpy()
    omega, big_omega = measured_tuning(kernels, RATE, DENSITY)
    expected = fold(OMEGA, BIG_OMEGA)
    assert np.allclose(omega, expected[0], rtol=0.01) and np.allclose(big_omega, expected[1], rtol=0.01)


def test_real_kernels_at_low_modulations_are_not_what_they_declare():
    kernels = planted([0.5, 20.0], [0.1, 1.0]).kernels().detach().real.numpy()
    omega, big_omega = measured_tuning(kernels, RATE, DENSITY)
    assert omega[0] < 0.1 and abs(big_omega[0]) < 0.02  # the two halves run together at zero
    assert omega[1] == pytest.approx(20.0, rel=0.01) and big_omega[1] == pytest.approx(1.0, rel=0.02)


def test_the_published_grid_reads_an_eighth_too_low():
    strf = GaborSTRF(2, frames=111, bins=9, published=True, bins_per_octave=DENSITY)
    wide = torch.full((2,), 0.3)
    strf.set_tuning(Tuning(torch.tensor([10.0, 20.0]), torch.tensor([2.0, -2.0]), wide / 3, wide))
    omega, big_omega = measured_tuning(strf.kernels().detach().numpy(), RATE, DENSITY)
    assert np.allclose(np.abs(big_omega), 2.0 * 9 / 8, rtol=0.02)
    assert np.allclose(omega, [10.0 * 111 / 110, 20.0 * 111 / 110], rtol=0.005)


def test_the_transfer_is_the_gain_of_a_loop_over_waves():
    kernels = planted([6.0], [1.0]).kernels().detach().numpy()
    transfer = modulation_transfer(kernels, RATE, DENSITY, points=(128, 64))
    t, f = np.meshgrid(np.arange(101) / RATE, np.arange(41) / DENSITY, indexing="ij")
    for i, j in [(64, 32), (70, 40), (10, 3)]:
        wave = np.exp(-2j * np.pi * (transfer.omega[i] * t + transfer.Omega[j] * f))
        assert transfer.gain[0, i, j] == pytest.approx(abs((kernels[0] * wave).sum()), abs=1e-6)
    assert peaks(transfer)[0] == pytest.approx(6.0, rel=0.03)


def test_folding_keeps_the_filter():
    rng = np.random.default_rng(0)
    omega, big_omega = rng.normal(size=(2, 50))
    folded = fold(omega, big_omega)
    assert (folded[0] >= 0).all() and np.allclose(folded[0] * folded[1], omega * big_omega)
    assert all(np.array_equal(a, b) for a, b in zip(fold(*folded), folded, strict=True))


@pytest.mark.parametrize("shape", [(3, 4), (1, 600, 4), (1, 4, 300)])
def test_kernels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="of at most"):
        modulation_transfer(np.ones(shape), RATE, DENSITY)
