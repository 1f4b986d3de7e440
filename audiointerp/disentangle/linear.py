"""Linear rivals of a VAE: principal and independent components with the same two verbs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from audiointerp.study import UserError

KINDS = ("pca", "ica")


class LinearCodes:
    """Principal or independent components of pictures; `encode` and `decode` as a VAE's.

    Args:
        kind: `pca` (whitened) or `ica` (FastICA on the same subspace).
        latents: Size `D` of the code.
        seed: Seed of the fit.
    Raises:
        UserError: If the kind is unknown.
    """

    def __init__(self, kind: str, latents: int, seed: int = 0) -> None:
        if kind not in KINDS:
            raise UserError(f"expected a linear model among {', '.join(KINDS)}, got {kind!r}")
        self.name, self.latents, self.seed = kind, int(latents), int(seed)
        self._shape: tuple[int, ...] = ()
        self._pca: Any = None
        self._ica: Any = None

    def fit(self, pictures: np.ndarray) -> LinearCodes:
        """Fits on pictures `(N, F, T)`.

        Raises:
            UserError: If there are fewer pictures or pixels than latents.
        """
        from sklearn.decomposition import PCA, FastICA

        flat = pictures.reshape(len(pictures), -1)
        if min(flat.shape) < self.latents:
            raise UserError(
                f"expected at least {self.latents} pictures and pixels (model.latents), got {flat.shape[0]} and "
                f"{flat.shape[1]}"
            )
        self._shape = pictures.shape[1:]
        self._pca = PCA(self.latents, whiten=True, svd_solver="covariance_eigh").fit(flat)
        if self.name == "ica":
            self._ica = FastICA(whiten=False, random_state=self.seed, max_iter=500, tol=1e-3)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "FastICA did not converge")
                self._ica.fit(self._pca.transform(flat))
        return self

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Gives the codes of pictures, float32 `(N, D)`."""
        codes = self._pca.transform(pictures.reshape(len(pictures), -1))
        return (codes if self._ica is None else self._ica.transform(codes)).astype(np.float32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Gives the pictures of codes, float32 `(N, F, T)`."""
        components = codes if self._ica is None else self._ica.inverse_transform(codes)
        return self._pca.inverse_transform(components).reshape(len(codes), *self._shape).astype(np.float32)
