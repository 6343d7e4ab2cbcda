"""Every claim has the paper's own words, evidence that is there, and a verdict that the recorded numbers bear."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import yaml
from papers_text import GLOBAL_TEXT, PPCR_TEXT, with_text

from medattn import scorecard
from medattn.datasets import DATASETS
from medattn.evaluation.statistics import Paired
from medattn.figures.scorecard import claimed_and_measured
from medattn.notebooks.folder import all_notebooks
from medattn.paths import ROOT, papers_folder
from medattn.published import published
from medattn.scorecard import (
    KINDS,
    PAPERS,
    VERDICTS,
    Measured,
    claims,
    counted,
    disputed,
    markdown,
    measured,
    notebook_links,
    one_row,
    printed_difference,
    summed,
)
from medattn.training.recorded import recorded_runs, right_answers
from medattn.training.tables import table_recipes

CLAIMS = claims()
TEXTS = {"ppcr": PPCR_TEXT, "global": GLOBAL_TEXT}
by_id = {claim.id: claim for claim in CLAIMS}
every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=list(by_id))


def plain(text):
    return re.sub(r"\s+", " ", text.replace("*", "")).strip()


@pytest.fixture(scope="module")
def texts():
    return {paper: plain(path.read_text()) for paper, path in TEXTS.items()}


def a_measurement(low, high, seeds=3, claimed=1.0, unlike=""):
    paired = Paired((low + high) / 2, low, high, 0.5, seeds)
    return Measured("a over b", "its data", "points", seeds, paired, claimed, unlike)


@cache
def headings(number):
    (notebook,) = [n for n in all_notebooks(ROOT) if n.name.startswith(number)]
    cells = [cell for cell in notebook.read()["cells"] if cell["cell_type"] == "markdown"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return {line.lstrip("# ") for line in lines if line.startswith("#")}


class OnceEach(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would take the last without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}: twice the same of {keys}"
        return super().construct_mapping(node, deep)


def test_no_claim_says_anything_twice():
    assert yaml.load((papers_folder() / "claims.yaml").read_text(), OnceEach)["claims"]
    with pytest.raises(AssertionError, match="twice the same"):
        yaml.load("{a: 1, a: 2}", OnceEach)


def test_no_claim_stands_twice_and_every_kind_occurs_in_both_papers():
    assert len(by_id) == len(CLAIMS)
    assert {(claim.paper, claim.kind) for claim in CLAIMS} == {(paper, kind) for paper in PAPERS for kind in KINDS}


def test_every_table_figure_and_equation_has_a_row():
    places = {paper: " ".join(claim.where for claim in CLAIMS if claim.paper == paper) for paper in PAPERS}
    wanted = {
        "ppcr": [f"Table {k}" for k in range(1, 7)] + [f"Fig. {k}" for k in range(1, 5)],
        "global": ["Table 1", "Table 2", "Eq. (1)", "Eq. (2)", "Algorithm 1"] + [f"Fig. {k}" for k in range(1, 8)],
    }
    for paper, names in wanted.items():
        assert not [name for name in names if name not in places[paper]]
    assert (
        all(f"Eqs. ({a})-({b})" in places["ppcr"] for a, b in ((1, 2), (3, 4), (5, 7))) and "Eq. (8)" in places["ppcr"]
    )


@with_text
@every_claim
def test_the_quote_is_the_papers(claim, texts):
    assert plain(claim.quote) in texts[claim.paper]


@every_claim
def test_a_verdict_is_known_and_its_evidence_is_there(claim):
    assert claim.verdict in VERDICTS and claim.why and claim.evidence
    for place in claim.evidence:
        number, _, heading = place.partition(" ")
        assert heading in headings(number), place


@every_claim
def test_the_recorded_runs_bear_the_verdict(claim):
    """It fails when new runs decide what was open: read the numbers, and type the verdict and its reason anew."""
    assert disputed(claim, measured(claim)) == ""


@every_claim
def test_the_arithmetic_comes_out_as_is_said(claim):
    for check in claim.sums:
        text, holds = summed(check)
        assert holds is not check.get("fails", False), text


def recipes_of(claim):
    options = dict([claim.fill["change"].split("=")]) if "change" in claim.fill else {}
    return table_recipes(claim.fill["sweep"], [claim.fill["dataset"]], seeds=3, **options)


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.fill], ids=[c.id for c in CLAIMS if c.fill])
def test_the_command_trains_what_the_claim_compares(claim, monkeypatch):
    """Where the runs of its sweep are recorded, and no others, a claim of the paper's data is measured."""
    recipes = recipes_of(claim)
    assert recipes and claim.fill["dataset"].partition(":")[0] in DATASETS
    if "runs" not in claim.measure or "unlike" in claim.measure:
        return
    runs = pd.DataFrame([{"run": recipe.run_id, **recipe.to_dict()} for recipe in recipes])
    runs = runs.map(lambda cell: json.dumps(cell) if isinstance(cell, dict) else cell)
    monkeypatch.setattr(scorecard, "recorded_runs", lambda: runs)
    monkeypatch.setattr(scorecard, "right_answers", lambda run: np.arange(50) % len(run) > 2)
    assert scorecard.measured(claim).n_seeds == 3


