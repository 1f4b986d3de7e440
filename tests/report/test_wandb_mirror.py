import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audiointerp import audio
from audiointerp.report import wandb_mirror
from audiointerp.study import UserError


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_moved_run_is_mirrored_offline_into_its_own_folder(run, tmp_path):
    moved, home, work = tmp_path / "moved", tmp_path / "home", tmp_path / "work"
    shutil.move(run, moved)
    home.mkdir()
    work.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "XDG_"))}
    repository = str(Path(__file__).parents[2])
    environment = {
        **kept,
        "HOME": str(home),
        "WANDB_MODE": "offline",
        "PYTHONPATH": repository,
        "TMPDIR": str(tmp_path),
    }
    before = files_below(moved)
    out = subprocess.run(
        [sys.executable, "-m", "audiointerp.report", str(moved), "--wandb", "--tags", "a", "b"],
        cwd=work, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    new = files_below(moved) - before
    media = [name for name in new if "/files/media/" in name]
    assert sum(name.endswith(".wav") for name in media) == 3
    assert sum(name.endswith(".png") for name in media) == 1
    assert sum(name.endswith(".table.json") for name in media) == 2
    assert any(name.endswith(".wandb") for name in new)
    assert new <= {"report.html"} | {name for name in new if name.startswith("wandb/")}
    assert files_below(work) == set()
    assert {name for name in files_below(home) if "wandb" in name} == set()


class Recorder:
    """Stands in for a W&B run."""

    def __init__(self, folder, fails=False):
        self.summary, self.logged, self.codes, self.dir, self.fails = {}, {}, [], str(folder), fails

    def log(self, content):
        if self.fails:
            raise RuntimeError("the disk is full")
        self.logged.update(content)

    def finish(self, exit_code):
        self.codes.append(exit_code)


def test_an_open_run_gets_everything_and_is_finished(run, hostile):
    before = dict(os.environ)
    recorder = Recorder(run)
    wandb_mirror.mirror(run, run=recorder)
    assert recorder.codes == [0]
    assert recorder.summary["results/best/accuracy"] == 0.77 and recorder.summary["seconds/decode"] == 75.0
    assert not any(name.startswith("config") for name in recorder.summary)
    assert set(recorder.logged) == {
        "tables/decoding",
        "tables/odd",
        "figures/decoding",
        "audio/0",
        "audio/1",
        "audio/2",
    }
    assert hostile in recorder.logged["audio/0"]._caption
    assert dict(os.environ) == before


def test_sounds_stay_as_loud_as_they_were_made_beside_one_another(run):
    tone = np.sin(np.arange(8000) / 3)
    for name, peak in (("quiet", 0.05), ("loud", 0.9), ("beyond", 4.0)):
        audio.write(run / "audio" / f"{name}.wav", (peak * tone).astype(np.float32), 8000)
    recorder = Recorder(run)
    wandb_mirror.mirror(run, run=recorder)
    for name, peak in (("quiet", 0.05), ("loud", 0.9), ("beyond", 1.0)):
        waveform, rate = audio.read(recorder.logged[f"audio/{name}"]._path)
        assert rate == 8000 and len(waveform) == 8000
        assert np.abs(waveform).max() == pytest.approx(peak, abs=1e-3), name


def test_a_run_is_finished_after_an_error_too(run):
    recorder = Recorder(run, fails=True)
    with pytest.raises(RuntimeError, match="disk"):
        wandb_mirror.mirror(run, run=recorder)
    assert recorder.codes == [1]


def test_an_unfinished_run_is_told(tmp_path):
    with pytest.raises(UserError, match="results.json"):
        wandb_mirror.mirror(tmp_path)


def test_an_unknown_mode_is_told(run):
    with pytest.raises(UserError, match="dry"):
        wandb_mirror.mirror(run, mode="dry")


def test_brackets_in_the_path_are_told(run):
    odd = run.rename(run.with_name("run[1]"))
    with pytest.raises(UserError, match="rename"):
        wandb_mirror.mirror(odd)
