"""What is on disk is whole or known not to be, whoever was killed, and is found again only by what it was made of."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from extraction_workers import FIT, SEGMENTS, SETTINGS, digest
from small_network import LAYERS, SEGMENT, Noise, SmallNetwork

from audiointerp import audio
from audiointerp.activations import store
from audiointerp.activations.extract import OUTPUT, extract
from audiointerp.activations.reduction import fit_reduction
from audiointerp.activations.store import CHUNK, StoredArray
from audiointerp.data.audio_files import AudioFiles
from audiointerp.data.segments import Segments
from audiointerp.study import UserError

HERE = Path(__file__).resolve().parent


def rows(n, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def manifests(cache):
    return list(Path(cache).rglob("manifest.json"))


# One array


def test_what_was_written_is_read_only_once_it_is_complete(tmp_path):
    values = rows(2 * CHUNK + 7)
    array = StoredArray(tmp_path, {"layer": "a"}, len(values))
    assert array.chunks == 3 and not array.complete
    for chunk in (2, 0, 1):
        with pytest.raises(FileNotFoundError, match="expected a complete array"):
            array.read()
        assert not array.has(chunk)
        array.write(chunk, values[chunk * CHUNK : (chunk + 1) * CHUNK])
        assert array.has(chunk) and not manifests(tmp_path)
    array.finish(explained=0.5)
    again = StoredArray(tmp_path, {"layer": "a"}, len(values))
    assert again.complete and again.has(1)
    assert np.array_equal(again.read(), values) and again.read().dtype == np.float32
    assert again.facts() == {"explained": 0.5}
    on_disk = sum(file.stat().st_size for file in again.folder.rglob("*") if file.is_file())
    assert again.bytes() == on_disk > 0
    again.discard()
    assert not again.complete and not again.has(1) and not again.folder.exists()


def test_the_address_follows_the_content_of_the_key_not_its_order(tmp_path):
    first, second, other = (
        StoredArray(tmp_path, key, 3) for key in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    )
    assert first.folder == second.folder != other.folder


def test_a_reduction_comes_back_with_the_same_bits(tmp_path):
    array = StoredArray(tmp_path, {"layer": "a"}, 3)
    assert array.load_reduction() is None
    reduction = fit_reduction(torch.from_numpy(rows(30, 12)), 4, (3, 4))
    array.save_reduction(reduction)
    again = array.load_reduction()
    for name in store.REDUCTION_PARTS:
        assert torch.equal(getattr(again, name), getattr(reduction, name))
    assert (again.shape, again.convergence) == ((3, 4), reduction.convergence)
    array.drop_reduction()
    assert array.load_reduction() is None


def test_half_a_reduction_is_none(tmp_path, monkeypatch):
    array = StoredArray(tmp_path, {"layer": "a"}, 3)
    array.save_reduction(fit_reduction(torch.from_numpy(rows(30, 12)), 4))

    def interrupted(path, ignore_errors):
        files = [file for file in Path(path).rglob("*") if file.is_file()]
        for file in files[::2]:
            file.unlink()
        if files:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            array.drop_reduction()
    assert array.load_reduction() is None
    array.drop_reduction()
    array.save_reduction(fit_reduction(torch.from_numpy(rows(30, 12)), 4))
    assert array.load_reduction() is not None


def test_what_is_still_being_filled_when_it_is_interrupted_goes(tmp_path):
    def late():
        time.sleep(0.15)
        folder = tmp_path / "values.part"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zarr.json").write_text("{}")

    filling = threading.Thread(target=late)
    with pytest.raises(KeyboardInterrupt), store._whole(tmp_path / "values.zarr") as partial:
        (partial / "begun").touch()
        filling.start()
        raise KeyboardInterrupt
    filling.join()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_no_reduction_and_goes(tmp_path):
    array = StoredArray(tmp_path, {"layer": "a"}, 3)
    left = array.folder / "reduction.part"
    left.mkdir(parents=True)
    (left / "rubbish").write_text("x")
    assert array.load_reduction() is None
    array.save_reduction(fit_reduction(torch.from_numpy(rows(30, 12)), 4))
    assert sorted(file.name for file in array.folder.iterdir()) == ["reduction.zarr"]
    assert not list(array.folder.rglob("rubbish"))


# Processes that are killed, and processes that meet


@pytest.fixture(scope="module")
def processes():
    """Starts extractions in processes of their own: `send(cache, where)`, `hear()` gives the words of the next."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)])}
    command = [sys.executable, str(HERE / "extraction_workers.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as workers:

        class Processes:
            def send(self, cache, where):
                workers.stdin.write(f"{cache} {where}\n")

            def hear(self):
                pid, *words = workers.stdout.readline().split()
                return int(pid), words

        try:
            yield Processes()
        finally:
            os.killpg(workers.pid, signal.SIGKILL)  # those that nobody killed as well


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise TimeoutError(pid)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    sounds = Noise(SEGMENTS)
    found = extract(SmallNetwork(), sounds, FIT, tmp_path_factory.mktemp("whole"), **SETTINGS)
    assert len(sounds.heard) == 4 * len(FIT) + SEGMENTS + 1
    return found


@pytest.mark.parametrize(
    ("where", "complete", "fitted", "heard_first"),
    [("fitting", 0, 2, 0), ("hearing", 0, 4, 512), ("writing", 0, 4, 512), ("finishing", 2, 4, None)],
)
def test_a_killed_extraction_goes_on_with_the_same_bits(
    processes, uninterrupted, tmp_path, where, complete, fitted, heard_first
):
    processes.send(tmp_path, where)
    pid, words = processes.hear()
    assert words == [where]
    kill(pid)
    assert len(manifests(tmp_path)) == complete
    assert len(list(tmp_path.rglob("reduction.zarr"))) == fitted
    sounds = Noise(SEGMENTS)
    resumed = extract(SmallNetwork(), sounds, FIT, tmp_path, **SETTINGS)
    assert not resumed.cached
    assert digest(resumed) == digest(uninterrupted)
    assert resumed.convergence == uninterrupted.convergence and resumed.explained == uninterrupted.explained
    # What was done is not done again: neither passes for reductions nor chunks that were marked.
    passes = (4 - fitted) * len(FIT) + (fitted < 4)
    filled = 0 if heard_first is None else SEGMENTS - heard_first
    assert len(sounds.heard) == passes + filled
    assert len(manifests(tmp_path)) == 5
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("done"))


def test_two_processes_that_want_the_same_end_with_the_same_bits(processes, uninterrupted, tmp_path):
    processes.send(tmp_path, "nowhere")
    processes.send(tmp_path, "nowhere")
    (first, one), (second, other) = processes.hear(), processes.hear()
    assert first != second
    assert one[:2] == other[:2] == ["found", digest(uninterrupted)]
    # One fitted the reductions, the other waited for them; every chunk was heard once.
    assert int(one[2]) + int(other[2]) == 4 * len(FIT) + SEGMENTS + 1


def test_a_process_that_is_killed_holds_no_lock(processes, tmp_path):
    processes.send(tmp_path, "fitting")
    pid, _ = processes.hear()
    processes.send(tmp_path, "nowhere")
    kill(pid)
    _, words = processes.hear()
    assert words[0] == "found"


# Misses


@pytest.fixture
def small(tmp_path):
    """Extracts 40 segments into one cache, with changes; tells whether they were there, all but the output or all."""

    def run(network=None, sounds=None, fit=range(30), **settings):
        sounds = sounds or Noise(40)
        return extract(network or SmallNetwork(), sounds, fit, tmp_path, **{"components": 4, **settings}), sounds

    return run


def test_the_same_again_is_a_hit_that_hears_and_writes_nothing(small, tmp_path):
    first, _ = small()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    second, sounds = small()
    assert not first.cached and second.cached and not sounds.heard
    assert digest(first) == digest(second)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_an_edited_weight_is_a_miss_even_in_place(small):
    network = SmallNetwork()
    small(network)
    bias = network.blocks["block1"][0].bias
    bias[0] += 1e-6
    edited, _ = small(network)
    assert not edited.cached
    bias[0] = SmallNetwork().blocks["block1"][0].bias[0]
    assert small(network)[0].cached


@pytest.mark.parametrize("attribute", ["name", "preprocessing"])
def test_another_network_or_front_end_with_the_same_weights_is_a_miss(small, attribute):
    small()
    network = SmallNetwork()
    setattr(network, attribute, "another")
    found, sounds = small(network)
    assert not found.cached and set(sounds.heard) == set(range(40))


@pytest.mark.parametrize("settings", [{"components": 3}, {"fit": range(29)}, {"fit": range(1, 31)}])
def test_another_reduction_is_a_miss_of_the_layers(small, settings):
    first, _ = small()
    second, _ = small(**settings)
    assert not second.cached
    assert not np.array_equal(first.scores["block2"], second.scores["block2"])
    assert np.array_equal(first.output, second.output)


def test_an_edited_sound_is_a_miss(tmp_path):
    waves = 0.2 * np.random.default_rng(0).normal(size=(6, SEGMENT)).astype(np.float32)
    for index, wave in enumerate(waves):
        audio.write(tmp_path / f"{index}.wav", wave, 16000)
    table = pd.DataFrame({"path": [f"{index}.wav" for index in range(6)], "kind": list("ababab")})

    def hear():
        segments = Segments(AudioFiles(tmp_path, table, ["kind"]), SEGMENT)
        return extract(SmallNetwork(), segments, range(6), tmp_path / "cache", components=2)

    first = hear()
    assert hear().cached
    waves[3, 500] += 0.01
    audio.write(tmp_path / "3.wav", waves[3], 16000)
    edited = hear()
    assert not edited.cached
    assert not np.array_equal(first.output[3], edited.output[3])
    assert np.array_equal(np.delete(first.output, 3, 0), np.delete(edited.output, 3, 0))


# Reductions that are not kept


def test_reductions_that_are_not_kept_take_no_space_and_can_be_had_later(small, tmp_path):
    without, _ = small(keep=[])
    assert without.reductions == {} and not list(tmp_path.rglob("reduction.zarr"))
    assert small(keep=[])[0].cached
    one, _ = small(keep=["block2"])
    assert not one.cached and list(one.reductions) == ["block2"]
    assert len(list(tmp_path.rglob("reduction.zarr"))) == 1
    assert one.stored_bytes > without.stored_bytes
    for name in LAYERS:
        assert np.array_equal(one.scores[name], without.scores[name])
    full, _ = small(keep=["block2"], layers=["block2"])
    assert full.cached


def test_reductions_that_somebody_kept_stay(small, tmp_path):
    small(layers=["block1"])
    assert not small(keep=[])[0].cached
    assert len(list(tmp_path.rglob("reduction.zarr"))) == 1
    assert small(keep=["block1"])[0].cached


def test_what_is_left_of_values_without_a_reduction_is_not_gone_on_with(small, tmp_path):
    whole, _ = small(keep=[])
    (folder,) = (
        file.parent for file in manifests(tmp_path) if json.loads(file.read_text())["key"]["layer"] == "block3"
    )
    # As a process leaves it that is killed while it discards: marked as done, and no longer there.
    (folder / "manifest.json").unlink()
    (folder / "done").mkdir()
    (folder / "done" / "0").touch()
    for file in (folder / "values.zarr").rglob("*"):
        if file.is_file() and file.name not in ("zarr.json", ".zarray"):
            file.unlink()
    again, _ = small(keep=[])
    assert not again.cached and digest(again) == digest(whole)


# Disks


@pytest.fixture
def little_space():
    """Makes every file that grows beyond `limit` bytes fail to be written, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("what", ["reduction", "chunk"])
def test_a_full_disk_is_told_and_leaves_nothing_that_counts_as_complete(tmp_path, little_space, what):
    settings = {"layers": ["block4" if what == "chunk" else "block1"], "components": 8, "keep": []}
    whole = extract(SmallNetwork(), Noise(600), range(100), tmp_path / "whole", **settings)
    largest = max(file.stat().st_size for file in (tmp_path / "whole").rglob("*"))
    little_space(largest // 2)
    with pytest.raises(
        UserError, match=r"expected to write activations to .*: free some space or set AUDIOINTERP_CACHE"
    ):
        extract(SmallNetwork(), Noise(600), range(100), tmp_path / "full", **settings)
    little_space(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    left = tmp_path / "full" / "activations"
    assert not manifests(left)
    assert len(list(left.rglob("reduction.zarr"))) == (what == "chunk")
    assert not [file for file in left.rglob("*") if "part" in file.name]
    again = extract(SmallNetwork(), Noise(600), range(100), tmp_path / "full", **settings)
    assert not again.cached and digest(again) == digest(whole)


def test_a_cache_that_cannot_be_written_to_is_told_before_anything_is_heard(tmp_path):
    (tmp_path / "file").write_text("")
    sounds = Noise(40)
    with pytest.raises(UserError, match="set AUDIOINTERP_CACHE to a folder that can be written to"):
        extract(SmallNetwork(), sounds, range(30), tmp_path / "file")
    assert not sounds.heard


def test_the_manifest_says_what_the_values_are_of(small, tmp_path):
    small()
    keys = [json.loads(file.read_text())["key"] for file in manifests(tmp_path)]
    assert sorted(key["layer"] for key in keys) == [*LAYERS, OUTPUT]
    for key in keys:
        assert key["network"] == "small" and key["audio"] == Noise(40).fingerprint and key["device"] == "cpu"
        assert key["weights"] == SmallNetwork().weights.sha256
