"""Every claim has the paper's words, evidence that exists, and a verdict that the numbers bear."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import yaml
from papers_text import GLOBAL_TEXT, PPCR_TEXT, with_text

from medattn.datasets import DATASETS
from medattn.evaluation.statistics import Paired
from medattn.papers import measures
from medattn.papers.measures import (
    CellCount,
    Measured,
    PrintedDifference,
    PrintedLead,
    PrintedTTest,
    RunsDifference,
    one_row,
)
from medattn.papers.published import published
from medattn.papers.results import result_runs, right_of_run
from medattn.papers.scorecard import (
    KINDS,
    PAPERS,
    VERDICTS,
    claims,
    disputed,
    markdown,
    measure_claim,
    notebook_links,
    read_claim,
)
from medattn.papers.tables import table_recipes
from medattn.paths import ROOT, papers_folder
from medattn.runner.notebook import all_notebooks

CLAIMS = claims()
TEXTS = {"ppcr": PPCR_TEXT, "global": GLOBAL_TEXT}
by_id = {claim.id: claim for claim in CLAIMS}
BREAST = "dataset == 'breastmnist' and network == 'resnet18' and epochs == 30"
every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=list(by_id))


def plain(text):
    return re.sub(r"\s+", " ", text.replace("*", "")).strip()


@pytest.fixture(scope="module")
def texts():
    return {paper: plain(path.read_text()) for paper, path in TEXTS.items()}


def a_measurement(low, high, seeds=3, claimed=1.0, unlike="", unit="points"):
    paired = Paired((low + high) / 2, low, high, 0.5, seeds)
    return Measured("a over b", "its data", unit, paired, claimed, unlike)


@cache
def headings(number):
    (notebook,) = [n for n in all_notebooks(ROOT) if n.name.startswith(number)]
    cells = [cell for cell in notebook.read()["cells"] if cell["cell_type"] == "markdown"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return {line.lstrip("# ") for line in lines if line.startswith("#")}


class UniqueKeys(yaml.SafeLoader):
    """Refuses a repeated key, of which YAML would silently take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        line = node.start_mark.line + 1
        assert len(keys) == len(set(keys)), f"line {line}: repeated keys in {keys}"
        return super().construct_mapping(node, deep)


def test_claims_file_repeats_no_key():
    assert yaml.load((papers_folder() / "claims.yaml").read_text(), UniqueKeys)["claims"]
    with pytest.raises(AssertionError, match="repeated keys"):
        yaml.load("{a: 1, a: 2}", UniqueKeys)


def test_claims_are_unique_and_of_all_kinds():
    assert len(by_id) == len(CLAIMS)
    assert {(claim.paper, claim.kind) for claim in CLAIMS} == {
        (paper, kind) for paper in PAPERS for kind in KINDS
    }


def test_tables_figures_and_equations_have_rows():
    places = {
        paper: " ".join(claim.where for claim in CLAIMS if claim.paper == paper) for paper in PAPERS
    }
    wanted = {
        "ppcr": [f"Table {k}" for k in range(1, 7)] + [f"Fig. {k}" for k in range(1, 5)],
        "global": ["Table 1", "Table 2", "Eq. (1)", "Eq. (2)", "Algorithm 1"]
        + [f"Fig. {k}" for k in range(1, 8)],
    }
    for paper, names in wanted.items():
        assert not [name for name in names if name not in places[paper]]
    assert (
        all(f"Eqs. ({a})-({b})" in places["ppcr"] for a, b in ((1, 2), (3, 4), (5, 7)))
        and "Eq. (8)" in places["ppcr"]
    )


@with_text
@every_claim
def test_quote_is_the_papers(claim, texts):
    assert plain(claim.quote) in texts[claim.paper]


@every_claim
def test_verdict_is_known_and_evidence_exists(claim):
    assert claim.verdict in VERDICTS and claim.why and claim.evidence
    for place in claim.evidence:
        number, _, heading = place.partition(" ")
        assert heading in headings(number), place


@every_claim
def test_numbers_bear_the_verdict(claim):
    """If new runs decide an open claim this fails: type its verdict and its reason anew."""
    assert disputed(claim, measure_claim(claim)) == ""


