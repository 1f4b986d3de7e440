"""Detection and verification measures agree with scikit-learn and with counting by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from audiointerp.statistics.detection import detection_error_rate, equal_error_rate, frame_f1, roc


def planted(seed, n=400, apart=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return labels, np.round(rng.normal(size=n) + apart * labels, 1)  # rounded, so that scores tie


@pytest.mark.parametrize("seed", range(3))
def test_the_area_is_that_of_scikit_learn_and_thresholds_give_their_shares(seed):
    labels, scores = planted(seed)
    curve = roc(labels, scores)
    assert curve.area == pytest.approx(roc_auc_score(labels, scores))
    for k in (0, 5, len(curve.thresholds) - 1):
        said = scores >= curve.thresholds[k]
        assert curve.hits[k] == pytest.approx(said[labels == 1].mean())
        assert curve.false_alarms[k] == pytest.approx(said[labels == 0].mean())


def test_the_equal_error_rate_of_two_gaussians_is_known():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 20000), rng.normal(2, 1, 20000)])
    labels = np.repeat([0, 1], 20000)
    assert equal_error_rate(labels, scores) == pytest.approx(0.1587, abs=0.005)  # Phi(-1)
    assert equal_error_rate(labels, rng.normal(size=40000)) == pytest.approx(0.5, abs=0.01)
    assert equal_error_rate([0, 1, 0, 1], [1.0, 1.0, 1.0, 1.0]) == pytest.approx(0.5)


def test_errors_of_frames_are_counted():
    labels, scores = planted(3)
    said = (scores > 0.7).astype(int)
    assert frame_f1(labels, said) == pytest.approx(f1_score(labels, said))
    wrong = sum(a != b for a, b in zip(labels, said, strict=True))
    assert detection_error_rate(labels, said) == pytest.approx(wrong / labels.sum())
    assert detection_error_rate(labels, labels) == 0.0 and frame_f1(labels, labels) == 1.0
    assert np.isnan(detection_error_rate([0, 0], [0, 1])) and np.isnan(frame_f1([0, 0], [0, 0]))


def test_what_cannot_be_is_refused():
    for measure in (detection_error_rate, frame_f1):
        with pytest.raises(ValueError, match="two rows of 0 and 1"):
            measure([0, 1], [0, 2])
    for labels, scores in (([1, 1], [0.1, 0.2]), ([0, 1], [0.1])):
        with pytest.raises(ValueError, match="labels 0 and 1, both present"):
            roc(labels, scores)
