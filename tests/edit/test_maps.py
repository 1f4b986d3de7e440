"""Maps between classes of codes: planted relations are found, and the published inverse goes wrong as said."""

import numpy as np
import pytest

from audiointerp.edit.maps import (
    PairedNetwork,
    pair_notes,
    pseudo_inverse_map,
    published_map,
    ridge_map,
    transport_map,
)

RNG = np.random.default_rng(0)


def test_the_published_inverse_does_not_exist_and_the_pseudo_inverse_does():
    a, b = RNG.standard_normal((78, 16)), RNG.standard_normal((78, 16))
    assert np.allclose(pseudo_inverse_map(a, b) @ a, b)
    published = published_map(a, b)
    assert np.isfinite(published).all()
    assert np.abs(published).max() > 100 * np.abs(pseudo_inverse_map(a, b)).max()


def test_the_published_inverse_is_right_where_there_is_one():
    a, b = RNG.standard_normal((5, 9)), RNG.standard_normal((5, 9))
    assert np.allclose(published_map(a, a), np.eye(5))
    assert np.allclose(published_map(a, b), pseudo_inverse_map(a, b), atol=1e-6)


def test_an_exactly_singular_average_still_ends():
    assert np.isfinite(published_map(np.ones((4, 1)), np.ones((4, 1)))).all()


def test_ridge_finds_a_planted_linear_map():
    x = RNG.standard_normal((200, 4))
    planted = RNG.standard_normal((4, 4))
    assert np.allclose(ridge_map(x, x @ planted + 3)(x), x @ planted + 3, atol=0.1)


def test_transport_gives_the_target_its_mean_and_spread():
    x = RNG.standard_normal((4000, 3)) @ np.array([[2, 0, 0], [1, 1, 0], [0, 0.5, 1.0]])
    y = RNG.standard_normal((4000, 3)) @ np.array([[1, 0.3, 0], [0, 2, 0], [0, 0, 0.5]]) + 5
    moved = transport_map(x, y)(x)
    assert np.allclose(moved.mean(0), y.mean(0)) and np.allclose(np.cov(moved.T), np.cov(y.T), atol=0.15)
    matrix = transport_map(x, y).matrix
    assert np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix).min() > 0


def test_partners_are_nearest_in_pitch_then_in_velocity():
    pitch = np.array([60, 60, 60, 62])
    velocity = np.array([100, 25, 90, 100])
    assert pair_notes(pitch, velocity, np.array([0]), np.array([1, 2, 3])).tolist() == [2]


def test_the_paired_network_learns_where_each_class_lies():
    centres = 2 * RNG.standard_normal((3, 5))
    labels = np.repeat(np.arange(3), 80)
    own = 0.5 * RNG.standard_normal((80, 5))
    rows = centres[labels] + np.tile(own, (3, 1))
    source = np.concatenate([np.flatnonzero(labels == a) for a in range(3) for b in range(3) if a != b])
    target = np.concatenate([np.flatnonzero(labels == b) for a in range(3) for b in range(3) if a != b])
    network = PairedNetwork(3, hidden=(32,), epochs=60).fit(rows[source], rows[target], labels[source], labels[target])
    moved = network(rows[labels == 0], 0, 2)
    before = np.linalg.norm(rows[labels == 0] - rows[labels == 2], axis=1).mean()
    assert np.linalg.norm(moved - rows[labels == 2], axis=1).mean() < 0.4 * before


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="two or more rows"):
        ridge_map(np.zeros((1, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="two or more rows"):
        transport_map(np.zeros((1, 3)), np.zeros((5, 3)))
