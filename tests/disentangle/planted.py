"""A linear-Gaussian world whose factors lie in known subspaces: what a factor flow has to find."""

import numpy as np
from scipy.linalg import helmert


def linear_world(rows, classes=None, features=8, seed=0):
    """Draws whitened scores whose factors live in subspaces of their own.

    On the K - 1 dimensions of a factor, class means are the corners of a regular simplex and hold nine tenths of the
    variance of 1: two sounds of one class are correlated by 0.9.

    All combinations of classes are equally frequent where `rows` is a multiple of their number.

    Returns:
        Scores float32 `(rows, features)`, labels, and each factor's orthonormal directions `(features, K - 1)`.
    """
    classes = classes or {"kind": 4, "size": 3}
    axes = np.linalg.qr(np.random.default_rng(123).standard_normal((features, features)))[0]
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((rows, features))
    cells = np.unravel_index(rng.permutation(np.arange(rows) % np.prod([*classes.values()])), [*classes.values()])
    labels, subspaces, start = dict(zip(classes, cells, strict=True)), {}, 0
    for name, count in classes.items():
        block = slice(start, start + count - 1)
        corners = np.sqrt(0.9 * count) * helmert(count).T
        latent[:, block] = corners[labels[name]] + np.sqrt(0.1) * latent[:, block]
        subspaces[name] = axes[:, block]
        start = block.stop
    return (latent @ axes.T).astype(np.float32), labels, subspaces


def tensors(scores, labels):
    """Gives what `FactorFlow.align` takes."""
    import torch

    return torch.from_numpy(scores), {name: torch.from_numpy(values) for name, values in labels.items()}
