"""The command line in processes of its own: help, errors, a whole run, a sweep, an interruption."""

import importlib.util
import json
import os
import re
import signal
import sys
import time

import pytest
from omegaconf import OmegaConf

from audiointerp import __main__ as entry
from audiointerp import cli, job
from audiointerp.study import UserError
from tests.conftest import TINY

OWN = ("--config-dir", str(TINY / "conf"))


def run_folders(tmp_path):
    return sorted(path.parent for path in (tmp_path / "outputs").rglob("results.json"))


@pytest.fixture
def compose():
    def composed(*overrides):
        return cli.compose_config(list(overrides), [TINY / "conf", cli.conf_dir()])

    return composed


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_is_ours_and_quick(audiointerp, arguments):
    began = time.perf_counter()
    done = audiointerp(*arguments)
    seconds = time.perf_counter() - began
    assert done.returncode == 0 and done.stderr == ""
    for name, description in cli.experiments([cli.conf_dir()]).items():
        assert f"{name} " in done.stdout and description in done.stdout
    for word in ("device=auto|cpu|cuda", "AUDIOINTERP_DATA", "hydra/launcher", "wandb none", "trainer="):
        assert word in done.stdout or " ".join(reversed(word.split())) in done.stdout
    assert seconds < 2


def test_help_lists_experiments_of_ones_own(capsys):
    assert cli.main([*OWN, "--help"]) == 0
    assert "tiny" in capsys.readouterr().out


