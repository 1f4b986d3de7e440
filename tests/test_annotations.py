"""Values held against annotations as they stand in source."""

import pytest

from audiointerp.annotations import misfit


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (3, "int"),
        (3, "float"),
        (3.5, "float"),
        (True, "bool"),
        ("x", "str"),
        (None, "str"),
        (None, "int | None"),
        (None, "Optional[int]"),
        (3, "Union[int, str]"),
        ("x", "str | os.PathLike"),
        ("x", "os.PathLike"),
        ([1, 2.5], "Sequence[float]"),
        ([1, 2], "tuple[float, ...]"),
        ("material", "Sequence[str] | None"),
        (["material"], "Sequence[str] | None"),
        (None, "Sequence[str] | None"),
        ({"a": [1]}, "Mapping[str, Sequence[int]]"),
        ({"a": {"b": 1}}, "Mapping[str, Mapping[str, Any]] | None"),
        ({}, "dict"),
        ([], "list"),
        ("fast", "Literal['fast', 'slow']"),
        ({"_target_": "package.Thing"}, "int"),
        ("anything", "_PRECISION_INPUT"),
        (4, "int | SomeAlias"),
        ("anything", "int | SomeAlias"),
        (1, "'float'"),
        (1, "not an annotation"),
    ],
)
def test_what_fits_passes(value, annotation):
    assert misfit(value, annotation) is None


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("ten", "int", "a whole number"),
        (2.5, "int", "a whole number"),
        (True, "int", "a whole number"),
        (None, "int", "a whole number"),
        ("x", "float", "a number"),
        (1, "bool", "true or false"),
        (3, "str", "text"),
        (["x"], "str | os.PathLike", "text or a path"),
        ("x", "int | None", "a whole number or null"),
        ("x", "Optional[Union[int, float]]", "a whole number or a number or null"),
        (1, "Sequence[float]", "a list, [a number, ...]"),
        ("x", "Sequence[float]", "a list, [a number, ...]"),
        ([1, "x"], "Sequence[float]", "a list, [a number, ...]"),
        ({"fit": "a"}, "Mapping[str, float]", "{name: a number}"),
        ([0.2, 0.8], "Mapping[str, float]", "{name: a number}"),
        ("x", "dict", "{name: value}"),
        (1, "list", "a list"),
        ("medium", "Literal['fast', 'slow']", "'fast' or 'slow'"),
    ],
)
def test_what_does_not_fit_is_told_in_words(value, annotation, expected):
    assert misfit(value, annotation) == expected
