"""Where the notes lie: principal components and t-SNE of a code."""

from __future__ import annotations

import numpy as np
import pandas as pd

from audiointerp.studies.timbre_notes import SOURCE, Notes

VIEWS = {
    "t-SNE, 3-D": ["tsne3_1", "tsne3_2", "tsne3_3"],
    "t-SNE, 2-D": ["tsne2_1", "tsne2_2"],
    "PCA, 2-D": ["pca_1", "pca_2"],
}


def view_table(notes: Notes, features: np.ndarray, perplexity: float, seed: int) -> pd.DataFrame:
    """Gives the test notes' places in three views, with their factors.

    Components are fitted on training notes; t-SNE knows no notes but those it places, here the test notes, by their
    first 50 components.

    Args:
        notes: The notes.
        features: Shape `(N, D)`.
        perplexity: Of t-SNE; lowered where there are few notes.
        seed: Of t-SNE.
    Returns:
        One row per test note: the columns of `VIEWS`, note, instrument_family, pitch, velocity and, where there is one,
        instrument_source; `attrs["explained"]` holds the shares of variance of the two components.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    train, test = notes.rows("train"), notes.rows("test")
    mean, scale = features[train].mean(0), np.maximum(features[train].std(0), 1e-9)
    scaled = (features - mean) / scale
    pca = PCA(min(50, len(train), features.shape[1]), random_state=seed).fit(scaled[train])
    scores = pca.transform(scaled[test])
    table = pd.DataFrame({"note": test, "pca_1": scores[:, 0], "pca_2": scores[:, 1]})
    near = min(perplexity, (len(test) - 1) / 3)
    for dimensions in (2, 3):
        placed = TSNE(dimensions, perplexity=near, init="pca", random_state=seed).fit_transform(scores)
        for axis in range(dimensions):
            table[f"tsne{dimensions}_{axis + 1}"] = placed[:, axis]
    table["instrument_family"] = np.asarray(notes.classes)[notes.labels[test]]
    table["pitch"], table["velocity"] = notes.pitch[test], notes.velocity[test]
    if notes.source is not None:
        table[SOURCE] = notes.source[test]
    table.attrs["explained"] = [float(share) for share in pca.explained_variance_ratio_[:2]]
    return table
