import numpy as np
import pytest

from audiointerp.report import palette


def _seen_by_a_deuteranope(colour: str) -> np.ndarray:
    """Viénot, Brettel and Mollon (1999): linear RGB as a deuteranope sees it, in CIE L*a*b*-like cube roots."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    long, _, short = to_lms @ linear
    seen = np.linalg.inv(to_lms) @ np.array([long, 0.494207 * long + 1.24827 * short, short])
    return np.cbrt(np.clip(seen, 0, 1))


def test_the_first_factors_differ_for_a_deuteranope():
    seen = [_seen_by_a_deuteranope(colour) for colour in palette.FACTORS[:4]]
    gaps = [np.abs(a - b).max() for i, a in enumerate(seen) for b in seen[:i]]
    assert min(gaps) > 0.08


def test_factors_of_one_figure_never_share_a_colour():
    names = ["digit", "material", "instrument", "something", "else"]
    assert len({palette.factor(name, names) for name in names}) == len(names)


def test_a_factor_keeps_its_colour_from_figure_to_figure():
    assert palette.factor("material") == palette.factor("material", ["material", "action"])
    assert palette.factor("unheard of") == palette.factor("unheard of")


@pytest.mark.parametrize("name", ["no-op", "no_op", "random direction", "Random direction (norm-matched)"])
def test_controls_are_known_however_they_are_spelt(name):
    assert palette.is_control(name)


@pytest.mark.parametrize("name", ["flow", "LDA shift", "class-mean shift"])
def test_rivals_are_no_controls(name):
    assert not palette.is_control(name)


def test_networks_are_told_by_what_they_are():
    assert palette.network("untrained seed 2") == palette.CONTROL
    assert len({palette.network(name) for name in ("trained", "standin", "untrained")}) == 3


def test_classes_beyond_the_colours_differ_in_shape():
    styles = palette.classes([str(i) for i in range(16)])
    assert len(set(styles.values())) == 16
