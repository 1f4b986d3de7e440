"""What a class or function can be given by name, read from its source: nothing is imported where source suffices."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from audiointerp.study import UserError


def nearest(name: str, known: Iterable[str]) -> str:
    """Phrases the closest of the known names as a question, or lists them where none is close.

    Args:
        name: What came.
        known: What could have come.
    Example:
        >>> nearest("sede", ["seed", "device"])
        "did you mean 'seed'?"
    """
    known = list(dict.fromkeys(known))
    if not known:
        return "nothing is known there"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:
        tails = {item.rsplit(".", 1)[-1]: item for item in known}
        close = [tails[tail] for tail in difflib.get_close_matches(name.rsplit(".", 1)[-1], tails, n=1, cutoff=0.6)]
    if close:
        return f"did you mean {close[0]!r}?"
    listed = sorted(known)
    shown = ", ".join(listed[:20]) + (f" and {len(listed) - 20} more" if len(listed) > 20 else "")
    return f"known are: {shown}"


@dataclass(frozen=True)
class Signature:
    """What can be given to a target by name.

    Attributes:
        names: Parameters that can be given by name, in order; last those of a `**kwargs: Unpack[SomeTypedDict]`.
        required: Those without a default.
        accepts_any: Whether `**kwargs` takes every other name.
        annotations: Names to annotations as they stand in source; empty where it was not read.
    """

    names: tuple[str, ...]
    required: frozenset[str]
    accepts_any: bool
    annotations: Mapping[str, str] = field(default_factory=dict)


class TargetError(UserError):
    """A `_target_` that does not exist; the message carries the nearest name."""


class _Unknown(Exception):
    """Source alone does not tell; the target has to be imported."""


@dataclass(frozen=True)
class _Module:
    name: str
    file: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.file.name == "__init__.py"

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


def _top_location(name: str) -> tuple[Path | None, list[Path]] | None:
    """Finds a top-level package or module: its source file and, for a package, its folders; nothing is executed."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None
    file = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    return file, [Path(place) for place in spec.submodule_search_locations or []]


@cache
def _locate(name: str) -> tuple[Path | None, tuple[Path, ...]] | None:
    """Finds a module by its dotted name: (source file or None, folders of a package), or None if there is none."""
    top, *rest = name.split(".")
    found = _top_location(top)
    if found is None:
        return None
    file, folders = found
    for part in rest:
        for folder in folders:
            if (folder / part / "__init__.py").is_file():
                file, folders = folder / part / "__init__.py", [folder / part]
                break
            if (folder / f"{part}.py").is_file():
                file, folders = folder / f"{part}.py", []
                break
            if any(folder.glob(f"{part}.*.so")) or any(folder.glob(f"{part}.*.pyd")):
                file, folders = None, []
                break
            if (folder / part).is_dir() and part != "__pycache__":
                file, folders = None, [folder / part]
                break
        else:
            return None
    return file, tuple(folders)


def _submodules(name: str) -> list[str]:
    found = _locate(name)
    names = []
    for folder in found[1] if found else ():
        for path in folder.iterdir():
            if path.suffix == ".py" and path.stem != "__init__" or (path / "__init__.py").is_file():
                names.append(f"{name}.{path.stem}")
    return names


@cache
def _module(name: str) -> _Module:
    found = _locate(name)
    if found is None or found[0] is None:
        raise _Unknown(name)
    try:
        return _Module(name, found[0], ast.parse(found[0].read_text(encoding="utf-8")))
    except SyntaxError as error:
        raise UserError(f"{found[0]}, line {error.lineno}: {error.msg}") from error


