"""The shape of a configuration: a misspelt key is an error, before any work and without any import of its targets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audiointerp.annotations import misfit
from audiointerp.signatures import TargetError, nearest, run_parts, signature_of
from audiointerp.study import UserError

BUILT_GROUPS = ("study", "data", "backbone", "model", "trainer")
SPECIAL_KEYS = frozenset({"_target_", "_partial_", "_recursive_", "_convert_", "_args_"})
DEVICES = ("auto", "cpu", "cuda")
PROTOCOLS = ("corrected", "published")
LOGGER_MODES = ("online", "offline", "disabled")


@dataclass
class LoggerConfig:
    """How a run is mirrored in W&B."""

    mode: str = "offline"
    project: str = "audiointerp"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class PathsConfig:
    """Where data, weights, cache and outputs lie."""

    data: str | None = None
    weights: str | None = None
    cache: str | None = None
    outputs: str = "outputs"


@dataclass
class RootConfig:
    """Every key that the root of a configuration may have."""

    experiment: str | None = None
    seed: int = 0
    device: str = "auto"
    protocol: str = "corrected"
    report: bool = True
    rerun: bool = False
    study: Any = None
    data: Any = None
    backbone: Any = None
    model: Any = None
    trainer: Any = None
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass(frozen=True)
class Origin:
    """Where the parts of a configuration came from, to be named in errors.

    Attributes:
        overrides: What was given on the command line.
        files: The composed files of the project and the user, each with the key that its own stand under; none for
            the root.
    """

    overrides: tuple[str, ...] = ()
    files: tuple[tuple[Path, str], ...] = ()

    def of(self, path: str) -> str:
        """Names the override or the file and line that set a key, in brackets, or nothing where it is not found."""
        for override in reversed(self.overrides):
            key, _, value = override.lstrip("+~").partition("=")
            inside = path.startswith(f"{key}.") and value.startswith("{")
            if key == path or key.startswith(f"{path}.") or inside:
                return f" (command line: {override})"
        for file, under in reversed(self.files):
            if file.is_file():
                line = _line(file, _steps(path), _steps(under))
                if line is not None:
                    return f" ({'/'.join(file.parts[-3:])}, line {line})"
        return ""


def _steps(path: str) -> list[str]:
    """Splits a key into names and numbers.

    Example:
        >>> _steps("data.parts[0].root")
        ['data', 'parts', '0', 'root']
    """
    return re.findall(r"[^.\[\]]+", path)


def _line(file: Path, path: list[str], under: list[str]) -> int | None:
    """Finds the line of a file, counted from 1, in which a key stands; None where it stands elsewhere."""
    import yaml

    if path[: len(under)] != under:
        return None
    node, line = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader), 1
    for step in path[len(under) :]:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == step]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit():
            found = [(item, item) for item in node.value[int(step) :][:1]]
        else:
            found = []
        if not found:
            return None
        line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return line


def check(config: Any, origin: Origin | None = None) -> None:
    """Holds a composed configuration against the schema and against the signature of every `_target_` in it.

    Args:
        config: The composed configuration, an OmegaConf `DictConfig` without `hydra`.
        origin: Where its parts came from.
    Raises:
        UserError: At the first key that nothing takes, the first one missing, or the first value that cannot be: a
            word where the target's annotation asks for a number.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    origin = origin or Origin()
    for key, allowed in (("device", DEVICES), ("protocol", PROTOCOLS)):
        if config[key] not in allowed:
            raise UserError(
                f"expected {key} to be one of {', '.join(allowed)}, got {config[key]!r}{origin.of(key)}: "
                f"{nearest(str(config[key]), allowed)}"
            )
    if config.logger.mode not in LOGGER_MODES:
        raise UserError(
            f"expected logger.mode to be one of {', '.join(LOGGER_MODES)}, got {config.logger.mode!r}"
            f"{origin.of('logger.mode')}: {nearest(str(config.logger.mode), LOGGER_MODES)}"
        )
    for group in BUILT_GROUPS:
        node = OmegaConf.select(config, group)
        if node is None:
            continue
        if not OmegaConf.is_dict(node) or "_target_" not in node:
            raise UserError(
                f"expected {group} to be a group with a `_target_`, got {_shown(node)}{origin.of(group)}: "
                f"choose a file of conf/{group}/ ({group}=NAME), or give {group}._target_"
            )
        _check_node(node, group, origin)
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        where = error.full_key or ""
        raise UserError(f"{where}: {str(error).splitlines()[0]}{origin.of(where)}") from error
    for group in BUILT_GROUPS:
        _check_values(values[group], group, origin)
    _check_parts(config)


