"""What Lightning says in vain is kept back, nothing else."""

import warnings

import pytest

from audiointerp.training.quiet import quiet

IN_VAIN = (
    "The 'train_dataloader' does not have many workers which may be a bottleneck.",
    "Checkpoint directory /tmp/resume exists and is not empty.",
    "`isinstance(treespec, LeafSpec)` is deprecated, use `treespec.is_leaf()` instead.",
)


def test_remarks_are_kept_back_and_other_warnings_come_through():
    with pytest.warns(UserWarning) as heard, quiet("number of training batches"):
        for words in (*IN_VAIN, "The number of training batches (2) is smaller than the logging interval.", "a loss"):
            warnings.warn(words, stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["a loss"]


def test_what_is_kept_back_for_one_training_is_heard_after_it():
    with quiet("number of training batches"):
        pass
    with pytest.warns(UserWarning, match="workers"):
        warnings.warn(IN_VAIN[0], stacklevel=1)
    with pytest.warns(UserWarning, match="training batches"), quiet():
        warnings.warn("The number of training batches is small.", stacklevel=1)