def recipes_of(claim):
    options = dict([claim.sweep["change"].split("=")]) if "change" in claim.sweep else {}
    return table_recipes(claim.sweep["table"], [claim.sweep["dataset"]], seeds=3, **options)


@pytest.mark.parametrize(
    "claim", [c for c in CLAIMS if c.sweep], ids=[c.id for c in CLAIMS if c.sweep]
)
def test_command_trains_what_is_compared(claim, monkeypatch):
    """With the runs of its sweep alone, a claim on the paper's data can be measured."""
    recipes = recipes_of(claim)
    assert recipes and claim.sweep["dataset"].partition(":")[0] in DATASETS
    if not isinstance(claim.measure, RunsDifference) or claim.measure.unlike:
        return
    runs = pd.DataFrame([{"run": recipe.run_id, **recipe.to_dict()} for recipe in recipes])
    runs = runs.map(lambda cell: json.dumps(cell) if isinstance(cell, dict) else cell)
    monkeypatch.setattr(measures, "result_runs", lambda: runs)
    monkeypatch.setattr(measures, "right_of_run", lambda run: np.arange(50) % len(run) > 2)
    assert measure_claim(claim).n_seeds == 3


def test_verdict_follows_the_interval():
    assert a_measurement(0.1, 3).verdict() == "replicated"
    assert a_measurement(-1, 3).verdict() == "undecided"
    assert (
        a_measurement(-1, 0.9).verdict() == "not replicated"
    )  # no gain is possible, the printed one is not
    assert a_measurement(-3, -1).verdict() == "not replicated"
    assert a_measurement(-1, 0.5, claimed=None).verdict() == "undecided"
    assert a_measurement(0, 0, claimed=None).verdict() == "not replicated"  # exactly 0: a finding
    assert a_measurement(-0.4, 0.4, claimed=None).verdict() == "not replicated"  # below MARGIN
    assert a_measurement(0, 0, claimed=None, unit="").verdict() == "undecided"
    assert a_measurement(-3, -1, claimed=None).verdict() == "not replicated"
    assert a_measurement(0.1, 3, seeds=2).verdict() == "undecided"
    assert a_measurement(0.1, 3, seeds=2).verdict(least_seeds=2) == "replicated"
    assert a_measurement(0.1, 3, unlike="another data set").verdict() == "undecided"


def test_denied_verdict_is_disputed():
    claim = replace(by_id["p-t2-breast-se"], verdict="replicated")
    assert "'replicated', but a over b: -2.0 points (95 % -3.0 to -1.0)" in disputed(
        claim, a_measurement(-3, -1)
    )
    assert "without results" in disputed(claim, None)
    assert disputed(claim, a_measurement(0.1, 3)) == ""
    assert disputed(replace(claim, verdict="not testable here"), a_measurement(0.1, 3))
    assert disputed(replace(claim, verdict="contradicted"), a_measurement(0.1, 3)) == ""


def test_measure_is_the_difference_of_the_runs():
    runs = result_runs().query(f"{BREAST} and attention_options == '{{}}'")
    correct = runs.pivot(index="seed", columns="attention", values="accuracy")[
        ["se", "ppcr"]
    ].dropna()
    found = measure_claim(by_id["p-t2-breast-se"])
    assert found.n_seeds == len(correct)
    assert found.paired.difference == pytest.approx(
        100 * (correct["ppcr"] - correct["se"]).mean(), abs=1e-3
    )
    assert found.paired.low < found.paired.difference < found.paired.high
    assert found.claimed == 1.94
    first = runs.iloc[0]
    assert right_of_run(first["run"]).sum() == first["n_correct"]


def test_options_of_a_method_are_matched():
    scales = measure_claim(by_id["p-con-boost"])
    runs = result_runs().query(f"{BREAST} and attention == 'ppcr'")
    options = runs["attention_options"]
    one, three = runs[options == json.dumps({"scales": [1]})], runs[options == "{}"]
    seeds = sorted(set(one["seed"]) & set(three["seed"]))
    accuracy = [rows.set_index("seed").loc[seeds, "accuracy"].mean() for rows in (one, three)]
    assert scales.paired.difference == pytest.approx(100 * (accuracy[1] - accuracy[0]), abs=1e-3)


