"""Who may import whom: nothing imports upward, and light modules stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "audiointerp"

# May be imported by all, and import nothing of the project but each other.
BASES = {
    *("annotations", "audio", "mel", "provenance", "processes", "signatures", "schema", "study"),
    *("data.base", "backbones.base", "activations.base"),
}

# What each room may import beside the bases and itself.
ROOMS = {
    "data": set(),
    "backbones": set(),
    "statistics": set(),
    "activations": set(),
    "probes": {"activations", "statistics"},
    "disentangle": {"activations", "statistics"},
    "sonify": {"activations", "statistics"},
    "modulation": {"activations", "statistics"},
    "edit": {"activations", "statistics"},
    "report": {"statistics"},
    "training": {"data", "backbones", "activations", "statistics", "probes", "disentangle", "sonify", "modulation"},
    "studies": {
        "data",
        "backbones",
        "activations",
        "training",
        "probes",
        "disentangle",
        "edit",
        "sonify",
        "modulation",
        "statistics",
        "report",
    },
    "collect": {"report"},
    "sweep": {"report"},
    "job": {"report", "studies", "sweep"},
    "cli": {"job", "studies"},
    "__main__": {"cli"},
    "__init__": set(),
}

LIGHT = (
    "audiointerp",
    "audiointerp.cli",
    "audiointerp.schema",
    "audiointerp.study",
    "audiointerp.job",
    "audiointerp.sweep",
)
HEAVY = {"torch", "torchaudio", "pytorch_lightning", "lightning", "wandb", "sklearn", "matplotlib", "zarr", "pandas"}


def modules(package=PACKAGE):
    return sorted(
        file.relative_to(package).with_suffix("").as_posix().replace("/", ".") for file in package.rglob("*.py")
    )


def imports(source, name):
    """Lists the modules of the project that a source file imports, anywhere in it, without the leading package."""
    package = name.rpartition(".")[0] if not name.endswith("__init__") else name.rpartition(".__init__")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["audiointerp", *package.split(".")] if package else ["audiointerp"]
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            if isinstance(node.args[0], ast.Constant):
                found.add(str(node.args[0].value))
    return {item.removeprefix("audiointerp.") for item in found if item.startswith("audiointerp.")}


def violations(name, imported, known):
    """Lists what a module must not import.

    Args:
        name: The module, without the leading package.
        imported: What it imports, as `imports` gives it.
        known: All modules of the project.
    """
    packages = {item.rpartition(".__init__")[0] for item in known if item.endswith(".__init__")}
    targets = {item for item in imported if item in known or item in packages}
    room = name.split(".")[0]
    wrong = []
    for target in sorted(targets):
        # `from audiointerp.data import base` also names audiointerp.data, which is only its way there.
        if target in packages and any(other.startswith(f"{target}.") for other in targets):
            continue
        if target in BASES:
            continue
        if name in BASES:
            wrong.append(target)
        elif target.split(".")[0] != room and target.split(".")[0] not in ROOMS[room]:
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("name", modules())
def test_nothing_imports_upward(name):
    source = (PACKAGE / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert violations(name, imports(source, name), set(modules())) == []


def test_every_module_has_its_room():
    assert {name.split(".")[0] for name in modules()} - BASES <= set(ROOMS)
    assert BASES <= {*modules()}


@pytest.mark.parametrize(
    ("name", "source", "wrong"),
    [
        ("data.fsdd", "from audiointerp.backbones.yamnet import YAMNet", ["backbones.yamnet"]),
        ("data.fsdd", "from audiointerp.data.base import Sounds\nfrom audiointerp import audio", []),
        ("data.fsdd", "def f():\n    from ..backbones import yamnet", ["backbones.yamnet"]),
        ("data.fsdd", "from .base import Sounds", []),
        ("audio", "from audiointerp.data import base", []),
        ("audio", "from audiointerp.data import fsdd", ["data.fsdd"]),
        ("probes.linear", "import audiointerp.edit.transfer", ["edit.transfer"]),
        ("probes.linear", "from audiointerp.statistics.effects import d", []),
        ("study", "from audiointerp.report import Page", ["report"]),
        ("report.page", "import importlib\nimportlib.import_module('audiointerp.studies.x')", ["studies.x"]),
        ("studies.x", "from audiointerp.cli import main", ["cli"]),
    ],
)
def test_the_rule_itself_finds_what_is_forbidden(name, source, wrong):
    known = {
        *("data.__init__", "data.base", "data.fsdd", "backbones.__init__", "backbones.yamnet", "edit.__init__"),
        *("edit.transfer", "report.__init__", "report.page", "studies.__init__", "studies.x", "study", "audio", "cli"),
        *("statistics.__init__", "statistics.effects", "probes.__init__", "probes.linear"),
    }
    assert violations(name, imports(source, name), known) == wrong


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_only_the_audio_module_touches_audio_files():
    touching = [
        name
        for name in modules()
        if re.search(r"^\s*(import soundfile|from soundfile|import torchaudio|from torchaudio)", _source(name), re.M)
    ]
    assert touching == ["audio"]


def test_only_the_job_seeds_globally():
    pattern = re.compile(r"(?<![\w.])(?:torch\.manual_seed|np\.random\.seed|random\.seed|seed_everything)\(")
    forked = {name for name in modules() if "fork_rng" in _source(name)}
    assert {name for name in modules() if pattern.search(_source(name))} - forked == {"job"}


def test_every_file_opens_with_a_line_that_says_what_it_is():
    for name in modules():
        assert ast.get_docstring(ast.parse(_source(name))), name


def test_user_errors_are_never_asserted():
    asserting = [
        f"{name}:{node.lineno}"
        for name in modules()
        for node in ast.walk(ast.parse(_source(name)))
        if isinstance(node, ast.Assert)
    ]
    assert asserting == []


def _source(name):
    return (PACKAGE / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
