"""Populations: equal ones are not apart, moved ones are; the spectrum of sounds sums to one and can be drawn from."""

import numpy as np
import pytest

from audiointerp.modulation.populations import apart, displacement, energy_distance, obliqueness
from audiointerp.modulation.regions import REGIONS, random_region, regions
from audiointerp.modulation.ripples import ripple_spectrogram
from audiointerp.modulation.spectrum import modulation_spectrum


def looped_energy(a, b):
    def mean(x, y):
        return np.mean([np.linalg.norm(p - q) for p in x for q in y])

    spread = np.concatenate([a, b]).std(axis=0)
    a, b = a / spread, b / spread
    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


def test_the_energy_distance_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, 2)), rng.normal(1.0, 2.0, size=(5, 2))
    assert energy_distance(a, b) == pytest.approx(looped_energy(a, b))
    assert energy_distance(a, a) == pytest.approx(0.0, abs=1e-12)
    assert energy_distance(a * [1, 100], b * [1, 100]) == pytest.approx(energy_distance(a, b))


def test_moved_filters_are_apart_and_equal_ones_are_not():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(40, 2))
    moved = apart(a, rng.normal(size=(40, 2)) + [2.0, 0.0], permutations=199)
    assert moved.p == pytest.approx(1 / 200) and moved.distance > moved.null.max()
    ps = [apart(rng.normal(size=(15, 2)), rng.normal(size=(15, 2)), permutations=99, seed=s).p for s in range(40)]
    assert 0.25 < np.mean(ps) < 0.75 and np.mean(np.array(ps) <= 0.1) < 0.3


def test_displacement_is_in_units_of_the_first_spread():
    before = np.array([[0.0, 10.0], [2.0, 30.0], [4.0, 50.0]])
    moved = displacement(before, before + [before[:, 0].std(), 2 * before[:, 1].std()])
    assert np.allclose(moved, [[1.0, 2.0]] * 3)


def test_regions_hold_equally_many_filters_from_each_end():
    rng = np.random.default_rng(2)
    omega, big_omega = rng.normal(size=(2, 21))
    masks = regions(omega, big_omega, 0.3)
    assert tuple(masks) == REGIONS and {int(mask.sum()) for mask in masks.values()} == {6}
    assert np.abs(omega)[masks["slow"]].max() < np.abs(omega)[~masks["slow"]].min()
    assert np.abs(omega)[masks["fast"]].min() > np.abs(omega)[~masks["fast"]].max()
    assert np.abs(big_omega)[masks["fine"]].min() > np.abs(big_omega)[~masks["fine"]].max()
    assert random_region(masks, rng).sum() == 6


def test_shares_of_the_spectrum_and_draws_from_it():
    shape = {"frames": 100, "bins": 40, "frame_rate": 100.0, "bins_per_octave": 10.0}
    slow, fast = (ripple_spectrogram(omega, 0.5, **shape) for omega in (4.0, 30.0))
    spectrum = modulation_spectrum([slow + 3.0 * fast], 100.0, 10.0)
    assert spectrum.power.sum() == pytest.approx(1.0)
    assert spectrum.share(omega_up_to=15.0) == pytest.approx(0.1, abs=0.01)
    omega, big_omega = spectrum.draw(2000, np.random.default_rng(0))
    assert (omega >= 0).all() and np.mean(omega < 15.0) == pytest.approx(0.1, abs=0.03)
    assert np.median(big_omega) == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="two filters or more, of one shape"):
        displacement([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="differ between filters before training"):
        displacement([1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"samples \(N, D\) and \(M, D\)"):
        energy_distance(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"a share in \(0, 0.5\]"):
        regions([1.0], [1.0], 0.6)
    with pytest.raises(ValueError, match="at least 100 frames"):
        modulation_spectrum([np.ones((50, 10))], 100.0, 10.0)
    with pytest.raises(ValueError, match="2 windows without any modulation"):
        modulation_spectrum([np.ones((150, 10))], 100.0, 10.0)
    with pytest.raises(ValueError, match="0 windows"):
        modulation_spectrum([], 100.0, 10.0)


def test_obliqueness_is_that_of_the_angle():
    angles = np.linspace(0.0, np.pi, 9)
    turned = np.stack([4.0 * np.cos(angles), 0.5 * np.sin(angles)], axis=1)
    assert np.allclose(obliqueness(turned, [4.0, 0.5]), np.abs(np.sin(2 * angles)))
    assert np.allclose(obliqueness(turned, [4.0, 0.5]), obliqueness(-3.0 * turned, [12.0, 1.5]))
    for units in ([1.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="two units above 0"):
            obliqueness(turned, units)
