"""How a lesson reads: its first screen, its length, its sentences, captions and numbers."""

import re
from pathlib import Path

import pytest
import yaml

from medattn.runner import all_notebooks
from medattn.runner.notebook import tags
from medattn.runner.refreshing import FOLDED, IGNORED, ONE_RUN

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [n for n in all_notebooks(ROOT) if "/" not in n.name]
BANDS = yaml.safe_load(Path(__file__).with_name("bands.yaml").read_text(encoding="utf-8"))

REWRITTEN = [n for n in LESSONS if "**In short.**" in "".join(n.read()["cells"][0]["source"])]
every_lesson = pytest.mark.parametrize("lesson", REWRITTEN, ids=lambda n: n.name)


def cells(lesson, kind=None):
    return [c for c in lesson.read()["cells"] if kind is None or c["cell_type"] == kind]


def text(cell):
    return "".join(cell["source"])


def folded(cell):
    return bool(FOLDED & set(tags(cell)))


def pictures(cell):
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [kinds for kinds in data if "image/png" in kinds]


def captions(cell):
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [kinds for kinds in data if "<figcaption>" in "".join(kinds.get("text/html", []))]


def section(lesson, heading):
    """Return the text of the section under a heading of the second level."""
    whole = "\n\n".join(text(cell) for cell in cells(lesson, "markdown"))
    found = re.search(rf"^## {heading}\s*$(.*?)(?=^## |\Z)", whole, re.MULTILINE | re.DOTALL)
    assert found, f"{lesson.name} has no section '## {heading}'"
    return found[1].strip()


def prose(lesson):
    """Return the sentences of a lesson, without tables, code, formulas, headings, references."""
    whole = "\n\n".join(text(cell) for cell in cells(lesson, "markdown"))
    whole = re.split(r"^## References", whole, flags=re.MULTILINE)[0]
    whole = re.sub(r"```.*?```|\$\$.*?\$\$", "", whole, flags=re.DOTALL)
    whole = re.sub(r"\$[^$]+\$|`[^`]+`", "formula", whole)
    whole = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", whole)  # links and pictures: their words
    whole = re.sub(r"[\"“][^\"”\n]+[\"”]", "quotation", whole)  # the papers' words, not ours
    kept = [line for line in whole.splitlines() if not re.match(r"\s*(\||#)", line)]
    blocks = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s", "\n".join(kept))
    sentences = [s for block in blocks for s in re.split(r"(?<=[.?!])[)*_\"]*\s+", block)]
    return [s for s in sentences if re.search(r"\w", s)]


def n_words(words):
    return len(re.findall(r"\w[\w'’.,%-]*", words))


@every_lesson
def test_first_screen(lesson):
    first = text(cells(lesson)[0])
    question = re.search(r"^\*\*Question\.\*\* (.+)$", first, re.MULTILINE)
    assert question and question[1].count("?") == 1, "it asks one question"
    answer = re.search(r"^\*\*In short\.\*\* (.+)$", first, re.MULTILINE)
    assert answer and n_words(answer[1]) <= 70, "'**In short.**' answers in at most 70 words"
    for cell in cells(lesson)[1:]:
        if pictures(cell):
            break
        assert folded(cell), f"{cell['id']} stands before the first figure and is not folded"


@every_lesson
def test_code_is_short_and_technical_code_is_folded(lesson):
    for cell in cells(lesson, "code"):
        source = text(cell)
        assert folded(cell) or len(source.splitlines()) <= 12, f"{cell['id']}: over 12 lines"
        assert folded(cell) or not re.match(r"import |from ", source), f"{cell['id']}: imports"
        for word in ("within(", "assert ", "finding("):
            assert word not in source, f"{cell['id']}: a check belongs into bands.yaml"


@every_lesson
def test_prose_is_short(lesson):
    sentences = prose(lesson)
    assert sum(map(n_words, sentences)) <= 1500
    for sentence in sentences:
        assert n_words(sentence) <= 25, f"{n_words(sentence)} words: {sentence}"


@every_lesson
def test_summary_and_questions(lesson):
    assert n_words(section(lesson, "Summary")) <= 120
    whole = "\n".join(text(cell) for cell in cells(lesson, "markdown"))
    assert len(re.findall(r"\*\*Predict first\.\*\*", whole)) >= 2
    assert re.search(r"★+ · \d+ min", section(lesson, "Exercises")), "(★★ · 20 min) at each"
    assert re.search(r"\]\(https://", section(lesson, "References"))


@every_lesson
def test_pictures_have_captions(lesson):
    for cell in cells(lesson, "code"):
        assert len(pictures(cell)) <= len(captions(cell)), f"{cell['id']}: show(figure, caption)"


@every_lesson
def test_numbers_of_one_run_are_shown_and_held(lesson):
    shown = [cell for cell in cells(lesson, "code") if ONE_RUN in tags(cell)]
    for cell in shown:
        assert cell["outputs"] and IGNORED in tags(cell), f"{cell['id']} shows nothing"
    assert not shown or BANDS.get(lesson.full_name), f"bands.yaml has nothing on {lesson.name}"


def test_bands_are_of_notebooks():
    assert set(BANDS) <= {notebook.full_name for notebook in all_notebooks(ROOT)}
    for bands in BANDS.values():
        assert all(low < high for low, high in bands.values())
