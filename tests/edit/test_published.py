import numpy as np
import pytest
import torch

from audiointerp.edit.published import Mistakes, choose_by_windows

VALUES = np.array([0.1, -0.15, 0.9, 1.0, 1.1, 1.4, -0.1, 0.15, -0.9, -1.0, -1.1, -1.4, 5.0, 0.0])
LABELS = np.array([0] * 6 + [1] * 6 + [0, 1])
ROWS = np.arange(12)  # means 0, .725 and -.725; the last two may not be drawn


def test_published_outputs_are_the_log_sigmoid_of_probabilities():
    logits = np.array([[-3.0, 0.0, 4.0]], np.float32)
    expected = torch.nn.functional.logsigmoid(torch.sigmoid(torch.from_numpy(logits))).numpy()
    np.testing.assert_allclose(Mistakes().outputs(logits), expected, rtol=1e-6)
    assert Mistakes(log_sigmoid=False).outputs(logits) is logits


@pytest.mark.parametrize("any_class", [True, False])
def test_windows(any_class):
    pairs = choose_by_windows(VALUES, LABELS, ROWS, 200, Mistakes(any_class=any_class), np.random.default_rng(0))
    middle, typical = [{0, 1}, {6, 7}], [{2, 3}, {8, 9}]
    assert len(pairs) == 400
    for p, q in ((0, 1), (1, 0)):
        mine = pairs[pairs["label"] == p]
        assert len(mine) == 200 and set(mine["target"]) == {q}
        assert set(mine["own"]) == typical[p] and set(mine["other"]) == typical[q]
        # The published slip: a sound of any class counts as an atypical one of class p.
        assert set(mine["source"]) == (middle[0] | middle[1] if any_class else middle[p])


def test_windows_that_nothing_lies_in():
    pairs = choose_by_windows(VALUES, LABELS, np.array([5, 11]), 5, Mistakes(), np.random.default_rng(0))
    assert pairs.empty and list(pairs) == ["source", "own", "other", "label", "target"]