def _shown(node: Any) -> str:
    return f"the keys {', '.join(map(str, node))}" if isinstance(node, Mapping) else repr(node)


def _check_node(node: Any, path: str, origin: Origin) -> None:
    from omegaconf import OmegaConf

    if OmegaConf.is_list(node):
        for index in range(len(node)):
            if not OmegaConf.is_missing(node, index) and OmegaConf.is_config(node._get_node(index)):
                _check_node(node._get_node(index), f"{path}[{index}]", origin)
        return
    if not OmegaConf.is_dict(node) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if "_target_" in node:
        _check_target(node, path, origin)
    for key in node:
        child = node._get_node(key)
        if OmegaConf.is_config(child):
            _check_node(child, f"{path}.{key}", origin)


def _check_target(node: Any, path: str, origin: Origin) -> None:
    from omegaconf import OmegaConf

    if OmegaConf.is_missing(node, "_target_"):
        raise UserError(f"{path}._target_ is missing{origin.of(f'{path}._target_')}: name a class or a function")
    target = node["_target_"]
    try:
        signature = signature_of(str(target))
    except TargetError as error:
        given = _given(node, path, "_target_")
        raise UserError(f"{given}: {error}{origin.of(given)}") from error
    for key in node:
        if str(key).startswith("_") and str(key).endswith("_") and key not in SPECIAL_KEYS:
            raise UserError(f"{path} has no key {key!r}{origin.of(f'{path}.{key}')}: {nearest(key, SPECIAL_KEYS)}")
        if OmegaConf.is_missing(node, key):
            raise UserError(f"{path}.{key} is missing{origin.of(f'{path}.{key}')}: give it, {path}.{key}=VALUE")
    if signature is None:
        return
    given = [str(key) for key in node if key not in SPECIAL_KEYS]
    for key in given:
        if key not in signature.names and not signature.accepts_any:
            raise UserError(
                f"{path} has no key {key!r}{origin.of(f'{path}.{key}')}: {nearest(key, signature.names)} "
                f"({target} takes {', '.join(signature.names) or 'nothing'})"
            )
    absent = [name for name in signature.names if name in signature.required and name not in given]
    if absent and not node.get("_partial_", False) and not node.get("_args_"):
        raise UserError(f"{path}.{absent[0]} is missing: {target} needs it, give +{path}.{absent[0]}=VALUE")


def _given(node: Any, path: str, key: str) -> str:
    """Names the key that a value was given under: another one where it is but `${taken.from.there}`.

    Example:
        >>> from omegaconf import OmegaConf
        >>> config = OmegaConf.create({"target": "a.B", "network": {"_target_": "${target}", "width": 8}})
        >>> _given(config.network, "network", "_target_"), _given(config.network, "network", "width")
        ('target', 'network.width')
    """
    from omegaconf import OmegaConf

    own = OmegaConf.to_container(node, resolve=False)[key]
    taken = re.fullmatch(r"\$\{(\w+(?:\.\w+)*)\}", str(own))
    return taken[1] if taken else f"{path}.{key}"


def _check_values(value: Any, path: str, origin: Origin) -> None:
    """Holds plain values against the annotations of the targets that they are for."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_values(item, f"{path}[{index}]", origin)
    if not isinstance(value, dict):
        return
    signature = signature_of(str(value["_target_"])) if "_target_" in value else None
    for key, item in value.items():
        where = f"{path}.{key}"
        expected = misfit(item, signature.annotations[key]) if signature and key in signature.annotations else None
        if expected is not None:
            raise UserError(f"expected {where} to be {expected}, got {item!r}{origin.of(where)}")
        _check_values(item, where, origin)


def _check_parts(config: Any) -> None:
    if config.study is None:
        return
    parts = run_parts(str(config.study["_target_"]))
    for name, needed in (parts or {}).items():
        if name not in BUILT_GROUPS[1:]:
            if needed:
                raise UserError(
                    f"{config.study['_target_']}.run asks for {name!r}, which is no group: "
                    f"{nearest(name, BUILT_GROUPS[1:])}"
                )
        elif needed and config.get(name) is None:
            raise UserError(
                f"this study needs the group {name!r}, which is empty: choose {name}=NAME from conf/{name}/"
            )
