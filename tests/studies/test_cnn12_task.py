"""What a network is trained and tested on: targets, splits that keep groups apart, shares of the labels."""

import numpy as np
import pandas as pd
import pytest
import torch

from audiointerp.data.base import Sounds
from audiointerp.studies.cnn12_task import task_of
from audiointerp.study import UserError


class Corpus(Sounds):
    """Clips of words by speakers; group: the take, or as given."""

    name, pad, sample_rate = "Corpus", "zeros", 8000

    def __init__(self, fold=None, tags=None, n=60, group=None):
        index = np.arange(n)
        self.factors = pd.DataFrame(
            {"word": np.array(["no", "yes", "go"])[index % 3], "speaker": [f"s{i // 20}" for i in index]}
        )
        self.group = pd.Series([f"g{i}" for i in index] if group is None else group)
        self.fold = None if fold is None else pd.Series(fold)
        self.tags = tags
        self.lengths = np.full(n, 900)

    def waveform(self, i):
        return np.zeros(900, dtype=np.float32)


def test_classes_are_sorted_and_targets_are_their_places():
    task = task_of(Corpus(), 1000)
    assert task.factor == "word" and task.classes == ["go", "no", "yes"] and not task.multilabel
    assert task.targets[:4].tolist() == [1, 2, 0, 1] and task.targets.dtype == torch.int64
    assert task.measure == "accuracy" and task.clips.shortest == 1000 and len(task.clips[0]) == 1000


def test_tags_come_first_where_there_are_some():
    tags = pd.DataFrame({"a": np.arange(60) % 2 == 0, "b": np.arange(60) % 5 == 0})
    task = task_of(Corpus(tags=tags), 900)
    assert task.factor == "tags" and task.multilabel and task.measure == "mAP" and task.classes == ["a", "b"]
    assert task.targets.dtype == torch.float32 and torch.equal(task.targets.bool(), torch.from_numpy(tags.to_numpy()))
    assert task_of(Corpus(tags=tags), 900, factor="word").measure == "accuracy"


def test_official_folds_are_used_and_validation_is_held_back():
    names = (["train"] * 3 + ["val", "eval"]) * 12
    task = task_of(Corpus(fold=names), 900)
    (split,) = task.splits.values()
    assert set(np.array(names)[split.train]) == {"train"} and set(np.array(names)[split.test]) == {"eval"}
    numbered = task_of(Corpus(fold=[str(i % 5 + 1) for i in range(60)]), 900, folds=3)
    assert list(numbered.splits) == ["fold 1", "fold 2", "fold 3"] and numbered.by == "the corpus' own folds"
    for k, part in enumerate(numbered.splits.values()):
        assert set(part.test % 5) == {k} and len(part.train) == 48


def test_groups_are_never_on_both_sides():
    task = task_of(Corpus(group=[f"g{i % 12}" for i in range(60)]), 900, folds=2)
    assert len(task.splits) == 2
    for part in task.splits.values():
        groups = task.sounds.group.to_numpy()
        assert not set(groups[part.train]) & set(groups[part.test]) and len(part.train) + len(part.test) == 60
    first, second = task.splits.values()
    assert not np.array_equal(first.test, second.test)


def test_a_speaker_is_held_out():
    task = task_of(Corpus(), 900, split="speaker", folds=2)
    assert list(task.splits) == ["speaker s0", "speaker s1"]
    for k, part in enumerate(task.splits.values()):
        assert set(task.sounds.factors["speaker"][part.test]) == {f"s{k}"} and len(part.train) == 40


@pytest.mark.parametrize("multilabel", [False, True])
def test_smaller_shares_are_parts_of_larger_ones(multilabel):
    tags = pd.DataFrame({"a": np.arange(60) % 2 == 0, "b": np.arange(60) % 5 == 0}) if multilabel else None
    task = task_of(Corpus(tags=tags), 900)
    rows = next(iter(task.splits.values())).train
    shares = {fraction: task.share(rows, fraction, 0) for fraction in (0.1, 0.3, 1.0)}
    assert set(shares[0.1]) < set(shares[0.3]) < set(shares[1.0]) == set(rows)
    assert len(shares[0.3]) == pytest.approx(0.3 * len(rows), abs=3)
    assert not np.array_equal(task.share(rows, 0.3, 1), shares[0.3])
    if not multilabel:
        assert set(task.targets[shares[0.1]].tolist()) == {0, 1, 2}
        assert set(task.targets[task.share(rows, 0.001, 0)].tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("sounds", "settings", "message"),
    [
        (Corpus(), {"factor": "wrod"}, "study.factor: there is no 'wrod': did you mean 'word'"),
        (Corpus(), {"split": "speeker"}, "study.split: there is no 'speeker': did you mean 'speaker'"),
        (Corpus(), {"split": "word"}, "study.split: there is no 'word'"),
        (Corpus(), {"split": "folds"}, "a corpus with its own folds"),
        (Corpus(fold=["test"] * 60), {}, "split official has 0 and 60: choose another study.split"),
        (Corpus(group=["g"] * 60), {}, "has .*: choose another study.split"),
        (Corpus(group=[f"g{i % 5}" for i in range(60)]), {"split": "speaker"}, "groups within the levels of speaker"),
    ],
)
def test_what_cannot_be_is_refused(sounds, settings, message):
    with pytest.raises(UserError, match=message):
        task_of(sounds, 900, **settings)
