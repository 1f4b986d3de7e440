"""Whether a value of a configuration can be what an annotation in source asks for; what cannot be told passes."""

from __future__ import annotations

import ast
from typing import Any

LISTS = {"Sequence", "list", "List", "tuple", "Tuple", "Iterable", "Collection", "set"}
MAPPINGS = {"Mapping", "dict", "Dict", "MutableMapping"}
WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "PathLike": "a path",
    "Path": "a path",
}


def misfit(value: Any, annotation: str) -> str | None:
    """Says what was expected where a value does not fit an annotation.

    Nothing (null) is refused where a plain number or a truth value is asked for, and left to the target elsewhere:
    it says more about what is missing. Annotations that only running the code would explain let everything pass.

    Args:
        value: What a configuration holds, resolved: None, bool, int, float, str, list or dict.
        annotation: The annotation as it stands in source.
    Returns:
        What was expected, in words, or None.
    Example:
        >>> misfit("ten", "int"), misfit(10, "int | None"), misfit({"fit": "a"}, "Mapping[str, float]")
        ('a whole number', None, '{name: a number}')
    """
    try:
        node = ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return None
    return None if _fits(value, node) else _words(node)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _parts(node: ast.expr) -> list[ast.expr]:
    """The alternatives of a union, the content of what stands in brackets."""
    if isinstance(node, ast.BinOp):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, ast.Subscript):
        return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    return [node]


def _is_union(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) or _name(node) in {"Union", "Optional"}


def _fits(value: Any, node: ast.expr) -> bool:
    if isinstance(value, dict) and "_target_" in value:
        return True  # will be built
    if _is_union(node):
        return (value is None and _name(node) == "Optional") or any(_fits(value, part) for part in _parts(node))
    if isinstance(node, ast.Constant):
        return value is None if node.value is None else True
    name, parts = _name(node), _parts(node)
    if name in {"int", "float", "bool"}:
        kinds = {"int": int, "float": (int, float), "bool": bool}[name]
        return isinstance(value, kinds) and isinstance(value, bool) == (name == "bool")
    if value is None:
        return True
    if name == "Literal":
        return any(isinstance(part, ast.Constant) and part.value == value for part in parts)
    if name in WORDS:
        return isinstance(value, str)
    inner = parts[-1] if isinstance(node, ast.Subscript) else ast.Name("Any")
    if name in LISTS:
        if isinstance(value, str):
            return _name(inner) in {"str", "Any"}
        variadic = isinstance(inner, ast.Constant) and inner.value is Ellipsis
        return isinstance(value, list) and all(_fits(item, parts[0] if variadic else inner) for item in value)
    if name in MAPPINGS:
        return isinstance(value, dict) and all(_fits(item, inner) for item in value.values())
    return True


def _words(node: ast.expr) -> str:
    if _is_union(node):
        parts = [_words(part) for part in _parts(node)]
        return " or ".join(dict.fromkeys([*parts, "null"] if _name(node) == "Optional" else parts))
    if isinstance(node, ast.Constant):
        return "null" if node.value is None else str(node.value)
    name, parts = _name(node), _parts(node)
    if name in WORDS:
        return WORDS[name]
    if name == "Literal":
        return " or ".join(ast.unparse(part) for part in parts)
    inner = parts[-1] if isinstance(node, ast.Subscript) else None
    if name in LISTS:
        return f"a list of [{_words(parts[0])}, ...]" if inner is not None else "a list"
    if name in MAPPINGS:
        return f"{{name: {_words(inner)}}}" if inner is not None else "{name: value}"
    return ast.unparse(node)
