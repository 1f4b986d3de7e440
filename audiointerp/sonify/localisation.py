"""Whether a sonification sounds when the event does: against known times, beside the input's own energy."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

FRAME_S = 0.02


def localisation(s: np.ndarray, spans: np.ndarray, sample_rate: int, frame_s: float = FRAME_S) -> dict[str, float]:
    """Measures how a sound's energy lies in time against events.

    Args:
        s: The sound, shape `(L,)`.
        spans: Starts and stops of events [s], shape `(E, 2)`, without overlap.
        sample_rate: [Hz].
        frame_s: Length of a frame [s].
    Returns:
        `inside`: share of the energy within events; `auc`: probability that a frame within is louder than one without;
        `hit`: whether the loudest frame is within. All NaN where the sound is silent, or no frame or every frame is
        within an event.
    Raises:
        ValueError: If the sound is shorter than a frame.
    Example:
        >>> s = np.r_[np.zeros(100), np.ones(100)]
        >>> localisation(s, np.array([[1.0, 2.0]]), 100)
        {'inside': 1.0, 'auc': 1.0, 'hit': 1.0}
    """
    s = np.asarray(s, dtype=np.float64)
    width = max(1, round(frame_s * sample_rate))
    frames = len(s) // width
    if frames < 1:
        raise ValueError(f"expected at least one frame of {width} samples, got {len(s)}: take longer clips")
    energy = np.square(s[: frames * width]).reshape(frames, width).sum(1)
    times = (np.arange(frames) + 0.5) * width / sample_rate
    spans = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    within = ((times[:, None] >= spans[:, 0]) & (times[:, None] < spans[:, 1])).any(1)
    count = int(within.sum())
    if energy.sum() <= 0 or count in (0, frames):
        return dict.fromkeys(("inside", "auc", "hit"), float("nan"))
    ranks = rankdata(energy)
    area = (ranks[within].sum() - count * (count + 1) / 2) / (count * (frames - count))
    return {
        "inside": float(energy[within].sum() / energy.sum()),
        "auc": float(area),
        "hit": float(within[int(energy.argmax())]),
    }
