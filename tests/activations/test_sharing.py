"""Several processes share one extraction out: the same bits, nothing heard twice, whoever is killed."""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from extraction_workers import FIT, SETTINGS, digest
from small_network import Noise, SmallNetwork

from audiointerp.activations import extract as extraction
from audiointerp.activations.extract import extract
from audiointerp.activations.store import CHUNK, claimed
from audiointerp.processes import SHARD, ShareDone
from audiointerp.study import UserError

HERE = Path(__file__).resolve().parent
SEGMENTS = 5 * CHUNK + 40


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return digest(extract(SmallNetwork(), Noise(SEGMENTS), FIT, tmp_path_factory.mktemp("alone"), **SETTINGS))


def chunks_of(heard):
    """Chunks behind the passes that fit reductions."""
    behind = Counter(index // CHUNK for index in heard[-SEGMENTS:])
    return {chunk for chunk, count in behind.items() if count >= 40}


def test_two_gloo_processes_hear_what_one_hears(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(HERE / "gloo_worker.py"), str(tmp_path / "cache"), str(tmp_path / "out")]
    started = [
        subprocess.Popen([*command, str(SEGMENTS)], env={**given, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    found = [json.loads((tmp_path / f"out.{rank}").read_text()) for rank in range(2)]
    assert [one["digest"] for one in found] == [alone, alone]
    # One of them fitted; the passes over everything add up to one.
    fitting = 4 * len(FIT) + 1
    assert sum(len(one["heard"]) for one in found) == fitting + SEGMENTS
    last = [
        one["heard"][fitting:] if len(one["heard"]) > fitting and one["heard"][0] == 0 else one["heard"]
        for one in found
    ]
    assert all(last), "one process did everything"
    assert not list((tmp_path / "cache").rglob("*.claims"))


def test_parts_of_a_job_array_fill_one_store_in_any_order(alone, tmp_path, monkeypatch):
    def part(given):
        monkeypatch.setenv(SHARD, given)
        sounds = Noise(SEGMENTS)
        with pytest.raises(
            ShareDone, match=r"part \d of 3 is in the store, (\d) chunks of other parts are not"
        ) as said:
            extract(SmallNetwork(), sounds, FIT, tmp_path, **SETTINGS)
        return len(sounds.heard), str(said.value)

    fitting = 4 * len(FIT) + 1
    heard, said = part("2/3")
    assert heard == fitting + CHUNK + 40 and "4 chunks" in said
    assert part("2/3") == (0, said)  # again: nothing is done twice
    assert part("0/3")[0] == 2 * CHUNK
    assert not list(tmp_path.rglob("manifest.json"))
    heard, said = part("1/3")
    assert heard == 2 * CHUNK and "0 chunks" in said
    assert part("1/3") == (0, said)  # also where the store is whole
    monkeypatch.delenv(SHARD)
    sounds = Noise(SEGMENTS)
    found = extract(SmallNetwork(), sounds, FIT, tmp_path, **SETTINGS)
    assert found.cached and not sounds.heard and digest(found) == alone


def test_a_chunk_that_another_process_has_is_left_to_it_and_waited_for(alone, tmp_path, monkeypatch):
    claims, order = [], []
    hear = extraction._hear

    def hearing(backbone, segments, arrays, layers, transform, chunk, *others):
        order.append(chunk)
        hear(backbone, segments, arrays, layers, transform, chunk, *others)

    def progress(items, *, description, **_):
        if description.startswith("hearing"):
            (folder,) = {path.with_suffix(".claims") for path in (tmp_path / "activations").glob("*.lock")}
            claims.append(claimed(folder, 1))
            assert claims[0].__enter__()
        return items

    def sleeping(seconds):
        assert order == [0, 2, 3, 4, 5]
        claims.pop().__exit__(None, None, None)

    monkeypatch.setattr(extraction, "_hear", hearing)
    monkeypatch.setattr(extraction.time, "sleep", sleeping)
    found = extract(SmallNetwork(), Noise(SEGMENTS), FIT, tmp_path, progress=progress, **SETTINGS)
    assert order == [0, 2, 3, 4, 5, 1] and digest(found) == alone


def test_ranks_begin_with_their_own_chunks(tmp_path, monkeypatch):
    order = []
    hear = extraction._hear

    def hearing(backbone, segments, arrays, layers, transform, chunk, *others):
        order.append(chunk)
        hear(backbone, segments, arrays, layers, transform, chunk, *others)

    monkeypatch.setattr(extraction, "_hear", hearing)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    extract(SmallNetwork(), Noise(SEGMENTS), FIT, tmp_path, **SETTINGS)
    assert order == [1, 3, 5, 0, 2, 4]


def test_a_claim_is_held_by_one(tmp_path):
    with claimed(tmp_path, 3) as mine:
        with claimed(tmp_path, 3) as theirs, claimed(tmp_path, 4) as other:
            assert (mine, theirs, other) == (True, False, True)
    with claimed(tmp_path, 3) as again:
        assert again


class Wide(Noise):
    """Sounds that are made, and made out, in whole precision."""

    def batch(self, indices):
        assert not torch.is_autocast_enabled("cpu")
        return super().batch(indices)


def test_halved_precision_is_kept_apart_and_close(tmp_path):
    exact = extract(SmallNetwork(), Noise(600), range(0, 600, 5), tmp_path, **SETTINGS)
    rough = extract(SmallNetwork(), Wide(600), range(0, 600, 5), tmp_path, precision="bf16", **SETTINGS)
    assert not rough.cached and digest(exact) != digest(rough)
    error = abs(exact.output - rough.output).max() / abs(exact.output).max()
    assert 0 < error < 0.05
    with pytest.raises(UserError, match="expected a precision of float32 or bf16, got 'fp8'"):
        extract(SmallNetwork(), Noise(600), range(0, 600, 5), tmp_path, precision="fp8", **SETTINGS)
