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


def _inside(node: ast.expr) -> list[ast.expr]:
    """What stands in the brackets of an annotation."""
    if not isinstance(node, ast.Subscript):
        return []
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _choices(node: ast.expr) -> list[ast.expr]:
    """The alternatives of a union, nothing where it is none."""
    if isinstance(node, ast.BinOp):
        return [*(_choices(node.left) or [node.left]), node.right]
    if _name(node) in {"Union", "Optional"}:
        return [*_inside(node), *([ast.Constant(None)] if _name(node) == "Optional" else [])]
    return []


def _fits(value: Any, node: ast.expr) -> bool:
    if isinstance(value, dict) and "_target_" in value:
        return True  # will be built
    choices, inside, name = _choices(node), _inside(node), _name(node)
    if choices:
        return any(_fits(value, choice) for choice in choices)
    if isinstance(node, ast.Constant):
        return value is None if node.value is None else True
    if name in {"int", "float", "bool"}:
        kinds = {"int": int, "float": (int, float), "bool": bool}[name]
        return isinstance(value, kinds) and isinstance(value, bool) == (name == "bool")
    if value is None:
        return True
    if name == "Literal":
        return value in [part.value for part in inside if isinstance(part, ast.Constant)]
    if name in WORDS:
        return isinstance(value, str)
    if name in LISTS:
        if isinstance(value, str):
            return not inside or _name(inside[0]) == "str"
        return isinstance(value, list) and all(_fits(item, inside[0]) for item in value if inside)
    if name in MAPPINGS:
        return isinstance(value, dict) and all(_fits(item, inside[-1]) for item in value.values() if inside)
    return True


def _words(node: ast.expr) -> str:
    choices, inside, name = _choices(node), _inside(node), _name(node)
    if choices:
        return " or ".join(dict.fromkeys(map(_words, choices)))
    if isinstance(node, ast.Constant):
        return "null" if node.value is None else str(node.value)
    if name == "Literal":
        return " or ".join(map(ast.unparse, inside))
    if name in LISTS:
        return f"a list, [{_words(inside[0])}, ...]" if inside else "a list"
    if name in MAPPINGS:
        return f"{{name: {_words(inside[-1])}}}" if inside else "{name: value}"
    return WORDS.get(name, ast.unparse(node))
