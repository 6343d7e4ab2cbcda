"""The committed notebooks: what readers and nbval rely on, for each of them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from medattn.runner import all_notebooks, read_parameters
from medattn.runner.parameters import choose
from medattn.runner.refreshing import IGNORED, SIZE_LIMIT, code_hash, normalise

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = all_notebooks(ROOT)
FOLDER_LIMIT = 8_000_000  # bytes of all committed notebooks together
# papermill or nbval stumbles over these
FORBIDDEN_TAGS = {"nbval-skip", "raises-exception", "nbval-raises-exception"}
PERSONAL = re.compile(r"/home/|/root\b|/Users/|[A-Z]:\\Users|" + re.escape(f"{ROOT}/"))

every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[n.name for n in NOTEBOOKS])


def code_cells(notebook):
    return [cell for cell in notebook.read()["cells"] if cell["cell_type"] == "code"]


def tags(cell):
    return cell["metadata"].get("tags", [])


def first_cell(notebook):
    cell = notebook.read()["cells"][0]
    assert cell["cell_type"] == "markdown"
    return "".join(cell["source"])


def output_text(cell):
    """Return all that a cell shows but pictures, whose base64 may spell anything."""
    shown = []
    for output in cell["outputs"]:
        data = {
            kind: text
            for kind, text in output.get("data", {}).items()
            if not kind.startswith("image/")
        }
        shown.append(json.dumps([output.get("text"), data], ensure_ascii=False))
    return "\n".join(shown)


@every_notebook
def test_file_is_as_refresh_writes_it(notebook):
    content, n = notebook.read(), len(code_cells(notebook))
    assert content["metadata"]["medattn"]["code_hash"] == code_hash(content), (
        "its code changed: make refresh"
    )
    assert [cell["execution_count"] for cell in code_cells(notebook)] == [*range(1, n + 1)]
    assert all(cell["id"] == f"cell-{k:02d}" for k, cell in enumerate(content["cells"]))
    assert normalise(content) == content, "make refresh"


@every_notebook
def test_parameters_are_plain(notebook):
    assert read_parameters(notebook)


@every_notebook
def test_outputs_can_be_compared_anywhere(notebook):
    for cell in code_cells(notebook):
        place = f"{notebook.name} {cell['id']}"
        assert not PERSONAL.search(output_text(cell)), f"{place} shows a folder of one machine"
        for output in cell["outputs"]:
            assert output["output_type"] != "error", f"{place} ended with an error"
            kinds = output.get("data", {})
            assert "image/svg+xml" not in kinds, f"{place} shows SVG, which nbval compares"
            assert not any("widget" in kind for kind in kinds), (
                f"{place} keeps the state of a widget"
            )
    assert "widgets" not in notebook.read()["metadata"]


@every_notebook
def test_last_cell_has_a_compared_result(notebook):
    last = code_cells(notebook)[-1]
    assert last["outputs"] and IGNORED not in tags(last)


@every_notebook
def test_size(notebook):
    assert notebook.path.stat().st_size <= SIZE_LIMIT


def test_size_of_all():
    assert sum(notebook.path.stat().st_size for notebook in NOTEBOOKS) <= FOLDER_LIMIT


@every_notebook
def test_cells_are_short_and_comparable(notebook):
    for cell in code_cells(notebook):
        place, source = f"{notebook.name} {cell['id']}", "".join(cell["source"])
        longest = 40 if "hide-input" in tags(cell) else 25
        assert len(source.splitlines()) <= longest, f"{place} is longer than {longest} lines"
        assert not re.search(r";\s*$", source, re.MULTILINE), f"{place} has a trailing ;"
        assert "NBVAL" not in source, f"{place} marks by comment, not by tag"
        assert not FORBIDDEN_TAGS & set(tags(cell)), f"{place} has a tag that cannot be run"
        if re.search(
            r"\binteract(ive|_manual)?\(|@interact|^(explore_\w+|watch)\(", source, re.MULTILINE
        ):
            assert IGNORED in tags(cell), f"{place} has a control; tag it {IGNORED}"


@every_notebook
def test_first_cell_has_its_lines(notebook):
    text, number = first_cell(notebook), notebook.path.stem[:2]
    assert re.match(rf"# {number} · \S", text), f"the title is not '# {number} · ...'"
    texts = ["".join(c["source"]) for c in notebook.read()["cells"] if c["cell_type"] == "markdown"]
    text = "\n".join(texts[:2])  # the second one stands below the first figure
    if notebook.path.parent.name != "solutions":
        for label in ("Question", "Paper", "Before this", "Time"):
            line = rf"^\*\*{label}\.\*\* +\S"
            assert re.search(line, text, re.MULTILINE), f"there is no line '**{label}.** ...'"
    assert re.search(r"\[[^\]]+\]\([^)]+\)", text), "there are no links to other notebooks"


@every_notebook
def test_links_lead_somewhere(notebook):
    for cell in notebook.read()["cells"]:
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", "".join(cell["source"])):
                if "://" not in target and not target.startswith(("mailto:", "attachment:")):
                    assert (notebook.path.parent / target).exists(), (
                        f"{notebook.name} {cell['id']}: {target}"
                    )


@every_notebook
def test_paper_settings_name_parameters(notebook):
    if notebook.paper_settings.exists():
        wanted = yaml.safe_load(notebook.paper_settings.read_text(encoding="utf-8"))
        assert choose(read_parameters(notebook), wanted, notebook.paper_settings.name)


def test_settings_and_solutions_have_a_notebook():
    names = {notebook.name for notebook in NOTEBOOKS}
    assert {path.stem for path in (ROOT / "notebooks" / "paper").glob("*.yaml")} <= names
    assert {name.removeprefix("solutions/") for name in names} <= names


@pytest.mark.parametrize(
    "notebook", [n for n in NOTEBOOKS if "/" not in n.name], ids=lambda n: n.name
)
def test_exercises_have_answers(notebook):
    text = "\n".join("".join(cell["source"]) for cell in notebook.read()["cells"][-3:])
    assert "Exercises" in text and f"solutions/{notebook.path.name}" in text
    assert (notebook.path.parent / "solutions" / notebook.path.name).is_file()


def test_all_notebooks_are_found():
    everything = {
        p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts
    }
    assert everything == {notebook.path for notebook in NOTEBOOKS}
