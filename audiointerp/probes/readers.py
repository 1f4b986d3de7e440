"""Networks that read every factor from a picture or a code: how much can be known at all, and what a decoder drew."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Reading:
    """What was read off.

    Attributes:
        values: One column per factor: the class (str) or the number.
        confidence: Probability of the named classes, lowest over the categorical factors, shape `(N,)`.
    """

    values: pd.DataFrame
    confidence: np.ndarray


class FactorReader:
    """Reads factors with a small MLP on the first principal components.

    One network has an output per number, another one names the classes. Each number is read in its own unit.

    Args:
        components: Most principal components.
        hidden: Units of the hidden layers.
        epochs: Passes over the training rows.
        seed: Seed of the networks.
    """

    def __init__(self, components: int = 48, hidden: tuple[int, ...] = (128, 128), epochs: int = 30, seed: int = 0):
        self.components, self.hidden, self.epochs, self.seed = components, tuple(hidden), epochs, seed
        self._classes: dict[str, Any] = {}
        self._numbers: list[str] = []
        self._scale: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.ones(0))
        self._regressor: Any = None
        self._pca: Any = None

    def fit(self, inputs: np.ndarray, factors: pd.DataFrame) -> FactorReader:
        """Fits on inputs `(N, ...)` with their factors, text for classes and numbers for numbers.

        Raises:
            ValueError: If there is not one row of factors per input, or no factor.
        """
        from sklearn.decomposition import PCA
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        if len(inputs) != len(factors) or not len(factors.columns):
            raise ValueError(f"expected factors for {len(inputs)} inputs, got a table of shape {factors.shape}")
        flat = _flat(inputs)
        self._pca = PCA(min(self.components, *flat.shape), whiten=True, svd_solver="covariance_eigh").fit(flat)
        scores = self._pca.transform(flat)
        network = {
            "hidden_layer_sizes": self.hidden,
            "batch_size": min(128, len(flat)),
            "learning_rate_init": 2e-3,
            "max_iter": self.epochs,
            "tol": 0.0,
            "random_state": self.seed,
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Stochastic Optimizer")
            self._numbers = [name for name in factors if pd.api.types.is_numeric_dtype(factors[name])]
            if self._numbers:
                targets = factors[self._numbers].to_numpy(dtype=float)
                self._scale = (targets.mean(0), np.maximum(targets.std(0), 1e-12))
                scaled = (targets - self._scale[0]) / self._scale[1]
                self._regressor = MLPRegressor(**network).fit(
                    scores, scaled.squeeze(1) if scaled.shape[1] == 1 else scaled
                )
            for name in factors:
                if name not in self._numbers:
                    self._classes[name] = MLPClassifier(**network).fit(scores, factors[name].to_numpy(dtype=str))
        return self

    def read(self, inputs: np.ndarray) -> Reading:
        """Reads the factors of inputs `(N, ...)`."""
        scores = self._pca.transform(_flat(inputs))
        columns: dict[str, np.ndarray] = {}
        confidence = np.ones(len(scores))
        if self._numbers:
            numbers = self._regressor.predict(scores).reshape(len(scores), -1) * self._scale[1] + self._scale[0]
            columns.update(zip(self._numbers, numbers.T, strict=True))
        for name, classifier in self._classes.items():
            shares = classifier.predict_proba(scores)
            columns[name] = classifier.classes_[shares.argmax(1)]
            confidence = np.minimum(confidence, shares.max(1))
        return Reading(pd.DataFrame(columns), confidence)

    def scores(self, inputs: np.ndarray, factors: pd.DataFrame) -> dict[str, float]:
        """Gives R^2 of each number and accuracy of each class on inputs `(N, ...)`."""
        return agreement(factors, self.read(inputs).values)


def agreement(factors: pd.DataFrame, read: pd.DataFrame) -> dict[str, float]:
    """Compares true with read factors: R^2 for numbers, accuracy for classes.

    Example:
        >>> true = pd.DataFrame({"timbre": ["sine", "square"], "octave": [1.0, 3.0]})
        >>> agreement(true, pd.DataFrame({"timbre": ["sine", "sine"], "octave": [1.0, 3.0]}))
        {'timbre': 0.5, 'octave': 1.0}
    """
    found: dict[str, float] = {}
    for name in factors:
        if pd.api.types.is_numeric_dtype(factors[name]):
            true = factors[name].to_numpy(dtype=float)
            error = np.mean((read[name].to_numpy(dtype=float) - true) ** 2)
            found[name] = float(1 - error / true.var())
        else:
            found[name] = float(np.mean(read[name].to_numpy(dtype=str) == factors[name].to_numpy(dtype=str)))
    return found


def _flat(inputs: np.ndarray) -> np.ndarray:
    return np.asarray(inputs).reshape(len(inputs), -1)
