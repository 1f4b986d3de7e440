"""Who a process is among several, as launchers tell it."""

import pytest

from audiointerp import cli, processes
from audiointerp.processes import SHARD, Share, rank, share
from audiointerp.study import UserError

NAMES = (SHARD, "RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.fixture
def started(monkeypatch):
    """Sets the environment that a launcher gives, and no other."""

    def set_to(**given):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return set_to


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (3, 8)),  # torchrun
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (2, 4)),  # srun
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (0, 1)),  # a job of a sweep
        ({"SLURM_NTASKS": "8"}, (0, 1)),  # a shell within an allocation
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, (1, 2)),  # started by Lightning
        ({"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
    ],
)
def test_ranks_of_launchers(started, given, expected):
    started(**given)
    assert rank() == expected
    assert share() == Share(*expected)


def test_only_one_process_of_two_nodes_is_the_first(started):
    ranks = []
    for node in "01":
        for local in "01":
            started(LOCAL_RANK=local, NODE_RANK=node, WORLD_SIZE="4")
            ranks.append(rank()[0])
    assert ranks[0] == 0 and all(ranks[1:])


def test_a_part_of_a_job_array_is_alone(started):
    started(**{SHARD: "3/16", "RANK": "1", "WORLD_SIZE": "2"})
    assert share() == Share(3, 16, alone=True)


@pytest.mark.parametrize("given", ["16/16", "1", "a/b", "-1/4", "1/0"])
def test_a_part_that_cannot_be_is_refused(started, given):
    started(**{SHARD: given})
    with pytest.raises(UserError, match=f"expected {SHARD}=PART/PARTS such as 0/16 to 15/16, got '{given}'"):
        share()


def test_what_hydra_writes_goes_aside_in_all_but_the_first_process():
    arguments = cli.aside(["experiment=tiny", "hydra.run.dir=mine", "seed=1"])
    assert arguments[:2] == ["experiment=tiny", "seed=1"] and arguments[3] == "hydra.output_subdir=null"
    assert arguments[2].startswith("hydra.run.dir=") and not arguments[2].endswith("mine")


def test_only_the_first_process_writes_the_run(audiointerp, tmp_path):
    given = (
        "--config-dir",
        str(processes_conf()),
        "experiment=tiny",
        "logger=none",
        "report=true",
        "hydra.run.dir=run",
    )
    second = audiointerp(*given, RANK="1", WORLD_SIZE="2")
    assert second.returncode == 0, second.stderr
    assert not (tmp_path / "run").exists() and not (tmp_path / "outputs").exists()
    first = audiointerp(*given, RANK="0", WORLD_SIZE="2")
    assert first.returncode == 0 and (tmp_path / "run" / "report.html").is_file(), first.stderr


def processes_conf():
    from tests.conftest import TINY

    return TINY / "conf"


def test_a_share_that_is_done_is_no_error(monkeypatch, capsys):
    def done(*_):
        raise processes.ShareDone("part 0 of 2 is in the store")

    monkeypatch.setattr(cli, "_run", done)
    assert cli.main(["experiment=tiny"]) == 0
    assert capsys.readouterr().out == "part 0 of 2 is in the store\n"
