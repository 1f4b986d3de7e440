"""What is installed: every package, the configuration inside the wheel, the dependencies' limits."""

import importlib.util
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed(project):
    found = {
        ".".join(file.parent.relative_to(REPOSITORY).parts)
        for file in (REPOSITORY / "audiointerp").rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found | {"audiointerp.conf"}


def test_every_folder_with_modules_is_a_package():
    for file in (REPOSITORY / "audiointerp").rglob("*.py"):
        assert (file.parent / "__init__.py").is_file(), file


def test_malicious_and_breaking_releases_are_excluded(project):
    from packaging.requirements import Requirement

    required = {item.name: item.specifier for item in map(Requirement, project["project"]["dependencies"])}
    for release in ("2.6.2", "2.6.3"):
        assert release not in required["pytorch-lightning"]
    assert "2.6.6" in required["pytorch-lightning"]
    assert "1.4.0" not in required["hydra-core"] and "1.3.8" in required["hydra-core"]
    assert "2.15.0" not in required["torch"] and "2.14.1" in required["torch"]


def test_lightning_is_imported_under_one_name_only():
    for folder in ("audiointerp", "tests", "conf"):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.suffix in {".py", ".yaml"} and file != Path(__file__):
                text = file.read_text(encoding="utf-8")
                assert "lightning.pytorch" not in text and "import lightning\n" not in text, file


def files_to_ship():
    wanted = {
        file for file in (REPOSITORY / "audiointerp").rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }
    shipped = {file.relative_to(REPOSITORY).as_posix() for file in wanted if not file.name.endswith((".pyc", ".part"))}
    conf = REPOSITORY / "conf"
    return shipped | {f"audiointerp/conf/{file.relative_to(conf).as_posix()}" for file in conf.rglob("*.yaml")}


def copy_of_the_repository(folder):
    import shutil

    for name in ("audiointerp", "conf"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (REPOSITORY / name).is_file():
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def composes_from(place, cwd):
    """Prints where the configuration was found, run as an installed package would be."""
    code = (
        "from audiointerp import cli\n"
        "assert cli.experiments([cli.conf_dir()]) is not None\n"
        "with cli._composer([cli.conf_dir()]) as composer:\n"
        "    from audiointerp import job\n"
        "    assert composer([]).seed == 0\n"
        "print(cli.conf_dir())"
    )
    environment = {"PYTHONPATH": str(place), "PATH": "", "HOME": str(cwd)}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


needs_backend = pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="setuptools is not installed")


@pytest.mark.slow
@needs_backend
def test_the_wheel_holds_every_file_and_works_from_elsewhere(tmp_path):
    source = copy_of_the_repository(tmp_path / "source")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "wheels"), str(source))
    (wheel,) = (tmp_path / "wheels").glob("audiointerp-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert files_to_ship() - held == set()
    assert not any(name.startswith(("tests/", "experiments/", "conf/")) for name in held)
    assert composes_from(tmp_path / "installed", tmp_path) == tmp_path / "installed" / "audiointerp" / "conf"


@pytest.mark.slow
@needs_backend
def test_an_editable_install_reads_the_repositorys_configuration(tmp_path):
    source = copy_of_the_repository(tmp_path / "source")
    target = tmp_path / "venv"
    venv.create(target, with_pip=False)
    python = target / "bin" / "python" if sys.platform != "win32" else target / "Scripts" / "python.exe"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout.strip())
    # Build backend and dependencies are those of the environment that runs the tests.
    (site / "outer.pth").write_text(f"{Path(importlib.util.find_spec('setuptools').origin).parent.parent}\n")
    pip("--python", str(python), "install", "--no-deps", "--no-build-isolation", "-e", str(source))
    shown = subprocess.run(
        [python, "-m", "audiointerp", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0 and "common overrides" in shown.stdout, shown.stderr
    code = "from audiointerp import cli; print(cli.conf_dir())"
    found = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert Path(found.stdout.strip()) == source / "conf"