def test_printed_difference_is_the_tables():
    where = {"dataset": "BreastMNIST", "network": "ResNet18"}
    rows = {"first": {"method": "none"}, "second": {"method": "PPCR"}}
    assert PrintedDifference(table="ppcr_table2", where=where, **rows)() == 1.30
    with pytest.raises(ValueError, match="matches 2 rows, not one"):
        PrintedDifference(table="ppcr_table2", where={"dataset": "BreastMNIST"}, **rows)()
    with pytest.raises(ValueError, match="matches 0 rows"):
        one_row(published("ppcr_table3"), {"n_scales": 5})


def test_arithmetic_returns_words_and_outcome():
    where = {"dataset": "OCTMNIST", "network": "ResNet50"}
    lead = PrintedLead(
        table="ppcr_table2", where=where, leader="PPCR", over=["NL"], column="accuracy", at_least=16
    )
    assert lead() == ("accuracy, PPCR over NL +16.10 (OCTMNIST, ResNet50)", True)
    assert replace(lead, at_least=16.2)()[1] is False
    test = PrintedTTest(table="global_table2", first="global", second="none", below=0.01)
    assert test()[0].startswith("3 of 16")


def test_wrong_outcome_of_arithmetic_is_disputed():
    claim = by_id["p-t2-oct-nl"]
    wrong = replace(claim.arithmetic[0], holds=False)
    message = disputed(replace(claim, arithmetic=[wrong]), None)
    assert (
        message
        == "p-t2-oct-nl: holds=False, but accuracy, PPCR over NL +16.10 (OCTMNIST, ResNet50)"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quotes": "a"}, "claim p-own: .* unexpected keyword argument 'quotes'"),
        ({"measure": {"table": "x"}}, "claim p-own: kind=None is not one of PrintedLead"),
        ({"measure": {"kind": "Cells", "table": "x"}}, "claim p-own: kind='Cells' is not one of"),
        ({"measure": {"kind": "CellCount"}}, "claim p-own: CellCount.* missing .* 'table'"),
        (
            {"arithmetic": [{"kind": "CellCount", "table": "x", "fails": True}]},
            "claim p-own: CellCount.* unexpected keyword argument 'fails'",
        ),
        (
            {"measure": {"kind": "RunsDifference", "claimed": {"tables": "x"}}},
            "claim p-own: PrintedDifference.* unexpected keyword argument 'tables'",
        ),
    ],
)
def test_unknown_and_missing_keys_are_refused(changes, message):
    names = ("paper", "where", "kind", "quote", "evidence", "verdict", "why")
    with pytest.raises(ValueError, match=message):
        read_claim({"id": "p-own", **dict.fromkeys(names, "x"), **changes})


def test_cost_cells_are_counted():
    texts = [CellCount(table=f"ppcr_table{k}")() for k in (1, 2, 6)]
    assert all(
        by_id[f"p-t{k}-cost"].measure == CellCount(table=f"ppcr_table{k}") for k in (1, 2, 6)
    )
    counts = np.array([[int(n) for n in re.findall(r"(\d+) of 16", text)] for text in texts])
    assert counts.sum(0).tolist() == [44, 31]


@every_claim
def test_row_of_the_table_has_four_cells(claim):
    line = markdown([claim], {claim.id: measure_claim(claim)}).splitlines()[-1]
    assert len(re.split(r"(?<!\\)\|", line)) == 6
    assert claim.verdict in line and all(link in line for link in notebook_links(claim))


def test_repeated_quote_is_shown_once():
    one = by_id["p-t2-retina"]
    three = [one, replace(one, id="p-own"), by_id["p-abs-light"]]
    first, second, third = markdown(three, {claim.id: None for claim in three}).splitlines()[2:]
    assert f"“{one.quote}” (section 4.2, Table 2) `p-t2-retina`" in first
    assert second.startswith("| *the same words* `p-own`") and one.quote not in second
    assert "“a practical yet lightweight architectural unit” (Abstract)" in third
