"""Splits of a task: groups drawn anew, official folds one after the other, few shots; tags and shuffled labels."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.data.base import Sounds
from audiointerp.studies.strf_task import OFFICIAL, cut, first_measure, shuffle_labels, split_task
from audiointerp.study import UserError

SHARES = {"train": 0.6, "select": 0.15, "test": 0.25}


class Clips(Sounds):
    """Two segments of noise a clip; class, group, fold and tags as asked for."""

    name, sample_rate, preprocessing, pad = "clips", 16000, {}, "zeros"

    def __init__(self, count=60, folds=None, tagged=False):
        kind = np.arange(count) % 3
        self.factors = pd.DataFrame({"kind": [f"kind {k}" for k in kind]})
        self.group = pd.Series([f"group {i // 2}" for i in range(count)])
        self.fold = None if folds is None else pd.Series([folds[(i // 2) % len(folds)] for i in range(count)])
        if tagged:
            self.tags = pd.DataFrame({"low": kind != 1, "high": kind != 2})
        self.path = pd.Series([f"{i}" for i in range(count)])
        self.lengths, self.clip_keys = np.full(count, 16000), [f"{i}" for i in range(count)]

    def waveform(self, i):
        return np.random.default_rng(i).normal(size=16000).astype(np.float32)


def probe():
    return STRFNetwork(["any"], filters=4, frames=11, bins=7, segment_s=0.5)


def task(factor="kind", **settings):
    return cut(Clips(**settings), probe(), factor)


def test_groups_are_drawn_anew_and_kept_whole():
    whole = task()
    assert len(whole.labels) == 120 and whole.kind == "classes" and whole.chance == pytest.approx(1 / 3)
    splits = [split_task(whole, "auto", SHARES, number, 0) for number in range(3)]
    for found in splits:
        groups = [set(found.groups[found.rows(role)]) for role in ("train", "select", "test")]
        assert all(groups) and not any(a & b for i, a in enumerate(groups) for b in groups[:i])
        assert found.by == "groups" and 0.2 < found.ratio < 0.7
    assert not np.array_equal(splits[0].roles, splits[1].roles)
    assert np.array_equal(splits[0].roles, split_task(whole, "groups", SHARES, 0, 0).roles)


def test_official_folds_are_tested_one_after_the_other():
    whole = task(folds=["1", "2", "3", "10"])
    tested = []
    for number in range(5):
        found = split_task(whole, "auto", SHARES, number, 0)
        tested.append(set(whole.sounds.fold.to_numpy()[whole.clips[found.rows("test")]]))
        assert set(found.roles) == {"train", "select", "test"} and "folds" in found.by
        assert set(whole.sounds.fold.to_numpy()[whole.clips[found.rows("train")]]) == {"1", "2", "3", "10"} - tested[-1]
    assert tested == [{"1"}, {"2"}, {"3"}, {"10"}, {"1"}]
    assert split_task(whole, "groups", SHARES, 0, 0).by == "groups"


def test_a_named_test_fold_is_the_only_one():
    for folds, held in ((["train", "validation", "test"], {"validation"}), (["train", "test"], None)):
        whole = task(folds=folds)
        found = [split_task(whole, "auto", SHARES, number, 0) for number in range(2)]
        fold = whole.sounds.fold.to_numpy()[whole.clips]
        assert all(set(fold[part.rows("test")]) == {"test"} and part.ratio == 0.0 for part in found)
        assert found[0].by == OFFICIAL and np.array_equal(found[0].roles, found[1].roles)
        assert set(fold[found[0].rows("select")]) == (held or {"train"})


def test_few_shots_are_of_every_class_and_nested():
    whole = task()
    few = {shots: split_task(whole, "groups", SHARES, 0, 0, shots) for shots in (2, 5)}
    for shots, found in few.items():
        clips = np.unique(found.clips[found.rows("train")])
        assert np.bincount(clips % 3).tolist() == [shots] * 3
        full = split_task(whole, "groups", SHARES, 0, 0)
        assert all(np.array_equal(found.rows(role), full.rows(role)) for role in ("select", "test"))
    assert set(few[2].rows("train")) < set(few[5].rows("train"))


def test_tags_are_ranked_by_clip():
    found = split_task(task("tags", tagged=True), "groups", SHARES, 0, 0, 7)
    assert found.kind == "tags" and found.classes == ("low", "high") and found.labels.dtype == np.float32
    assert len(found.rows("train")) == 14 and found.chance is None
    truth = found.labels[found.rows("test")]
    assert first_measure(found, truth - 0.5) == {"mAP": 1.0, "mAUC": 1.0}
    assert first_measure(found, 0.5 - truth)["mAUC"] == 0.0


def test_shuffled_labels_leave_the_test_groups_as_they_are():
    found = split_task(task(), "groups", SHARES, 0, 0)
    labels, test = shuffle_labels(found, 0), found.rows("test")
    assert np.array_equal(labels[test], found.labels[test])
    assert np.array_equal(np.sort(labels), np.sort(found.labels)) and (labels != found.labels).mean() > 0.3


def test_what_the_corpus_has_not_is_refused():
    with pytest.raises(UserError, match="a corpus with folds of its own, clips has none"):
        split_task(task(), "folds", SHARES, 0, 0)
    with pytest.raises(UserError, match="expected study.factor among kind, got 'tags'"):
        task("tags")
    with pytest.raises(UserError, match="for every role, got none for test"):
        split_task(task(), "groups", {"train": 0.8, "select": 0.2}, 0, 0)
