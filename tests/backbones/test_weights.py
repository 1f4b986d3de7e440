"""Weights are found where they should be, or the message says what to do; nothing half-fetched, nothing executed."""

import http.server
import os
import socket
import sys
import threading
import time

import pytest
import torch

from audiointerp.backbones.weights import download, find_file, load_state, resolve
from audiointerp.study import UserError

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(4)}
CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache, and no proxy between here and this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "weights"
    path.mkdir()
    return path


@pytest.fixture
def server():
    """Serves `/whole.pth` whole, breaks `/broken.pth` off, and has nothing else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in ("/whole.pth", "/broken.pth"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT if self.path == "/whole.pth" else CONTENT[:1000])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def refused():
    """The address of a port at which nobody listens."""
    with socket.socket() as taken:  # bound, never listening: nobody else can come to listen there
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/net.pth"


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/net.pth"


# Finding


def test_the_folder_comes_before_the_hub_cache_and_the_best_name_first(folder, hub):
    names = ["best.pth", "next.pth"]
    assert find_file(names, folder) is None
    hub.mkdir(parents=True)
    for path in (hub / "next.pth", hub / "best.pth", folder / "next.pth", folder / "best.pth"):
        path.write_bytes(b"x")
        assert find_file(names, folder) == path
    assert find_file(names, None) == hub / "best.pth"
    assert find_file(names, folder / "nowhere") == hub / "best.pth"


def test_auto_takes_what_is_there_without_asking_anybody(folder, refused):
    (folder / "net.pth").write_bytes(b"x")
    assert resolve("auto", names=["net.pth"], folder=folder, url=refused) == folder / "net.pth"


def test_a_path_is_taken_as_it_is(monkeypatch, tmp_path, refused):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/my.pth", names=["net.pth"], folder=None, url=refused) == tmp_path / "my.pth"


# Fetching


def test_a_download_lies_in_the_hub_cache_and_is_not_fetched_again(server, hub, refused):
    url = f"{server}/whole.pth"
    assert resolve("auto", names=["whole.pth"], folder=None, url=url) == hub / "whole.pth"
    assert (hub / "whole.pth").read_bytes() == CONTENT
    assert [path.name for path in hub.iterdir()] == ["whole.pth"]
    assert resolve("auto", names=["whole.pth"], folder=None, url=refused) == hub / "whole.pth"


def test_a_download_that_breaks_off_leaves_nothing(server, hub):
    with pytest.raises(OSError, match=r"broke off after 1000 of 10240 bytes"):
        download(f"{server}/broken.pth")
    assert not list(hub.iterdir())


@pytest.mark.parametrize("where", ["refused", "silent", "missing"])
def test_where_no_weights_can_be_had_the_message_says_what_to_do(where, request, server, folder, hub):
    url = f"{server}/net.pth" if where == "missing" else request.getfixturevalue(where)
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        resolve("auto", names=["net.pth", "old.pth"], folder=folder, url=url, timeout_s=0.3)
    assert time.monotonic() - begin < 3
    for word in (
        f"no weights found: looked for net.pth or old.pth in paths.weights={folder} and the torch hub cache",
        f"{url} cannot be reached",
        "Set paths.weights=FOLDER (or AUDIOINTERP_WEIGHTS)",
        "backbone.weights=FILE",
        "backbone.weights=random",
    ):
        assert word in str(caught.value)
    assert not list(hub.iterdir())


def test_without_a_folder_the_message_says_so(refused):
    with pytest.raises(UserError, match=r"in paths\.weights \(not set\) and the torch hub cache"):
        resolve("auto", names=["net.pth"], folder=None, url=refused)


# Reading


def test_a_state_dict_comes_back(folder):
    torch.save(STATE, folder / "a.pth")
    assert all(torch.equal(load_state(folder / "a.pth")[name], STATE[name]) for name in STATE)


def test_safetensors_come_back(folder):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(STATE, folder / "a.safetensors")
    assert all(torch.equal(load_state(folder / "a.safetensors")[name], STATE[name]) for name in STATE)


def test_safetensors_that_are_not_installed_are_asked_for(folder, monkeypatch):
    (folder / "a.safetensors").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match="pip install safetensors, or give a .pth file"):
        load_state(folder / "a.safetensors")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_file_is_executed(folder):
    torch.save({"weight": Trap(folder / "trapped")}, folder / "a.pth")
    torch.load(folder / "a.pth", weights_only=False)
    (folder / "trapped").rmdir()  # the trap works
    with pytest.raises(UserError, match=r"expected a file with weights only \(tensors by name\), a.pth could not"):
        load_state(folder / "a.pth")
    assert not (folder / "trapped").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", CONTENT], ids=["empty", "text", "bytes"])
def test_a_file_of_another_kind_is_refused(folder, name, content):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    (folder / name).write_bytes(content)
    with pytest.raises(
        UserError, match=rf"{name} could not be read as one \(\w+.*torch.save\(model.state_dict\(\), path"
    ):
        load_state(folder / name)


@pytest.mark.parametrize(
    ("content", "kind"), [([torch.ones(2)], "list"), ({"epoch": 3}, "dict"), (torch.ones(2), "Tensor")]
)
def test_what_is_not_tensors_by_name_is_refused(folder, content, kind):
    torch.save(content, folder / "a.pth")
    with pytest.raises(UserError, match=rf"expected tensors by name in a.pth, got {kind}: save model.state_dict\(\)"):
        load_state(folder / "a.pth")


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(UserError, match=r"got .*nothing.pth, which does not exist: check backbone.weights"):
        load_state(folder / "nothing.pth")
