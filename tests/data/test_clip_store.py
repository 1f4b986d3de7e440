"""Rendered clips in a file: the same bits, whole or not at all, and never in the way."""

import os
import shutil
import time
from collections import namedtuple

import numpy as np
import pytest

from audiointerp.data import clip_store
from audiointerp.data.clip_store import ClipStore
from audiointerp.data.synthetic_maas import SyntheticMaAS

CLIPS = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)


def test_what_was_written_is_read(tmp_path):
    store = ClipStore(tmp_path / "new" / "clips.f32", 6, 5)
    assert store.read(np.array([0])) is None
    with store.writing() as keep:
        keep(CLIPS[:4])
        assert store.read(np.array([0])) is None
        keep(CLIPS[4:])
    read = store.read(np.array([5, 0, 5]))
    assert np.array_equal(read, CLIPS[[5, 0, 5]]) and read.flags.writeable
    assert os.listdir(tmp_path / "new") == ["clips.f32"]
    assert ClipStore(store.file, 7, 5).read(np.array([0])) is None


def test_a_file_that_is_whole_is_left_alone(tmp_path):
    store = ClipStore(tmp_path / "clips.f32", 6, 5)
    for written in (CLIPS, -CLIPS):
        with store.writing() as keep:
            keep(written)
    assert np.array_equal(store.read(np.arange(6)), CLIPS)


def test_an_error_while_rendering_leaves_nothing(tmp_path):
    store = ClipStore(tmp_path / "clips.f32", 6, 5)
    with pytest.raises(RuntimeError, match="stopped"), store.writing() as keep:
        keep(CLIPS[:2])
        raise RuntimeError("stopped")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_is_said_once_and_left_clean(tmp_path, monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(ClipStore, "_open", lambda self, part: part.touch() or Full())
    store = ClipStore(tmp_path / "clips.f32", 6, 5)
    with pytest.warns(UserWarning, match="No space left") as said, store.writing() as keep:
        keep(CLIPS[:2])
        keep(CLIPS[2:])
    assert len(said) == 1 and os.listdir(tmp_path) == []


def test_little_room_is_left_alone(tmp_path, monkeypatch):
    room = namedtuple("room", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: room(8 * 6 * 5))
    with ClipStore(tmp_path / "clips.f32", 6, 5).writing() as keep:
        keep(CLIPS)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="set paths.cache"):
        with ClipStore(tmp_path / "file" / "clips.f32", 6, 5).writing() as keep:
            keep(CLIPS)


def test_what_a_killed_process_left_is_taken_away(tmp_path):
    old, new = tmp_path / "clips.f32.1.part", tmp_path / "clips.f32.2.part"
    for left in (old, new):
        left.write_bytes(b"half")
    past = time.time() - 2 * clip_store.ABANDONED_S
    os.utime(old, (past, past))
    with ClipStore(tmp_path / "clips.f32", 6, 5).writing() as keep:
        keep(CLIPS)
    assert sorted(os.listdir(tmp_path)) == ["clips.f32", new.name]


def test_clips_that_do_not_fit_into_memory_are_rendered_once(tmp_path, monkeypatch):
    sounds = SyntheticMaAS(clips=24, keep_mb=0, cache=tmp_path)
    wanted = sounds.waveforms([3, 20])
    _ = sounds.levels

    def forbidden(self, i):
        raise AssertionError("rendered")

    monkeypatch.setattr(SyntheticMaAS, "render", forbidden)
    assert np.array_equal(SyntheticMaAS(clips=24, keep_mb=0, cache=tmp_path).waveforms([3, 20]), wanted)
    for other in ({"store_mb": 0}, {"seed": 1}, {"cache": None}):
        with pytest.raises(AssertionError, match="rendered"):
            SyntheticMaAS(**{"clips": 24, "keep_mb": 0, "cache": tmp_path} | other).waveforms([3])
