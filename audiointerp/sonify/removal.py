"""Taking a sonification out of its sound: as published, by least squares, and controls of the same energy."""

from __future__ import annotations

import numpy as np

from audiointerp.study import UserError

METHODS = ("least_squares", "peak")


def gain(x: np.ndarray, s: np.ndarray, method: str = "least_squares") -> float:
    r"""Gives the factor by which a sonification is taken out.

    `least_squares`: :math:`\alpha = \langle x, s\rangle / \langle s, s\rangle`, the part of `x` along `s`, so that
    removal never adds energy. `peak`, as published: 1, the sonification having the peak of its sound.

    Args:
        x: The sound, shape `(L,)`.
        s: Its sonification, shape `(L,)`; 0 for silence.
        method: Which.
    Raises:
        UserError: If there is no such method.
    Example:
        >>> gain(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
        0.5
    """
    if method not in METHODS:
        raise UserError(f"expected a method out of {', '.join(METHODS)}, got {method!r}")
    x, s = np.asarray(x, dtype=np.float64), np.asarray(s, dtype=np.float64)
    energy = float(s @ s)
    if method == "peak":
        return 1.0 if energy > 0 else 0.0
    return float(x @ s) / energy if energy > 0 else 0.0


def removed(x: np.ndarray, s: np.ndarray, method: str = "least_squares") -> np.ndarray:
    """Gives what is taken out, `gain * s`, shape `(L,)`; the residual is `x - removed(x, s)`.

    Example:
        >>> x, s = np.array([1.0, 1.0]), np.array([2.0, 0.0])
        >>> (x - removed(x, s)).tolist(), (x - removed(x, s, "peak")).tolist()
        ([0.0, 1.0], [-1.0, 1.0])
    """
    return gain(x, s, method) * np.asarray(s, dtype=np.float64)


def same_energy(x: np.ndarray, control: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Scales a control to the energy of what was taken out, with the sign that takes away rather than adds.

    Args:
        x: The sound, shape `(L,)`.
        control: A sound that says nothing about the map, shape `(L,)`.
        part: What was taken out, shape `(L,)`.
    Returns:
        What is taken out instead, shape `(L,)`; zeros where the control is silent, and then no control at all.
    Example:
        >>> x, part = np.array([1.0, 1.0]), np.array([3.0, 4.0])
        >>> same_energy(x, np.array([-2.0, 0.0]), part).tolist()
        [5.0, -0.0]
    """
    control = np.asarray(control, dtype=np.float64)
    energy = float(control @ control)
    if energy <= 0:
        return np.zeros_like(control)
    sign = -1.0 if float(np.asarray(x, dtype=np.float64) @ control) < 0 else 1.0
    return control * (sign * np.sqrt(float(np.dot(part, part)) / energy))


def relative_fall(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Share of a response that is gone, `1 - after / before`; NaN where there was none.

    Example:
        >>> relative_fall(np.array([2.0, 0.0]), np.array([0.5, 1.0])).tolist()
        [0.75, nan]
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    return np.where(before > 0, 1.0 - after / np.where(before > 0, before, 1.0), np.nan)
