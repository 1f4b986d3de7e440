"""Jobs that die, and the same command after them."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY, TINY

OWN = ("--config-dir", str(TINY / "conf"), "experiment=tiny", "logger=none", "report=true")


def test_a_run_that_was_killed_while_its_report_was_drawn_gets_one(audiointerp, tmp_path):
    assert audiointerp(*OWN).returncode == 0
    (report,) = (tmp_path / "outputs").rglob("report.html")
    page = report.read_bytes()
    report.unlink()  # results.json is written before it
    again = audiointerp(*OWN)
    assert again.returncode == 0 and report.read_bytes() == page
    assert len(list((tmp_path / "outputs").rglob("results.json"))) == 1


def test_lines_of_a_killed_job_do_not_stay_in_the_folder_of_the_next(audiointerp, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 0}\n')
    assert audiointerp(*OWN, "hydra.run.dir=run").returncode == 0
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("limit", [40, 4000])
def test_a_full_disk_is_told_and_the_same_command_goes_on(audiointerp, tmp_path, limit):
    """Files above `limit` bytes cannot be written: at 40 no table can, at 4,000 no report."""

    code = (
        "import resource, sys\n"
        "from audiointerp import cli, job\n"
        "from audiointerp.study import RunContext\n"
        "step = RunContext.step\n"
        "def full(self, name):\n"  # Hydra's own files come before: the disk fills up in the study's first step
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "    return step(self, name)\n"
        "RunContext.step = full\n"
        "sys.argv = ['audiointerp', *sys.argv[1:]]\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(TINY)])}
    command = [sys.executable, "-c", code, *OWN, "hydra.run.dir=run", "hydra.output_subdir=null", "data.count=9"]
    command += ["hydra/job_logging=disabled"]
    full = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert full.returncode == 2 and "Traceback" not in full.stderr, full.stderr
    assert "error: expected to write " in full.stderr and "the same command goes on" in full.stderr
    assert not list(tmp_path.rglob("*.part"))
    results = tmp_path / "run" / "results.json"
    assert not results.exists() or json.loads(results.read_text())["status"] == "complete"
    assert audiointerp(*OWN, "hydra.run.dir=run", "data.count=9").returncode == 0
    assert (tmp_path / "run" / "report.html").is_file()


def bound_by_modes():
    """Takes from root the right to write where modes forbid it, in what is run next."""
    if os.getuid() == 0 and ctypes.CDLL(None).prctl(24, 1, 0, 0, 0):  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
        raise OSError("root keeps CAP_DAC_OVERRIDE")


@pytest.mark.skipif(sys.platform != "linux" and getattr(os, "getuid", int)() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_told_and_what_cannot_be_read_is_not_that(tmp_path):
    locked, secret = tmp_path / "locked", tmp_path / "secret"
    for folder, mode in ((locked, 0o555), (secret, 0o000)):
        folder.mkdir(mode=mode)
    code = (
        "import os, sys\n"
        "from audiointerp import job\n"
        "for attempt in (lambda: os.makedirs(sys.argv[1] + '/models/new'), lambda: open(sys.argv[1] + '/new', 'w'),\n"
        "                lambda: open(sys.argv[1] + '/absent')):\n"
        "    try:\n"
        "        attempt()\n"
        "    except OSError as error:\n"
        "        print(job.user_error_in(error))\n"
        "denied = PermissionError(13, 'Permission denied', sys.argv[2])\n"
        "print(job.user_error_in(denied))\n"
    )
    command = [sys.executable, "-c", code, str(locked), str(secret)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    given = {"capture_output": True, "text": True, "timeout": 60, "env": environment, "preexec_fn": bound_by_modes}
    done = subprocess.run(command, **given)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    for line, name in zip(said, ("models", "new"), strict=False):
        assert line.startswith(f"expected to write {locked / name}, got Permission denied: free some space, or write")
    assert said[2:] == ["None", "None"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "package"), [("submitit_local", "hydra_plugins.hydra_submitit_launcher"),
                              ("workers", "hydra_plugins.hydra_joblib_launcher")]
)  # fmt: skip
def test_a_sweep_by_a_launcher_ends_in_one_page(audiointerp, tmp_path, launcher, package):
    pytest.importorskip(package)
    done = audiointerp("-m", *OWN, "study.scale=1,2", "seed=0,1", f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    records = [json.loads(file.read_text()) for file in (tmp_path / "sweep").glob("*/results.json")]
    assert len(records) == 4 and {record["status"] for record in records} == {"complete"}
    table = json.loads((tmp_path / "sweep" / "comparison.json").read_text())
    assert len(table["jobs"]) == 4 and (tmp_path / "sweep" / "report.html").is_file()
