"""Who says what a decoded note sounds like: a classifier that hears waveforms and never sees a code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiointerp.probes.classifiers import accuracy_over_groups, fit_probe
from audiointerp.studies.timbre_notes import Listener, Notes
from audiointerp.training.fit_autoencoder import FittedAutoencoder


@dataclass(frozen=True)
class Judge:
    """Tells families of waveforms, trained on real and on reconstructed training notes, never on a code.

    Attributes:
        layer: The layer of the network that it hears through.
        hear: Turns waveforms `(n, L)` into features `(n, D)`.
        probe: What was fitted to them.
        accuracy: On real test notes, and on reconstructed ones.
    """

    layer: str
    hear: Callable[[np.ndarray], np.ndarray]
    probe: Any
    accuracy: Mapping[str, float]

    def __call__(self, waveforms: np.ndarray) -> np.ndarray:
        """Gives the family of waveforms `(n, L)`, int `(n,)`."""
        return self.probe.predict(self.hear(waveforms))


def clearest_layer(notes: Notes, heard: Mapping[str, np.ndarray]) -> str:
    """Names the layer that tells the families of `select` best to support vectors trained on `train`.

    Args:
        notes: The notes.
        heard: Layers to features of all notes, `(N, D)`; among equals the last one is taken.
    """
    train, select = notes.rows("train"), notes.rows("select")
    right = {}
    for layer, features in heard.items():
        probe = fit_probe("svm_tuned", features[train], notes.labels[train], groups=notes.groups[train])
        right[layer] = (probe.predict(features[select]) == notes.labels[select]).sum()
    return max(reversed(right), key=right.__getitem__)


def train_judge(notes: Notes, listener: Listener, layer: str, fitted: FittedAutoencoder, codes: np.ndarray) -> Judge:
    """Trains the judge of transfers on real and reconstructed training notes; it never sees a code."""

    def hear(waveforms: np.ndarray) -> np.ndarray:
        return listener.hear(np.ascontiguousarray(waveforms, dtype=np.float32), [layer])[layer]

    train, test = notes.rows("train"), notes.rows("test")
    length = codes.shape[2] * fitted.network.hop
    heard = {
        role: (hear(notes.waveforms[rows][:, :length]), hear(np.clip(fitted.decode(codes[rows]), -1.0, 1.0)))
        for role, rows in (("train", train), ("test", test))
    }
    labels, groups = (np.concatenate([of[train], of[train]]) for of in (notes.labels, notes.groups))
    probe = fit_probe("svm_tuned", np.concatenate(heard["train"]), labels, groups=groups)
    accuracy = {
        name: accuracy_over_groups(notes.labels[test], probe.predict(features), notes.groups[test]).estimate
        for name, features in zip(("real", "reconstructed"), heard["test"], strict=True)
    }
    return Judge(layer, hear, probe, accuracy)