def _statements(body: list[ast.stmt]) -> Iterable[ast.stmt]:
    """Goes through the statements of a module, also those under `if` and `try`."""
    for statement in body:
        yield statement
        for branch in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try):
                yield from _statements(getattr(statement, branch, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)


def _import_source(module: _Module, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    base = module.package.split(".")
    base = base[: len(base) - (statement.level - 1)]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def _public_names(module: _Module) -> list[str]:
    names: list[str] = []
    for statement in _statements(module.tree.body):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            names.append(statement.name)
        elif isinstance(statement, ast.ImportFrom):
            source = _import_source(module, statement)
            if source.split(".")[0] != module.name.split(".")[0]:
                continue
            for alias in statement.names:
                if alias.name != "*":
                    names.append(alias.asname or alias.name)
                elif source != module.name and (_locate(source) or (None,))[0]:
                    names += [name.rpartition(".")[2] for name in _public_names(_module(source))]
    return [f"{module.name}.{name}" for name in names if not name.startswith("_")]


def _find(module: _Module, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> tuple[_Module, ast.stmt]:
    """Finds the class or function that a name in a module means, following imports and plain aliases.

    Raises:
        LookupError: If the module certainly has no such name.
        _Unknown: If only running the module can tell.
    """
    if (module.name, name) in seen:
        raise _Unknown(name)
    seen = seen | {(module.name, name)}
    stars = []
    found: tuple[_Module, ast.stmt] | None = None
    dynamic = False
    for statement in _statements(module.tree.body):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            if statement.name == name and not _is_overload(statement):
                found = module, statement
            dynamic = dynamic or statement.name == "__getattr__"
        elif isinstance(statement, ast.ImportFrom):
            source = _import_source(module, statement)
            for alias in statement.names:
                if alias.name == "*":
                    stars.append(source)
                elif (alias.asname or alias.name) == name:
                    found = _find(_module(source), alias.name, seen)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                if not isinstance(statement.value, ast.Name):
                    raise _Unknown(name)
                found = _find(module, statement.value.id, seen)
        elif isinstance(statement, ast.Import):
            if any((alias.asname or alias.name.split(".")[0]) == name for alias in statement.names):
                raise _Unknown(name)
    if found is not None:
        return found
    for source in stars:
        try:
            return _find(_module(source), name, seen)
        except LookupError:
            continue
    if dynamic:
        raise _Unknown(name)
    raise LookupError(name)


def _decorator_names(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    names = []
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        names.append(called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""))
    return names


def _is_overload(node: ast.ClassDef | ast.FunctionDef) -> bool:
    return "overload" in _decorator_names(node)


def _of_function(module: _Module, node: ast.FunctionDef, bound: bool) -> Signature:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    without_default = len(positional) - len(arguments.defaults)
    named = [(item.arg, index < without_default) for index, item in enumerate(positional)]
    named = named[1 if bound else 0 :]
    named += [
        (item.arg, default is None) for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    unpacked = _unpacked(module, arguments.kwarg)
    named += [(name, needed) for name, (needed, _) in (unpacked or {}).items()]
    return Signature(
        names=tuple(name for name, _ in named),
        required=frozenset(name for name, needed in named if needed),
        accepts_any=unpacked is None,
        annotations={
            item.arg: ast.unparse(item.annotation)
            for item in [*positional, *arguments.kwonlyargs]
            if item.annotation is not None
        }
        | {name: annotation for name, (_, annotation) in (unpacked or {}).items()},
    )


def _unpacked(module: _Module, kwarg: ast.arg | None) -> dict[str, tuple[bool, str]] | None:
    """Lists what `**kwargs` takes as `_typed_keys` does; None where that is every name, or source does not tell."""
    if kwarg is None:
        return {}
    annotation = kwarg.annotation
    if _mark(annotation) != "Unpack":
        return None
    try:
        found = _base_class(module, annotation.slice)
        return None if found is None else _typed_keys(*found)
    except (_Unknown, LookupError):
        return None


def _mark(annotation: ast.expr | None) -> str:
    """What stands before the brackets of an annotation, without its module; nothing where it has none."""
    return ast.unparse(annotation.value).rsplit(".", 1)[-1] if isinstance(annotation, ast.Subscript) else ""


def _typed_keys(module: _Module, node: ast.ClassDef) -> dict[str, tuple[bool, str]]:
    """Lists the keys of a TypedDict, those of its bases first: name to whether it has to be given and annotation."""
    keys: dict[str, tuple[bool, str]] = {}
    for base in node.bases:
        parent = _base_class(module, base)
        if parent is not None:
            keys.update(_typed_keys(*parent))
    total = all(ast.unparse(keyword) != "total=False" for keyword in node.keywords)
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            needed, annotation = total, item.annotation
            while (mark := _mark(annotation)) in {"Required", "NotRequired", "ReadOnly", "Annotated"}:
                needed = mark == "Required" if mark.endswith("Required") else needed
                held = annotation.slice
                annotation = held.elts[0] if mark == "Annotated" and isinstance(held, ast.Tuple) else held
            keys[item.target.id] = needed, ast.unparse(annotation)
    return keys


def _base_class(module: _Module, base: ast.expr) -> tuple[_Module, ast.ClassDef] | None:
    """Finds a base class in source; None for one that adds nothing to give (object, ABC, Protocol, TypedDict ...)."""
    if isinstance(base, ast.Subscript):
        base = base.value
    dotted = ast.unparse(base)
    if dotted.rsplit(".", 1)[-1] in {"object", "ABC", "Protocol", "Generic", "TypedDict"}:
        return None
    head, *tail = dotted.split(".")
    if not tail:
        found = _find(module, head)
    else:
        source = _imported_module(module, head)
        *middle, name = tail
        found = _find(_module(".".join([source, *middle])), name)
    if not isinstance(found[1], ast.ClassDef):
        raise _Unknown(dotted)
    return found[0], found[1]


def _imported_module(module: _Module, name: str) -> str:
    for statement in _statements(module.tree.body):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.asname == name:
                    return alias.name
                if alias.asname is None and alias.name.split(".")[0] == name:
                    return name
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return f"{_import_source(module, statement)}.{alias.name}"
    raise _Unknown(name)


def _of_class(module: _Module, node: ast.ClassDef) -> Signature:
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef) and not _is_overload(item)}
    if "__init__" in methods:
        return _of_function(module, methods["__init__"], bound=True)
    if "__new__" in methods or node.keywords:
        raise _Unknown(node.name)
    if "dataclass" in _decorator_names(node):
        fields = _dataclass_fields(module, node)
        return Signature(
            names=tuple(fields),
            required=frozenset(name for name, (needed, _) in fields.items() if needed),
            accepts_any=False,
            annotations={name: annotation for name, (_, annotation) in fields.items()},
        )
    for base in node.bases:
        parent = _base_class(module, base)
        if parent is not None:
            return _of_class(*parent)
    return Signature((), frozenset(), False)


def _dataclass_fields(module: _Module, node: ast.ClassDef) -> dict[str, tuple[bool, str]]:
    """Lists the fields of a dataclass, those of its bases first: name to whether it has to be given and annotation."""
    fields: dict[str, tuple[bool, str]] = {}
    for base in reversed(node.bases):
        parent = _base_class(module, base)
        if parent is not None and "dataclass" in _decorator_names(parent[1]):
            fields.update(_dataclass_fields(*parent))
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        annotation = ast.unparse(item.annotation)
        if "ClassVar" in annotation:
            continue
        name, value = item.target.id, item.value
        if isinstance(value, ast.Call) and ast.unparse(value.func).rsplit(".", 1)[-1] == "field":
            given = {keyword.arg: keyword.value for keyword in value.keywords}
            init = given.get("init")
            if isinstance(init, ast.Constant) and init.value is False:
                fields.pop(name, None)
                continue
            fields[name] = not ({"default", "default_factory"} & set(given)), annotation
        else:
            fields[name] = value is None, annotation
    return fields


def _static(target: str) -> tuple[Signature | None, _Module, ast.stmt]:
    """Reads a target's signature from source.

    Raises:
        TargetError: If it certainly does not exist.
        _Unknown: If only an import can tell.
    """
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        if _locate(name) is None:
            continue
        module = _module(name)
        try:
            owner, node = _find(module, parts[cut])
        except LookupError:
            known = [*_public_names(module), *_submodules(name)]
            raise TargetError(f"{target!r} does not exist: {nearest(target, known)}") from None
        for attribute in parts[cut + 1 :]:
            if not isinstance(node, ast.ClassDef):
                raise TargetError(f"{target!r} does not exist: {'.'.join(parts[: cut + 1])} is a function")
            members = {item.name: item for item in node.body if isinstance(item, ast.ClassDef | ast.FunctionDef)}
            if attribute not in members:
                if node.bases:
                    raise _Unknown(target)
                raise TargetError(f"{target!r} does not exist: {nearest(attribute, members)}")
            node = members[attribute]
            if isinstance(node, ast.FunctionDef):
                return _of_function(owner, node, bound="staticmethod" not in _decorator_names(node)), owner, node
        if isinstance(node, ast.ClassDef):
            return _of_class(owner, node), owner, node
        return _of_function(owner, node, bound=False), owner, node
    raise TargetError(f"{target!r} does not exist: no package called {parts[0]!r} is installed")


def _imported(target: str) -> Any:
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        try:
            value: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Only a part of the target itself may be missing; a module that it imports is another matter.
            if error.name is not None and f"{target}.".startswith(f"{error.name}."):
                continue
            raise UserError(f"{target!r} cannot be imported: {error}") from error
        for attribute in parts[cut:]:
            if not hasattr(value, attribute):
                raise TargetError(f"{target!r} does not exist: {nearest(attribute, dir(value))}")
            value = getattr(value, attribute)
        return value
    raise TargetError(f"{target!r} does not exist: no package called {parts[0]!r} is installed")


def signature_of(target: str) -> Signature | None:
    """Tells what a `_target_` can be given, from its source alone wherever that suffices.

    Args:
        target: Dotted name of a class or function.
    Returns:
        The signature; None where even the imported object does not tell (some C extensions).
    Raises:
        TargetError: If there is no such target; names the nearest.
    Example:
        >>> signature_of("audiointerp.study.stream").names
        ('seed',)
    """
    if "." not in target:
        raise TargetError(f"expected a dotted name such as package.module.Class, got {target!r}")
    try:
        return _static(target)[0]
    except (_Unknown, LookupError):
        pass
    value = _imported(target)
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    named = [item for item in parameters if item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL)]
    return Signature(
        names=tuple(item.name for item in named),
        required=frozenset(item.name for item in named if item.default is item.empty),
        accepts_any=any(item.kind is item.VAR_KEYWORD for item in parameters),
    )


def run_parts(target: str) -> dict[str, bool] | None:
    """Tells which groups a study's `run` asks for.

    Args:
        target: Dotted name of the study's class.
    Returns:
        Parameter names after `context`, to whether they have to be given; None where source does not tell.
    """
    try:
        _, module, node = _static(target)
        while isinstance(node, ast.ClassDef):
            methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
            if "run" in methods:
                signature = _of_function(module, methods["run"], bound=True)
                names = signature.names[1:]
                return {name: name in signature.required for name in names}
            parents = [parent for parent in (_base_class(module, base) for base in node.bases) if parent]
            if not parents:
                return None
            module, node = parents[0]
    except (_Unknown, LookupError):
        pass
    return None
