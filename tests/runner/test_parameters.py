"""Reading a parameters cell, and choosing values of its types."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medattn.runner.notebook import Notebook
from medattn.runner.parameters import Parameter, choose, parse_cell, read_parameters, settings

CELL = """
# a comment may stand here
dataset: str = "phantoms"  # any name of `medattn data`
epochs: int = 3  # the paper: 150
lr: float = 1e-3  # learning rate
flip: bool = False  # mirror the images
seeds: list[int] = [0, 1]  # one run each
scales: tuple[int, ...] = (
    1,
    2,
)  # of the pyramid
"""


def convert(value, kind):
    """Return the value that `choose` makes of one given to a parameter of this type."""
    return choose({"x": Parameter("x", kind, None, "")}, {"x": value}, "test")["x"]


def test_cell_has_names_types_defaults_meanings():
    read = parse_cell(CELL)
    assert {name: parameter.default for name, parameter in read.items()} == {
        "dataset": "phantoms",
        "epochs": 3,
        "lr": 1e-3,
        "flip": False,
        "seeds": [0, 1],
        "scales": (1, 2),
    }
    assert str(read["epochs"]) == "epochs: int = 3  # the paper: 150"
    assert read["scales"].meaning == "of the pyramid"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("epochs = 3  # no type", "is not of the form"),
        ("epochs: int  # no default", "is not of the form"),
        ("import os", "is not of the form"),
        ("a.b: int = 3  # no name", "is not of the form"),
        ("epochs: int | None = 3  # a union", r"has the type int \| None; allowed are"),
        ("epochs: list = [3]  # of what", "has the type list; allowed are"),
        ("epochs: Epochs = 3  # not built in", "has the type Epochs; allowed are"),
        ("epochs: int = 3.5  # a float", "must be a whole number"),
        ("lr: float = 1  # an int", "has a default that is not of type float"),
        ("flip: bool = 1  # an int", "must be true or false"),
        ("epochs: int = True  # a bool", "must be a whole number"),
        ("seeds: list[int] = (0, 1)  # a tuple", r"has a default that is not of type list\[int\]"),
        ("epochs: int = 2 * 3  # computed", "is computed"),
        ("epochs: int = other  # derived", "is computed"),
        ("epochs: int = 3", "is not of the form"),
        ("epochs: int = 3  #", "is not of the form"),
        ("epochs: int = 3  # once\nepochs: int = 4  # twice", "line 2.*a second time"),
    ],
)
def test_line_of_another_form_is_refused(line, reason):
    with pytest.raises(ValueError, match=reason):
        parse_cell(line)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("int", "7", 7),
        ("int", "007", 7),
        ("int", "-7", -7),
        ("float", "1e-3", 1e-3),
        ("float", "2", 2.0),
        ("float", 2, 2.0),
        ("bool", "true", True),
        ("bool", "false", False),
        ("bool", True, True),
        ("str", "a,b", "a,b"),
        ("str", "3", "3"),
        ("str", "", ""),
        ("list[int]", "0,1,2", [0, 1, 2]),
        ("list[int]", "[0, 1, 2]", [0, 1, 2]),
        ("list[int]", "0", [0]),
        ("list[int]", "0,", [0]),
        ("list[int]", "[]", []),
        ("list[int]", "", []),
        ("list[float]", ["1e-3", 1], [1e-3, 1.0]),
        ("list[bool]", "true,false", [True, False]),
        ("list[str]", "none,ppcr", ["none", "ppcr"]),
        ("list[str]", "[none, ppcr]", ["none", "ppcr"]),
        ("list[str]", '["a,b", "c"]', ["a,b", "c"]),
        ("list[str]", "[1, 2]", ["1", "2"]),
        ("tuple[int, ...]", "1,2,4", (1, 2, 4)),
        ("tuple[int, ...]", "(1, 2, 4)", (1, 2, 4)),
        ("tuple[int, ...]", [1, 2, 4], (1, 2, 4)),
    ],
)
def test_value_gets_the_declared_type(kind, given, value):
    converted = convert(given, kind)
    assert converted == value
    assert type(converted) is type(value)
    if isinstance(value, list | tuple):
        assert [type(item) for item in converted] == [type(item) for item in value]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("int", "1.5"),
        ("int", "true"),
        ("int", "1e3"),
        ("int", ""),
        ("int", True),
        ("int", 2.0),
        ("int", None),
        ("float", "fast"),
        ("float", "nan"),
        ("float", math.inf),
        ("float", False),
        ("bool", "1"),
        ("bool", "yes"),
        ("bool", 1),
        ("str", 3),
        ("str", False),
        ("list[int]", "0,1.5"),
        ("list[int]", "[[0]]"),
        ("list[int]", "0,,1"),
        ("list[int]", 3),
        ("list[int]", [True]),
        ("list[str]", [3]),
        ("tuple[int, ...]", {"1": 2}),
    ],
)
def test_value_of_another_type_is_refused(kind, given):
    with pytest.raises(ValueError, match=r"must be|has the item"):
        convert(given, kind)


VALUES = {
    "int": st.integers(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "str": st.text(),
}


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])))
def test_text_of_a_value_becomes_the_value(kind_and_value):
    kind, value = kind_and_value
    assert convert(str(value), kind) == value


@given(
    st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), st.lists(VALUES[k])))
)
def test_text_of_a_list_becomes_the_list(kind_and_values):
    kind, values = kind_and_values
    assert convert(str(values), f"list[{kind}]") == values
    assert convert(str(tuple(values)), f"tuple[{kind}, ...]") == tuple(values)


def test_refusal_lists_the_parameters():
    parameters = parse_cell(CELL)
    with pytest.raises(ValueError, match="notebook 04: there is no parameter 'epoch'") as refused:
        choose(parameters, {"epoch": "3"}, "notebook 04")
    assert "did you mean 'epochs'?" in str(refused.value)
    for parameter in parameters.values():
        assert f"  {parameter}" in str(refused.value).splitlines()
    with pytest.raises(ValueError, match=r"epochs='1.5' must be a whole number; its parameters"):
        choose(parameters, {"epochs": "1.5"}, "notebook 04")


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "notebooks" / "04_training.ipynb"
    (path.parent / "paper").mkdir(parents=True)
    cell = {
        "cell_type": "code",
        "metadata": {"tags": ["parameters"]},
        "source": CELL.splitlines(keepends=True),
    }
    path.write_text(json.dumps({"cells": [cell], "metadata": {}}))
    return Notebook(path, tmp_path)


def test_cell_is_found_by_its_tag(notebook):
    assert list(read_parameters(notebook)) == ["dataset", "epochs", "lr", "flip", "seeds", "scales"]
    for cells in ([], notebook.read()["cells"] * 2):
        notebook.path.write_text(json.dumps({"cells": cells, "metadata": {}}))
        with pytest.raises(ValueError, match=f"has {len(cells)} code cells tagged"):
            read_parameters(notebook)
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["a: int = = 3"]}
    notebook.path.write_text(json.dumps({"cells": [cell], "metadata": {}}))
    with pytest.raises(ValueError, match="notebook 04, parameters cell: invalid syntax"):
        read_parameters(notebook)
    notebook.path.write_text("no JSON")
    with pytest.raises(ValueError, match="is not a notebook"):
        read_parameters(notebook)


def test_paper_settings_are_checked_and_replaced(notebook):
    with pytest.raises(
        ValueError, match=r"has no paper settings: there is no notebooks/paper/04\.yaml"
    ):
        settings(notebook, {}, paper=True)
    notebook.paper_settings.write_text("epochs: 150\nlr: 1e-4\nscales: [1, 2, 4]\n")
    assert settings(notebook, {}) == {}
    assert settings(notebook, {}, paper=True) == {"epochs": 150, "lr": 1e-4, "scales": (1, 2, 4)}
    given = {"epochs": "2", "dataset": "breastmnist"}
    assert settings(notebook, given, paper=True) == {
        "epochs": 2,
        "lr": 1e-4,
        "scales": (1, 2, 4),
        "dataset": "breastmnist",
    }
    for text, reason in (
        ("epoch: 3", "no parameter 'epoch'"),
        ("- 3", "has no YAML lines"),
        ("a: [", "has no YAML lines"),
    ):
        notebook.paper_settings.write_text(text)
        with pytest.raises(ValueError, match=reason):
            settings(notebook, {}, paper=True)


def test_reading_parameters_imports_no_torch():
    code = "import sys, medattn.runner as r\nfor n in r.all_notebooks(): r.settings(n, {})\n"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
