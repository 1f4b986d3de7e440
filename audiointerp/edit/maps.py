"""Maps from one class of codes to another: published inverse, pseudo-inverse, ridge, optimal transport, a network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class AffineMap:
    """A map `x -> (x - before) @ matrix + after` of rows.

    Attributes:
        matrix: Shape `(D, D)`.
        before: Shape `(D,)`.
        after: Shape `(D,)`.
    """

    matrix: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Maps rows `(n, D)`."""
        return (rows - self.before) @ self.matrix + self.after


def published_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    r"""Gives :math:`X = B A^{-1}` of average codes, as published, by the textbook's :math:`A^T (A A^T)^{-1}`.

    A has more frames than channels, so that :math:`A A^T` has no inverse: its rank is at most the number of channels.
    Elimination still ends, dividing by rounding errors; the entries of X are what comes out of that, and the edited
    codes have spikes.

    Args:
        source: Average code of the source class A, shape `(T, C)`.
        target: Average code of the target class B, shape `(T, C)`.
    Returns:
        X, shape `(T, T)`, to be applied to codes from the left.
    References:
        The instrument transfer of the NSynth timbre study, "Transformation of Instruments".
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    gram = source @ source.T
    try:
        inverse = np.linalg.inv(gram)
    except np.linalg.LinAlgError:  # a pivot came out as exactly 0 where rounding mostly leaves a little
        inverse = np.linalg.inv(gram + np.finfo(float).eps * np.trace(gram) * np.eye(len(gram)))
    return target @ source.T @ inverse


def pseudo_inverse_map(source: np.ndarray, target: np.ndarray, least: float = 1e-2) -> np.ndarray:
    """Gives `B A^+`: singular values of A below `least` of the largest count as 0; shapes as in `published_map`.

    Example:
        >>> a, b = np.eye(3)[:, :2], np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
        >>> bool(np.allclose(pseudo_inverse_map(a, b) @ a, b))
        True
    """
    return np.asarray(target, dtype=np.float64) @ np.linalg.pinv(np.asarray(source, dtype=np.float64), rcond=least)


def ridge_map(source: np.ndarray, target: np.ndarray) -> AffineMap:
    """Gives the linear map that takes rows to their partners, its penalty chosen by leaving rows out.

    Args:
        source: Rows, shape `(n, D)`.
        target: The partner of each row, shape `(n, D)`.
    Raises:
        ValueError: If there are not two rows with a partner each.
    """
    from sklearn.linear_model import RidgeCV

    if source.shape != target.shape or len(source) < 2:
        raise ValueError(f"expected two or more rows with partners, got {source.shape} and {target.shape}")
    fitted = RidgeCV(np.logspace(0, 4, 9)).fit(source, target)
    return AffineMap(fitted.coef_.T, np.zeros(source.shape[1]), fitted.intercept_)


def transport_map(source: np.ndarray, target: np.ndarray) -> AffineMap:
    r"""Gives the optimal transport between the Gaussians of two classes: whitening and colouring by the shortest way.

    :math:`x \mapsto m_B + (x - m_A) A`, :math:`A = S_A^{-1/2} (S_A^{1/2} S_B S_A^{1/2})^{1/2} S_A^{-1/2}`, with
    covariances shrunk after Ledoit and Wolf. It needs no pairs.

    Args:
        source: Rows of the source class, shape `(n, D)`.
        target: Rows of the target class, shape `(m, D)`.
    Raises:
        ValueError: If a class has fewer than two rows.
    References:
        Computational Optimal Transport (Peyre and Cuturi, 2019), remark 2.31.
    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((500, 2))
        >>> moved = transport_map(x, 3 * x + 1)(x)
        >>> bool(np.allclose(moved, 3 * x + 1, atol=0.1))
        True
    """
    from sklearn.covariance import ledoit_wolf

    if min(len(source), len(target)) < 2:
        raise ValueError(f"expected two or more rows of each class, got {len(source)} and {len(target)}")
    spread, other = ledoit_wolf(source)[0], ledoit_wolf(target)[0]
    root, inverse = _powers(spread)
    matrix = inverse @ _powers(root @ other @ root)[0] @ inverse
    return AffineMap(matrix, source.mean(0), target.mean(0))


def _powers(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives a symmetric matrix to the powers 1/2 and -1/2."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 1e-10 * values[-1])
    return (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T


def pair_notes(
    pitch: np.ndarray, velocity: np.ndarray, sources: np.ndarray, targets: np.ndarray, octave: float = 12.0
) -> np.ndarray:
    """Gives, for each source note, the target note nearest in pitch and velocity.

    A difference of 64 in velocity weighs as much as `octave` / 3 semitones.

    Args:
        pitch: MIDI pitch of all notes, shape `(N,)`.
        velocity: Velocity of all notes, shape `(N,)`.
        sources: Notes to find partners for.
        targets: Notes to find them among.
        octave: Semitones that count as far.
    Returns:
        One of `targets` per source.
    Example:
        >>> pair_notes(np.array([60, 72, 61]), np.array([50, 50, 50]), np.array([0]), np.array([1, 2])).tolist()
        [2]
    """
    apart = np.abs(pitch[sources][:, None] - pitch[targets][None]).astype(float)
    apart += octave / 3 / 64 * np.abs(velocity[sources][:, None] - velocity[targets][None])
    return np.asarray(targets)[apart.argmin(1)]


class PairedNetwork:
    """One small network for all pairs of classes: a row, and from which class to which, to its partner's change.

    Args:
        classes: Number of classes.
        hidden: Units of the hidden layers.
        epochs: Passes over the pairs.
        seed: Seed of the weights.
    """

    def __init__(self, classes: int, hidden: tuple[int, ...] = (256, 256), epochs: int = 30, seed: int = 0) -> None:
        self.classes, self.hidden, self.epochs, self.seed = classes, tuple(hidden), epochs, seed
        self._network: Any = None

    def fit(self, rows: np.ndarray, partners: np.ndarray, source: np.ndarray, target: np.ndarray) -> PairedNetwork:
        """Fits rows `(n, D)` to their partners `(n, D)`, with the classes of both, each `(n,)`."""
        from sklearn.neural_network import MLPRegressor

        self._network = MLPRegressor(
            hidden_layer_sizes=self.hidden,
            alpha=1e-2,
            learning_rate_init=2e-3,
            max_iter=self.epochs,
            tol=0.0,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Stochastic Optimizer")
            self._network.fit(self._told(rows, source, target), partners - rows)
        return self

    def __call__(self, rows: np.ndarray, source: int, target: int) -> np.ndarray:
        """Maps rows `(n, D)` of one class to another."""
        told = self._told(rows, np.full(len(rows), source), np.full(len(rows), target))
        return rows + self._network.predict(told)

    def _told(self, rows: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        names = np.eye(self.classes, dtype=np.float32)
        return np.concatenate([rows, 2 * names[source], 2 * names[target]], axis=1).astype(np.float32)