def test_conf_is_found_packaged_before_the_repository(tmp_path, monkeypatch):
    package = tmp_path / "audiointerp"
    (package / "conf").mkdir(parents=True)
    (tmp_path / "conf").mkdir()
    monkeypatch.setattr(cli, "__file__", str(package / "cli.py"))
    with pytest.raises(UserError, match="install the package again"):
        cli.conf_dir()
    (tmp_path / "conf" / "config.yaml").touch()
    assert cli.conf_dir() == tmp_path / "conf"
    (package / "conf" / "config.yaml").touch()
    assert cli.conf_dir() == package / "conf"


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("experiment=tinyy", "experiment has no option 'tinyy' .*did you mean 'tiny'"),
        ("study=tinny", "study has no option 'tinny' .*did you mean 'tiny'"),
        ("sede=1", "no key 'sede' .*did you mean 'seed'"),
        ("data.cuont=3", "data has no key 'cuont' .*did you mean 'count'"),
        ("+data.cuont=3", "data has no key 'cuont' .*did you mean 'count'"),
        ("logger.mod=online", "logger has no key 'mod' .*did you mean 'mode'"),
        ("paths.dta=x", "paths has no key 'dta' .*did you mean 'data'"),
        ("trainer.max_epoch=3", "trainer has no key 'max_epoch' .*did you mean 'max_epochs'"),
        ("study.offset=1", r"tiny_study.Tiny takes it: write \+study.offset=VALUE"),
        ("study.scale=???", "study.scale is missing"),
        ("study._target_=tiny_study.Tinny", "did you mean 'tiny_study.Tiny'"),
        ("seed=abc", "expected seed to be a whole number, got 'abc' .*seed=abc"),
        ("report=perhaps", "expected report to be true or false, got 'perhaps'"),
        ("device=cudda", "did you mean 'cuda'"),
        ("model.size=3", "there is no model .*choose one with model=NAME"),
        ("data=null", "write ~data to have none"),
        ("~data", "this study needs the group 'data'"),
        ("seed=1,2", "--multirun"),
        ("tiny", "did you mean experiment=tiny"),
        ("--fast", "unrecognized arguments: --fast"),
        ("hydra/launcher=slurmm", "hydra/launcher has no option 'slurmm' .*did you mean 'slurm'"),
        ("hydra.run.dri=x", "hydra.run has no key 'dri' .*did you mean 'dir'"),
    ],
)
def test_a_mistake_is_one_message_with_the_nearest_name(override, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    first = [] if override.startswith("experiment=") else ["experiment=tiny"]
    assert cli.main([*OWN, *first, override]) == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ") and "\n" not in told
    assert re.search(message, told), told
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_key_in_an_experiment_file_names_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    own = tmp_path / "own"
    (own / "experiment").mkdir(parents=True)
    text = (TINY / "conf" / "experiment" / "tiny.yaml").read_text()
    for added, told in (
        ("sede: 3\n", "did you mean 'seed'"),
        ("data:\n  cuont: 3\n", "own/experiment/mine.yaml, line"),
        ("seed: [\n", "mine.yaml"),
    ):
        (own / "experiment" / "mine.yaml").write_text(text + added)
        for group in ("study", "data"):
            (own / group).mkdir(exist_ok=True)
            for file in (TINY / "conf" / group).iterdir():
                (own / group / file.name).write_text(file.read_text())
        assert cli.main(["--config-dir", str(own), "experiment=mine"]) == 2
        message = capsys.readouterr().err
        assert told in message and "mine" in message
        assert not (tmp_path / "outputs").exists()


def test_an_experiment_file_without_its_package_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# mine\n# @package _global_\ndefaults:\n- override /study: x\n")
    assert cli.main(["--config-dir", str(tmp_path), "experiment=mine"]) == 2
    assert "`# @package _global_` the first line" in capsys.readouterr().err


@pytest.mark.parametrize(("launcher", "plugin"), [("slurm", "submitit_launcher"), ("workers", "joblib_launcher")])
def test_a_launcher_composes_or_says_what_to_install(launcher, plugin, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    wanted = [*OWN, "experiment=tiny", f"hydra/launcher={launcher}"]
    if importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.hydra_{plugin}"):
        assert cli.main([*wanted, "--cfg", "hydra"]) == 0
    else:
        assert cli.main(wanted) == 2
        assert "pip install 'audiointerp[" in capsys.readouterr().err


def test_no_experiment_lists_them(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    assert cli.main([*OWN, "seed=1"]) == 2
    assert "expected experiment=NAME" in capsys.readouterr().err


def test_a_config_dir_that_is_not_there_is_told(capsys):
    assert cli.main(["--config-dir", "absent", "--help"]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_typo_fails_within_two_seconds_without_a_traceback(audiointerp, tmp_path):
    began = time.perf_counter()
    done = audiointerp(*OWN, "experiment=tiny", "data.cuont=3")
    seconds = time.perf_counter() - began
    assert done.returncode == 2
    assert "did you mean 'count'" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert seconds < 2


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ("experiment=a -m data=b,c", "-m experiment=a data=b,c"),
        ("experiment=a --config-dir own seed=1", "--config-dir own experiment=a seed=1"),
        ("experiment=a --cfg job seed=1", "--cfg job experiment=a seed=1"),
        ("experiment=a --config-dir=own ~model", "--config-dir=own experiment=a ~model"),
        ("experiment=a --info seed=1", "--info experiment=a seed=1"),
        ("experiment=a --info defaults", "--info defaults experiment=a"),
        ("experiment=a --cfg", "--cfg experiment=a"),
    ],
)
def test_flags_may_stand_anywhere(given, ordered):
    from hydra._internal.utils import get_args_parser

    assert cli.flags_first(given.split(), get_args_parser()) == ordered.split()


def test_overrides_after_a_flag_are_taken(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    assert cli.main(["experiment=tiny", *OWN, "--cfg", "job", "study.scale=7.5"]) == 0
    assert "scale: 7.5" in capsys.readouterr().out


def test_every_job_of_a_sweep_is_checked_before_the_first_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    assert cli.main([*OWN, "-m", "experiment=tiny", "data=numbers,nombers"]) == 2
    assert "did you mean 'numbers'" in capsys.readouterr().err
    assert cli.main([*OWN, "-m", "experiment=tiny", "study.scale=range(40)", "device=cpu,gpu"]) == 2
    assert "got 'gpu'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_record_and_is_not_run_twice(audiointerp, tmp_path):
    first = audiointerp(*OWN, "experiment=tiny", "report=true", f"paths.weights={tmp_path}")
    assert first.returncode == 0, first.stderr
    (folder,) = run_folders(tmp_path)
    assert folder.parent == tmp_path / "outputs" / "tiny"
    record = json.loads((folder / "results.json").read_text())
    assert folder.name.endswith(record["config_hash"][:8])
    assert record["status"] == "complete" and record["device"] in ("cpu", "cuda")
    assert record["overrides"] == ["experiment=tiny", "report=true", f"paths.weights=.../{tmp_path.name}"]
    assert record["config"]["data"]["root"] == "<data>"
    assert record["provenance"]["data_fingerprint"] == "numbers"
    assert {"torch", "numpy", "python"} <= set(record["provenance"]["packages"])
    assert str(tmp_path) not in (folder / "results.json").read_text()
    assert json.loads((folder / "state.json").read_text())["status"] == "complete"
    assert "<html" in (folder / "report.html").read_text()
    assert (folder / ".hydra" / "overrides.yaml").exists()
    assert "draw: done in" in first.stdout

    again = audiointerp(*OWN, "experiment=tiny", "data.num_workers=2")
    assert again.returncode == 0 and str(folder) in again.stdout and "finished already" in again.stdout
    assert run_folders(tmp_path) == [folder]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    sweep = audiointerp(*OWN, "-m", "experiment=tiny", "study.scale=1.0,2.0")
    assert sweep.returncode == 0, sweep.stderr
    assert sweep.stdout.count("finished already") == 1
    _, second = run_folders(tmp_path)
    assert second.parent.name.startswith("sweep-") and second.name.startswith("1-")
    means = [json.loads((path / "results.json").read_text())["results"]["mean"] for path in (folder, second)]
    assert means[1] == pytest.approx(2 * means[0])


def test_ctrl_c_and_sigterm_leave_a_state_and_say_how_to_go_on(start, tmp_path):
    running = [
        (start(*OWN, "experiment=tiny", "study.mode=wait", f"seed={number}"), number)
        for number in (signal.SIGINT, signal.SIGTERM)
    ]
    for process, number in running:
        for line in process.stdout:
            if line.strip() == "waiting":
                break
        process.send_signal(number)
    for process, _ in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "the same command goes on from the caches" in err and "Traceback" not in err
    states = [json.loads(path.read_text())["status"] for path in (tmp_path / "outputs").rglob("state.json")]
    assert states == ["interrupted", "interrupted"]
    assert run_folders(tmp_path) == []


def test_a_failure_keeps_its_traceback_and_leaves_its_message(audiointerp, tmp_path):
    done = audiointerp(*OWN, "experiment=tiny", "study.mode=fail")
    assert done.returncode == 1 and "Traceback" in done.stderr
    (state,) = (tmp_path / "outputs").rglob("state.json")
    assert json.loads(state.read_text())["message"] == "RuntimeError: the tiny study failed"
    assert run_folders(tmp_path) == []


@pytest.fixture
def in_process(tmp_path, monkeypatch, capsys):
    """Runs the command line in this process, in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audiointerp"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*arguments):
        code = cli.main([*OWN, "experiment=tiny", *arguments])
        return code, *capsys.readouterr()

    return run


def test_a_mistake_of_the_user_inside_the_study_has_no_traceback(in_process, tmp_path):
    code, _, err = in_process("study.mode=mistake")
    assert code == 2 and err == "error: expected another mode, got mistake: choose plain\n"
    (state,) = (tmp_path / "outputs").rglob("state.json")
    assert json.loads(state.read_text())["status"] == "failed"


def test_a_part_that_cannot_be_built_leaves_no_folder(in_process, tmp_path):
    code, _, err = in_process("data.count=0")
    assert code == 2 and err == "error: expected at least one number, got 0: raise data.count\n"
    assert list((tmp_path / "outputs").iterdir()) == []
    assert in_process("data.count=0", "hydra.run.dir=mine")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_a_bug_in_a_part_is_not_taken_for_a_mistake_of_the_user(in_process):
    with pytest.raises(Exception, match="a bug of the reader") as raised:
        in_process("data.count=13")
    assert not isinstance(raised.value, UserError)


def test_results_are_gone_as_soon_as_a_run_over_them_starts(in_process, tmp_path):
    assert in_process("hydra.run.dir=mine")[0] == 0
    assert in_process("hydra.run.dir=mine", "study.mode=mistake", "rerun=true")[0] == 2
    assert not (tmp_path / "mine" / "results.json").exists()


def test_cuda_without_a_device_is_told(in_process, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = in_process("device=cuda")
    assert code == 2 and "use device=cpu" in err
    assert not list(tmp_path.rglob(".hydra"))


def test_the_same_seed_gives_the_same_bytes_also_from_the_global_generator(in_process, tmp_path):
    for name in ("a", "b"):
        code, _, err = in_process("study.mode=global", f"hydra.run.dir={name}", "rerun=true")
        assert code == 0, err
    tables = [(tmp_path / name / "tables" / "values.csv").read_bytes() for name in ("a", "b")]
    assert tables[0] == tables[1]


def test_changed_data_is_run_again(in_process, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "1.txt").write_text("1")
    assert in_process(f"paths.data={data}")[0] == 0
    assert in_process(f"paths.data={data}")[0] == 0
    assert len(run_folders(tmp_path)) == 1
    (data / "2.txt").write_text("2")
    time.sleep(1.1)  # folders are named by the second
    assert in_process(f"paths.data={data}")[0] == 0
    assert len(run_folders(tmp_path)) == 2


def test_a_given_folder_is_not_written_over(in_process, tmp_path):
    assert in_process("hydra.run.dir=mine")[0] == 0
    before = (tmp_path / "mine" / "results.json").read_bytes()
    code, _, err = in_process("hydra.run.dir=mine", "seed=1")
    assert code == 2 and "rerun=true to write over it" in err
    assert (tmp_path / "mine" / "results.json").read_bytes() == before
    assert in_process("hydra.run.dir=mine")[0] == 0  # the same settings: it is finished, and stays
    assert (tmp_path / "mine" / "results.json").read_bytes() == before
    assert in_process("hydra.run.dir=mine", "seed=1", "rerun=true")[0] == 0
    assert (tmp_path / "mine" / "results.json").read_bytes() != before


@pytest.mark.parametrize("key", ["paths.outputs", "hydra.run.dir"])
def test_outputs_that_cannot_be_are_refused(key, in_process, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").touch()
    code, _, err = in_process(f"{key}=notes.txt")
    assert code == 2 and f"notes.txt, which is a file: set {key}=FOLDER" in err
    monkeypatch.setattr(cli.os, "access", lambda place, mode: False)
    code, _, err = in_process(f"{key}=mine/deeper")
    assert code == 2 and "which is read-only" in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_brackets_in_the_folder_are_refused_where_wandb_is_on(in_process, tmp_path):
    code, _, err = in_process("hydra.run.dir='x[1]'", "logger=wandb")
    assert code == 2 and "without '[' and ']'" in err
    assert in_process("hydra.run.dir='x[1]'")[0] == 0


@pytest.mark.slow
def test_wandb_mirrors_the_run_inside_its_folder(in_process, tmp_path):
    code, _, err = in_process("logger=wandb", "hydra.run.dir=mine", "report=true")
    assert code == 0, err
    assert list((tmp_path / "mine" / "wandb").glob("offline-run-*/*.wandb"))
    import wandb

    assert wandb.run is None
    assert "WANDB_DIR" not in os.environ


def test_trainer_follows_the_device(compose, tmp_path, monkeypatch):
    config = compose("experiment=tiny", "device=cpu")
    assert config.trainer.accelerator == "auto"
    monkeypatch.setattr(job, "_seed_everything", lambda seed: None)
    context, _, _ = job._prepare(config, tmp_path / "run", "0" * 64, [])
    assert context.config["trainer"]["accelerator"] == "cpu"
    assert context.config["trainer"]["default_root_dir"] == str(tmp_path / "run")
    assert context.record["config"]["trainer"]["default_root_dir"] is None


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_inputs_digest_follows_the_weights_that_auto_would_find(tmp_path, monkeypatch):

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub-home"))
    config = OmegaConf.create({"backbone": {"weights": "auto"}, "data": None, "paths": {"weights": str(tmp_path)}})
    digests = [job.inputs_digest(config)]
    hub = tmp_path / "hub-home" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    for path in (hub / "a.pth", tmp_path / "b.pth"):
        path.write_bytes(b"x")
        digests.append(job.inputs_digest(config))
    assert len({item["weights"] for item in digests}) == 3
    (tmp_path / "notes.txt").write_text("x")
    assert job.inputs_digest(config) == digests[-1]


def test_cache_lies_where_the_user_says_else_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AUDIOINTERP_CACHE", str(tmp_path))
    assert job.cache_dir() == str(tmp_path)
    monkeypatch.delenv("AUDIOINTERP_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert job.cache_dir() == str(tmp_path / "xdg" / "audiointerp")


# --- the retained heap -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "system", "libc", "wanted"),
    [
        ({}, "Linux", "glibc", True),
        ({"AUDIOINTERP_NO_REEXEC": "1"}, "Linux", "glibc", False),
        ({"MALLOC_TOP_PAD_": "1"}, "Linux", "glibc", False),
        ({}, "Linux", "musl", False),
        ({}, "Darwin", "", False),
    ],
)
def test_the_heap_is_set_where_it_helps(environment, system, libc, wanted):
    settings = entry.heap_settings(environment, system, libc)
    assert (settings is not None) == wanted
    if wanted:
        assert settings["MALLOC_MMAP_MAX_"] == "0"
        assert entry.heap_settings(settings, system, libc) is None  # once only


def test_the_command_starts_again_exactly_as_it_was(monkeypatch):
    called = []

    def execve(path, arguments, environment):
        called.append((path, arguments, environment))
        raise SystemExit

    monkeypatch.setattr(entry.platform, "system", lambda: "Linux")
    monkeypatch.setattr(entry.platform, "libc_ver", lambda: ("glibc", "2.36"))
    for name in entry.RETAINED_HEAP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AUDIOINTERP_NO_REEXEC", raising=False)
    given = ["-X", "dev", "-m", "audiointerp", "-m", "experiment=a", "study.x='[1, 2]'"]
    monkeypatch.setattr(sys, "orig_argv", ["python", *given])
    monkeypatch.setattr(sys, "argv", ["audiointerp", *given[4:]])
    monkeypatch.setattr(entry.os, "execve", execve)
    with pytest.raises(SystemExit):
        entry.main()
    ((path, arguments, environment),) = called
    assert path == sys.executable and arguments == [sys.executable, *given]
    assert set(entry.RETAINED_HEAP) <= set(environment)


def test_a_further_process_goes_through_the_study_and_leaves_nothing(in_process, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert in_process("trainer.devices=2", "hydra.run.dir=run")[0] == 0
    assert not {"results.json", "state.json", "tables"} & {path.name for path in tmp_path.glob("run/*")}
    with pytest.raises(RuntimeError, match="the tiny study failed"):
        in_process("trainer.devices=2", "study.mode=fail", "hydra.run.dir=failed")
