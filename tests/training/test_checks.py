"""Values are checked and converted by their annotations."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import pytest

from medattn.training.checks import above, at_least, check, one_of, parse

COUNT = Annotated[int, at_least(1)]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, 0.5, 0.5),
        (str, "a", "a"),
        (bool, True, True),
        (int | None, None, None),
        (COUNT | None, 2, 2),
        (list[float], (1, 2), [1.0, 2.0]),
        (tuple[str, ...], ["a"], ("a",)),
        (tuple[str, ...] | None, [], ()),
        (Annotated[str, one_of(("a", "b"))], "b", "b"),
        (Mapping[str, Any], {"b": (1, 2), "a": None}, {"a": None, "b": [1, 2]}),
    ],
)
def test_value_gets_its_type(annotation, value, expected):
    result = check("x", annotation, value)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, True, "x=True must be a whole number"),
        (int, 1.0, "x=1.0 must be a whole number"),
        (float, True, "x=True must be a finite number"),
        (float, float("nan"), "x=nan must be a finite number"),
        (str, 1, "x=1 must be text"),
        (bool, 1, "x=1 must be true or false"),
        (COUNT, 0, "x=0 must be 1 or more"),
        (COUNT | None, 0, "x=0 must be 1 or more, or None"),
        (Annotated[float, above(0)], 0, "x=0 must be above 0"),
        (Annotated[str, one_of({"a": 1, "b": 2})], "c", "x='c' is unknown; there are a, b"),
        (list[int], 3, "x=3 must be a list, and each of its items a whole number"),
        (list[int], [1, "2"], "x=[1, '2'] must be a list, and each of its items a whole number"),
        (list[str], "ab", "x='ab' must be a list, and each of its items text"),
        (Mapping[str, Any], {1: 2}, "x={1: 2} must be a mapping from names to values"),
        (Mapping[str, Any], {"a": {}}, "has the value {}; allowed are numbers, text, true, false"),
    ],
)
def test_wrong_value_is_named(annotation, value, message):
    with pytest.raises(ValueError) as error:
        check("x", annotation, value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, " 3", 3),
        (int, "3.5", "3.5"),
        (float, "1e-3", 0.001),
        (bool, "True", True),
        (bool, "yes", "yes"),
        (str, "3", "3"),
        (COUNT | None, "3", 3),
        (list[int], "0,1,2", [0, 1, 2]),
        (list[int], "[0, 1, 2,]", [0, 1, 2]),
        (list[int], "1,x", [1, "x"]),
        (tuple[str, ...], "(a, b)", ["a", "b"]),
        (list[str], '["a", "b,c"]', ["a", "b,c"]),
        (list[str], "a,", ["a"]),
        (list[str], "", []),
        (list[bool], "[true, False]", [True, False]),
    ],
)
def test_text_is_parsed_by_the_annotation(annotation, text, expected):
    assert parse(annotation, text) == expected


def test_import_needs_no_torch():
    code = "import sys, medattn.training.checks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