def test_the_rule():
    assert a_measurement(0.1, 3).verdict() == "replicated"
    assert a_measurement(-1, 3).verdict() == "undecided"
    assert a_measurement(-1, 0.9).verdict() == "not replicated"  # no gain is possible, the printed one is not
    assert a_measurement(-3, -1).verdict() == "not replicated"
    assert a_measurement(-1, 0.5, claimed=None).verdict() == "undecided"
    assert a_measurement(-3, -1, claimed=None).verdict() == "not replicated"
    assert a_measurement(0.1, 3, seeds=2).verdict() == "undecided"
    assert a_measurement(0.1, 3, seeds=2).verdict(least_seeds=2) == "replicated"
    assert a_measurement(0.1, 3, unlike="another data set").verdict() == "undecided"


def test_a_verdict_that_the_numbers_deny_is_disputed():
    claim = replace(by_id["p-t2-breast-se"], verdict="replicated")
    assert "'replicated', but a over b: -2.0 points (95 % -3.0 to -1.0)" in disputed(claim, a_measurement(-3, -1))
    assert "without recorded runs" in disputed(claim, None)
    assert disputed(claim, a_measurement(0.1, 3)) == ""
    assert disputed(replace(claim, verdict="not testable here"), a_measurement(0.1, 3))
    assert disputed(replace(claim, verdict="contradicted"), a_measurement(0.1, 3)) == ""


def test_a_measure_is_the_difference_of_the_recorded_runs():
    runs = recorded_runs().query(
        "dataset == 'breastmnist' and network == 'resnet18' and epochs == 30 and attention_options == '{}'"
    )
    correct = runs.pivot(index="seed", columns="attention", values="accuracy")[["se", "ppcr"]].dropna()
    found = measured(by_id["p-t2-breast-se"])
    assert found.n_seeds == len(correct)
    assert found.paired.difference == pytest.approx(100 * (correct["ppcr"] - correct["se"]).mean(), abs=1e-3)
    assert found.paired.low < found.paired.difference < found.paired.high
    assert found.claimed == 1.94
    first = runs.iloc[0]
    assert right_answers(first["run"]).sum() == first["n_correct"]


def test_the_options_of_an_arm_are_matched_and_others_left_out():
    scales = measured(by_id["p-con-boost"])
    runs = recorded_runs().query(
        "dataset == 'breastmnist' and network == 'resnet18' and epochs == 30 and attention == 'ppcr'"
    )
    options = runs["attention_options"]
    one, three = runs[options == json.dumps({"scales": [1]})], runs[options == "{}"]
    seeds = sorted(set(one["seed"]) & set(three["seed"]))
    accuracy = [rows.set_index("seed").loc[seeds, "accuracy"].mean() for rows in (one, three)]
    assert scales.paired.difference == pytest.approx(100 * (accuracy[1] - accuracy[0]), abs=1e-3)


def test_printed_differences_are_the_tables():
    table = {"table": "ppcr_table2", "where": {"dataset": "BreastMNIST", "network": "ResNet18"}}
    assert printed_difference({**table, "first": {"method": "none"}, "second": {"method": "PPCR"}}) == 1.30
    with pytest.raises(ValueError, match="fits 2 rows, not one"):
        printed_difference({"table": "ppcr_table2", "where": {"dataset": "BreastMNIST"}, "first": {"method": "SE"},
                            "second": {"method": "SE"}})  # fmt: skip
    with pytest.raises(ValueError, match="fits 0 rows"):
        one_row(published("ppcr_table3"), {"n_scales": 5})


def test_arithmetic_says_what_it_found():
    lead = {"table": "ppcr_table2", "dataset": "OCTMNIST", "networks": ["ResNet50"], "lead": "PPCR", "over": ["NL"],
            "column": "accuracy", "at_least": 16}  # fmt: skip
    assert summed(lead) == ("accuracy, PPCR over NL +16.10 (OCTMNIST, ResNet50)", True)
    assert summed({**lead, "at_least": 16.2})[1] is False
    assert summed({"t_test": ["global", "none"], "table": "global_table2", "below": 0.01})[0].startswith("3 of 16")


def test_cost_cells_are_counted_from_the_listed_differences():
    texts = [counted(by_id[f"p-t{k}-cost"]) for k in (1, 2, 6)]
    params, gflops = (sum(int(re.findall(r"(\d+) of 16", text)[k]) for text in texts) for k in (0, 1))
    assert (params, gflops) == (44, 31)


@every_claim
def test_a_row_of_the_table_has_its_four_cells(claim):
    line = markdown([claim], {claim.id: measured(claim)}).splitlines()[-1]
    assert len(re.split(r"(?<!\\)\|", line)) == 6
    assert claim.verdict in line and all(link in line for link in notebook_links(claim))


def test_a_sentence_of_several_rows_is_quoted_once():
    one = by_id["p-t2-retina"]
    three = [one, replace(one, id="p-own"), by_id["p-abs-light"]]
    first, second, third = markdown(three, {claim.id: None for claim in three}).splitlines()[2:]
    assert f"“{one.quote}” (section 4.2, Table 2) `p-t2-retina`" in first
    assert second.startswith("| *the same words* `p-own`") and one.quote not in second
    assert "“a practical yet lightweight architectural unit” (Abstract)" in third


def test_the_figure_draws_every_claim_with_a_printed_difference():
    rows = [("A", "x", 1.0, 0.5, -1.0, 2.0, 3, True), ("B", "y", 2.0, -1.0, -3.0, 1.0, 1, False)]
    names = ["group", "label", "claimed", "difference", "low", "high", "n_seeds", "like"]
    figure = claimed_and_measured(pd.DataFrame(rows, columns=names))
    (place,) = figure.axes
    assert [label.get_text() for label in place.get_yticklabels()] == ["x  (3)", "y  (1)"]
    diamonds = [line for line in place.lines if line.get_marker() == "D"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in diamonds], [1, 2])
