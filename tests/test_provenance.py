"""The configuration hash, checksums, listings, and what a record says of its making."""

import hashlib
import os
import socket
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from audiointerp import provenance


def config(**changes):
    base = {
        "experiment": "tiny",
        "seed": 0,
        "device": "cpu",
        "report": True,
        "rerun": False,
        "data": {"root": "${paths.data}/esc10", "clips": 8, "loader": {"num_workers": 0}},
        "trainer": {"max_epochs": 5, "accelerator": "cpu", "devices": 1, "enable_progress_bar": True},
        "logger": {"mode": "offline"},
        "paths": {"data": "/a", "cache": "/c"},
    }
    return OmegaConf.merge(base, OmegaConf.from_dotlist([f"{key}={value}" for key, value in changes.items()]))


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda"},
        {"report": "false"},
        {"rerun": "true"},
        {"paths.data": "/elsewhere"},
        {"paths.cache": "/tmp"},
        {"logger.mode": "online"},
        {"data.loader.num_workers": 7},
        {"trainer.accelerator": "gpu"},
        {"trainer.devices": 4},
        {"trainer.enable_progress_bar": "false"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_hash_leaves_out_what_cannot_change_a_result(change):
    assert provenance.config_hash(config(**change)) == provenance.config_hash(config())


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"data.clips": 9}, {"trainer.max_epochs": 6}, {"experiment": "other"}], ids=str
)
def test_hash_tells_what_can_change_a_result(change):
    assert provenance.config_hash(config(**change)) != provenance.config_hash(config())


def test_hash_leaves_the_configuration_as_it_was_and_ignores_the_order_of_keys():
    given = config()
    before = OmegaConf.to_yaml(given)
    first = provenance.config_hash(given)
    assert OmegaConf.to_yaml(given) == before
    turned = OmegaConf.create(dict(reversed(list(OmegaConf.to_container(given).items()))))
    assert provenance.config_hash(turned) == first


def test_plain_config_names_paths_instead_of_showing_them():
    assert provenance.plain_config(config())["data"]["root"] == "<data>/esc10"


def test_file_sha256_agrees_with_hashlib(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "w.pth").write_bytes(content)
    assert provenance.file_sha256(tmp_path / "w.pth") == hashlib.sha256(content).hexdigest()


def test_listing_digest_sees_every_change_and_no_move(tmp_path):
    folder = tmp_path / "sounds"
    (folder / "a").mkdir(parents=True)
    for name in ("a/1.wav", "2.wav"):
        (folder / name).write_bytes(b"1234")
        os.utime(folder / name, ns=(10**18, 10**18))
    first = provenance.listing_digest([folder])
    moved = folder.rename(tmp_path / "moved")
    assert provenance.listing_digest([moved]) == first

    (moved / "2.wav").write_bytes(b"4321")  # same size, new time
    touched = provenance.listing_digest([moved])
    os.utime(moved / "2.wav", ns=(10**18, 10**18))
    assert provenance.listing_digest([moved]) == first
    (moved / "3.wav").write_bytes(b"")
    longer = provenance.listing_digest([moved])
    assert len({first, touched, longer, provenance.listing_digest([tmp_path / "absent"])}) == 4


def test_collect_names_versions_but_not_the_machine():
    made = provenance.collect()
    assert made["packages"]["python"] == sys.version.split()[0]
    assert made["packages"]["hydra-core"].startswith("1.3")
    assert len(socket.gethostname()) < 3 or socket.gethostname() not in str(made["machine"])


def test_git_commit_tells_the_commit_and_whether_it_is_dirty(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    package = tmp_path / "audiointerp"
    package.mkdir()
    (package / "provenance.py").write_text("x")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert provenance.git_commit() is None
    git("init", "-q")
    assert provenance.git_commit() is None  # in somebody else's repository
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m")
    clean = provenance.git_commit()
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (package / "provenance.py").write_text("y")
    assert provenance.git_commit() == {**clean, "dirty": True}


def test_without_paths_keeps_only_the_last_name_of_what_exists_here(tmp_path):
    given = {"a": f"paths.data={tmp_path}/new", "b": [str(tmp_path), "/m/0k65p", "1/2", "<data>/esc10", 3, None]}
    expected = {"a": "paths.data=.../new", "b": [f".../{tmp_path.name}", "/m/0k65p", "1/2", "<data>/esc10", 3, None]}
    assert provenance.without_paths(given) == expected
