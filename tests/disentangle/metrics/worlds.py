"""Factors on a grid and codes that hold them one to one, rotated, noisily, twice, or not at all."""

import numpy as np
from scipy.stats import ortho_group


def grid(repeats=10, levels=(4, 5, 6)):
    """Every combination of levels equally often: factors are independent to the last bit. Shape `(N, F)`."""
    cells = np.stack(np.meshgrid(*[np.arange(count) for count in levels], indexing="ij"), axis=-1)
    return np.tile(cells.reshape(-1, len(levels)), (repeats, 1)).astype(float)


def one_to_one(factors, noise_codes=2, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    held = (factors - factors.mean(0)) / factors.std(0)
    held = held + noise * rng.standard_normal(held.shape)
    return np.concatenate([held, rng.standard_normal((len(factors), noise_codes))], axis=1)


def rotated(factors, noise_codes=2, seed=0):
    codes = one_to_one(factors, noise_codes, seed=seed)
    count = factors.shape[1]
    codes[:, :count] = codes[:, :count] @ ortho_group.rvs(count, random_state=3)
    return codes


def noise(factors, codes=5, seed=0):
    return np.random.default_rng(seed).standard_normal((len(factors), codes))
