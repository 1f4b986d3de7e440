"""The command line: help, the check of what was asked for, Hydra, and errors in one plain message."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import itertools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from audiointerp import schema
from audiointerp.processes import ShareDone, rank
from audiointerp.signatures import nearest, signature_of
from audiointerp.study import UserError

USAGE = """usage: python -m audiointerp experiment=NAME [key=value ...]
       python -m audiointerp -m experiment=NAME key=value1,value2 ...     a sweep

Which layer of an audio network encodes what, whether it can be pulled apart, and what it sounds like."""

GROUPS = ("study", "data", "backbone", "model", "trainer", "logger", "paths", "hydra/launcher")

LAUNCHER_EXTRAS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "joblib": "parallel"}

COMMON = """common overrides
  seed=0                      the root seed; every random stream is drawn from it
  device=auto|cpu|cuda        what to compute on
  protocol=corrected|published  published: what the paper's code does, mistakes included
  report=true|false           draw report.html at the end
  rerun=true                  run again what is already finished
  study.KEY=VALUE             a setting of the study; data.KEY, backbone.KEY, model.KEY, trainer.KEY alike
  backbone.weights=auto|standin|random|FILE
  paths.data=FOLDER  paths.weights=FOLDER  paths.outputs=outputs
  logger.mode=online|offline|disabled  logger.project=NAME  logger.entity=NAME  logger=none
  hydra.run.dir=FOLDER        where this one run goes
  hydra/launcher=slurm|workers  with -m: as Slurm jobs, over local processes
  --cfg job                   show the configuration and stop
  --config-dir FOLDER         experiments and groups of your own"""

ENVIRONMENT = """environment
  AUDIOINTERP_DATA            folder with real corpora (paths.data)
  AUDIOINTERP_WEIGHTS         folder with weights (paths.weights)
  AUDIOINTERP_CACHE           activations, trained models, sounds (paths.cache; by default the user's cache folder)
  AUDIOINTERP_SHARD=3/16      a part of a job array, counted from 0: extract that share of the activations and stop
  AUDIOINTERP_NO_REEXEC=1     do not start the process again with a retained heap (Linux)"""

AFTERWARDS = """afterwards
  python -m audiointerp.report RUN      draw a run's report again from its files
  python -m audiointerp.collect RUN...  gather runs into experiments/NAME"""


def conf_dir() -> Path:
    """Finds the configuration: in the installed package, else at the top of the repository.

    Raises:
        UserError: If it is at neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError(f"expected the folder conf in {package} or beside it, found none: install the package again")


def experiments(folders: list[Path]) -> dict[str, str]:
    """Lists the named experiments.

    Args:
        folders: Configuration folders, the user's own first.
    Returns:
        Name to its description: the first comment of its file that is neither the command nor `@package`.
    """
    found: dict[str, str] = {}
    for folder in folders:
        for file in sorted((folder / "experiment").rglob("*.yaml")):
            name = file.relative_to(folder / "experiment").with_suffix("").as_posix()
            found.setdefault(name, _description(file))
    return found


def _description(file: Path) -> str:
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                break
            text = line.lstrip("# ").strip()
            if text and "@package" not in text and "python -m audiointerp" not in text:
                return text
    return ""


def options(folders: list[Path], group: str) -> list[str]:
    """Lists the files of one configuration group, by name."""
    names = [file.stem for folder in folders for file in (folder / group).glob("*.yaml")]
    return sorted(set(names))


def help_text(folders: list[Path]) -> str:
    """Writes what `--help` prints.

    Args:
        folders: Configuration folders, the user's own first.
    """
    lines = [USAGE, "", "experiments"]
    named = experiments(folders)
    width = max((len(name) for name in named), default=0) + 2
    lines += [f"  {name:<{width}}{description}".rstrip() for name, description in named.items()]
    lines += ["", "groups"]
    for group in GROUPS:
        lines.append(f"  {group + '=':<16}{' '.join(options(folders, group)) or '-'}")
    return "\n".join([*lines, "", COMMON, "", ENVIRONMENT, "", AFTERWARDS])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What came after the program's name; by default those of the process.
    Returns:
        The exit code: 0 done, 2 a mistake that the user can mend, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        folders = [*_own_folders(arguments), conf_dir()]
        if not arguments or {"-h", "--help"} & set(arguments):
            print(help_text(folders))
            return 0
        _run(arguments, folders)
        return 0
    except ShareDone as done:
        print(done)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return 130


def _own_folders(arguments: list[str]) -> list[Path]:
    folders = []
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in {"--config-dir", "-cd"}:
            value = value or (arguments[index + 1] if index + 1 < len(arguments) else "")
            if not Path(value).is_dir():
                raise UserError(f"expected a folder after --config-dir, got {value!r}: it does not exist")
            folders.append(Path(value).resolve())
    return folders


def _refuse_flag(message: str) -> NoReturn:
    raise UserError(f"{message}: see python -m audiointerp --help")


def flags_first(arguments: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """Moves flags before the overrides: Hydra's parser takes no override that comes after a flag after an override.

    Args:
        arguments: What came after the program's name.
        parser: Hydra's parser.
    """
    valued = {flag: action.nargs for action in parser._actions for flag in action.option_strings if action.nargs != 0}
    flags, overrides = [], []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in valued and words and (valued[word] is None or "=" not in words[0]):
            flags.append(words.pop(0))
    return [*flags, *overrides]


def aside(arguments: list[str]) -> list[str]:
    """Sends what Hydra itself writes in a process that is not the first of several into a folder that goes with it."""
    folder = tempfile.mkdtemp(prefix="audiointerp-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kept = [word for word in arguments if word.split("=")[0] not in ("hydra.run.dir", "hydra.output_subdir")]
    return [*kept, f"hydra.run.dir={folder}", "hydra.output_subdir=null"]


def _run(arguments: list[str], folders: list[Path]) -> None:
    import hydra
    import yaml
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException, InstantiationException
    from omegaconf.errors import OmegaConfBaseException

    from audiointerp import job

    parser = get_args_parser()
    parser.error = _refuse_flag
    arguments = flags_first(arguments, parser)
    if rank()[0]:
        arguments = aside(arguments)
    parsed = parser.parse_args(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing; what is printed is decided here
    sys.argv = [sys.argv[0], *arguments]
    try:
        if not (parsed.cfg or parsed.info or parsed.shell_completion or parsed.hydra_help):
            _check_before(parsed.overrides, folders, sweep=parsed.multirun)
            _check_outputs(parsed.overrides)
        hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(job.run)()
    except job.Refused as refused:
        raise refused.mistake from refused
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        mistake = job.user_error_in(error)
        if mistake is None and isinstance(error, InstantiationException):
            raise  # a part broke while it was built: that is for its author, with the traceback
        raise mistake or UserError(explain(error, parsed.overrides, folders)) from error


@contextlib.contextmanager
def _composer(folders: list[Path]) -> Iterator[Any]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg

    def composed(overrides: list[str]) -> Any:
        own = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders[:-1])}]"] if folders[1:] else []
        config = compose("config", [*overrides, *own], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return config

    try:
        with initialize_config_dir(str(folders[-1]), version_base="1.3"):
            yield composed
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = before


def compose_config(overrides: list[str], folders: list[Path] | None = None) -> Any:
    """Composes a configuration as the command line would, and checks it.

    Args:
        overrides: What the command line would be given, without flags.
        folders: Configuration folders, the project's last.
    Returns:
        The composed configuration without `hydra`, an OmegaConf `DictConfig`; `experiment` is resolved.
    Raises:
        UserError: If `schema.check` finds a mistake.
    """
    from omegaconf import flag_override

    from audiointerp import job

    job.register()
    folders = folders or [conf_dir()]
    with _composer(folders) as composed:
        config = composed(overrides)
        origin = job.origin_of(config.hydra)
        experiment = config.experiment
        with flag_override(config, ["struct", "readonly"], [False, False]):
            config.experiment = experiment
            del config["hydra"]
        if experiment is None:
            known = experiments(folders)
            raise UserError(f"expected experiment=NAME, got none: {nearest('', known)}")
        schema.check(config, origin)
        return config


def _check_before(overrides: list[str], folders: list[Path], sweep: bool) -> None:
    """Checks every job that the command line asks for, before a folder is made."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(overrides)
    for item in parsed:
        if item.value() is None and not item.is_delete() and item.key_or_group in GROUPS:
            raise UserError(f"expected a file of conf/{item.key_or_group}/, got {item.input_line!r}: "
                            f"write ~{item.key_or_group} to have none")  # fmt: skip
    fixed = [item.input_line for item in parsed if not item.is_sweep_override()]
    swept = [item for item in parsed if item.is_sweep_override()]
    if not sweep and not any(line.replace(" ", "") == "hydra.mode=MULTIRUN" for line in fixed):
        compose_config(overrides, folders)
        return
    if any(not item.is_discrete_sweep() for item in swept):
        return  # a range of a sweeper plugin, checked job by job
    values = []
    for item in swept:
        values.append([f"{item.get_key_element()}={value}" for value in _swept_values(item, folders)])
    jobs = list(itertools.islice(itertools.product(*values), 33))
    if len(jobs) > 32:  # one by one, beside the first of the others
        first = [lines[0] for lines in values]
        jobs = [(*first[:i], line, *first[i + 1 :]) for i, lines in enumerate(values) for line in lines]
    for lines in jobs:
        compose_config([*fixed, *lines], folders)


def _check_outputs(overrides: list[str]) -> None:
    """Checks that runs have where to go: Hydra makes their folder before anything of this project is asked."""
    given = dict(item.split("=", 1) for item in overrides if "=" in item)
    key = next((key for key in ("hydra.run.dir", "hydra.sweep.dir", "paths.outputs") if key in given), "paths.outputs")
    folder = Path(given.get(key, "outputs")).expanduser().absolute()
    if "${" in str(folder):
        return
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(
            f"expected a folder that can be written to, got {there}, which is "
            f"{'read-only' if there.is_dir() else 'a file'}: set {key}=FOLDER"
        )


def _swept_values(override: Any, folders: list[Path]) -> list[str]:
    from hydra.core.override_parser.types import Glob

    value = override.value()
    if isinstance(value, Glob):
        return value.filter(options(folders, override.key_or_group))
    return list(override.sweep_string_iterator())


# --- what Hydra says, in words that help ---------------------------------------------------------------------------


def explain(error: BaseException, overrides: list[str], folders: list[Path]) -> str:
    """Rewords an error of Hydra, OmegaConf or YAML: what was wrong, where it came from, and the nearest name.

    Args:
        error: What was raised while the configuration was composed.
        overrides: What the command line gave.
        folders: Configuration folders, the project's last.
    """
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = list(experiments(folders)) if group == "experiment" else list(error.options or options(folders, group))
        if name in LAUNCHER_EXTRAS:
            return f"this launcher is a package of its own: pip install 'audiointerp[{LAUNCHER_EXTRAS[name]}]'"
        if group:
            return f"{group} has no option {name!r}{_where(group, overrides)}: {nearest(name, known)}"
    if isinstance(error, OverrideParseException):
        return _explain_unparsed(error, folders)
    said = "\n".join(_said(error))
    missing = re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is )?not in", said)
    if missing:
        # A merge names the file's own key in full_key; the message names its last part only.
        key = missing.group(1) or missing.group(2)
        key = full_key(said) if full_key(said).endswith(key) else key
        if "@" in key:
            return f"{said.splitlines()[0]}; is `# @package _global_` the first line of that experiment's file?"
        file = re.search(r"In '([^']+)'", said)
        where = _where(key, overrides) or (f" (conf/{file.group(1)}.yaml)" if file else "")
        return _explain_key(key, where, overrides, folders)
    unfit = re.search(r"Value '(.*)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", said)
    if unfit and full_key(said):
        key, (value, kind) = full_key(said), unfit.groups()
        kind = {"Integer": "a whole number", "bool": "true or false", "Float": "a number"}.get(kind, kind)
        return f"expected {key} to be {kind}, got {value!r}{_where(key, overrides)}"
    said = re.sub(r"\s*object_type=\w+", "", said).replace("\n    full_key: ", " at ")
    return re.sub(r"\n\s*", "; ", re.sub(r"\n\n+", "\n", said.strip()))


def full_key(said: str) -> str:
    """Finds the key that OmegaConf's messages end with, or nothing.

    Example:
        >>> full_key("Key 'mod' not in 'LoggerConfig'\\n    full_key: logger.mod")
        'logger.mod'
    """
    found = re.search(r"full_key: (\S+)", said)
    return found.group(1) if found else ""


def _said(error: BaseException) -> list[str]:
    messages: list[str] = []
    current: BaseException | None = error
    while current is not None:
        text = str(current).strip()
        if text and not any(text in message for message in messages):
            messages.append(text)
        current = current.__cause__
    return messages


def _where(key: str, overrides: list[str]) -> str:
    for override in reversed(overrides):
        if override.lstrip("+~").split("=", 1)[0].split("@")[0] == key:
            return f" (command line: {override})"
    return ""


def _explain_unparsed(error: BaseException, folders: list[Path]) -> str:
    override = getattr(error, "override", "")
    known = experiments(folders)
    if override in known:
        return f"expected key=value, got {override!r}: did you mean experiment={override}?"
    first = str(error).splitlines()[0]
    return f"expected key=value, got {override!r}: {first}"


def _explain_key(key: str, where: str, overrides: list[str], folders: list[Path]) -> str:
    parent, _, name = key.rpartition(".")
    if not parent:
        names = [field.name for field in dataclasses.fields(schema.RootConfig)]
        return f"the configuration has no key {key!r}{where}: {nearest(name, [*names, 'hydra'])}"
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    others = [item for item in overrides if item.lstrip("+~").split("=", 1)[0] != key and "," not in item]
    known: list[str] = []
    with _composer(folders) as composed:
        try:
            config = composed(others)
            node = OmegaConf.select(config, parent)
        except (HydraException, OmegaConfBaseException):
            node = None  # something else is wrong as well: then without a list of names
    if OmegaConf.is_dict(node):
        known = [str(item) for item in node if str(item) not in schema.SPECIAL_KEYS]
        target = node.get("_target_")
        signature = signature_of(str(target)) if target else None
        if signature is not None and (name in signature.names or signature.accepts_any):
            return f"{parent} does not list {name!r} yet{where}, but {target} takes it: write +{key}=VALUE"
        known += list(signature.names) if signature else []
    elif node is None:
        return f"there is no {parent} to have a key {name!r}{where}: choose one with {parent.split('.')[0]}=NAME"
    return f"{parent} has no key {name!r}{where}: {nearest(name, known)}"
