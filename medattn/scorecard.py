"""The scorecard: every claim of both papers with what is printed, what we measured, and a verdict the numbers bear.

`data/papers/claims.yaml` holds the claims. Quotes, verdicts and reasons are typed in, by a human who has read the
evidence; arithmetic on the printed tables (`sums`) and differences between recorded runs (`measure`) are computed here.
Where a verdict rests on recorded runs it must be the one that `Measured.verdict` gives: `disputed` names those that are
not, and a test wants none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote as escaped

import numpy as np
import pandas as pd
import yaml
from scipy.stats import ttest_ind_from_stats

from medattn.evaluation.statistics import Paired, compare, paired_over_seeds
from medattn.paths import ROOT, papers_folder
from medattn.published import published
from medattn.training.recorded import recorded_rows, recorded_runs, right_answers

LEAST_SEEDS = 3  # fewer cannot decide anything: one seed is an anecdote
PAPERS = {"ppcr": "PPCR", "global": "Global attention"}
KINDS = {
    "abstract": "abstract",
    "contribution": "introduction and contributions",
    "equation": "equations and definitions",
    "table": "tables, and the text about them",
    "figure": "figures, and the text about them",
    "conclusion": "conclusion",
}
VERDICTS = {
    "replicated": "tested here; the 95 % interval of the difference lies on the claimed side of 0",
    "not replicated": "tested here; the interval does not lie above 0 and excludes the printed difference",
    "undecided": "nothing recorded decides it: the interval holds 0 and the printed difference, the seeds are too few, "
    "or the runs are unlike the paper's",
    "partly": "a claim of several parts, which come out differently",
    "true by algebra": "follows from the definitions, for every network and image",
    "contradicted": "algebra, a control or the paper's own printed numbers deny it; no seed can change that",
    "not testable here": "the data or the runs are not here, or nothing that can be measured is claimed",
}


@dataclass(frozen=True)
class Claim:
    """A row of the scorecard. `evidence` is "NN Heading": a heading of notebook NN; the rest as in the file's head."""

    id: str
    paper: str
    where: str
    kind: str
    quote: str
    evidence: Sequence[str]
    verdict: str
    why: str
    printed: str = ""
    audit: str = ""
    sums: Sequence[Mapping[str, Any]] = ()
    measure: Mapping[str, Any] = field(default_factory=dict)
    fill: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that trains what would decide this claim; empty where no training would."""
        if not self.fill:
            return ""
        change = f" -p {self.fill['change']}" if "change" in self.fill else ""
        return f"medattn sweep {self.fill['sweep']} --datasets {self.fill['dataset']} --seeds {LEAST_SEEDS}{change}"


def claims() -> list[Claim]:
    """Give all claims, paper by paper, in the papers' order within a kind."""
    rows = yaml.safe_load((papers_folder() / "claims.yaml").read_text(encoding="utf-8"))["claims"]
    return [Claim(**row) for row in rows]


@dataclass(frozen=True)
class Measured:
    """What recorded runs say about a claim: second minus first, in `unit`, oriented so that the claim is a plus.

    `claimed` is the printed difference (None where none is printed), `unlike` how the runs differ from the paper's.
    """

    what: str
    data: str
    unit: str  # "points" of accuracy, or "" for areas and deviations, which run from 0 to 1
    n_seeds: int
    paired: Paired
    claimed: float | None = None
    unlike: str = ""

    def verdict(self, least_seeds: int = LEAST_SEEDS) -> str:
        """The verdict that these numbers bear: replicated, not replicated or undecided."""
        if self.unlike or self.n_seeds < least_seeds:
            return "undecided"
        if self.paired.low > 0:
            return "replicated"
        return "not replicated" if self.paired.high < (self.claimed or 0) else "undecided"

    def __str__(self) -> str:
        paired, digits = self.paired, 1 if self.unit else 3
        interval = f" (95 % {paired.low:+.{digits}f} to {paired.high:+.{digits}f})" if np.isfinite(paired.low) else ""
        difference = f"{paired.difference:+.{digits}f} {self.unit}".strip() + interval
        seeds = f"{self.n_seeds} seed{'s' if self.n_seeds > 1 else ''}"
        return f"{self.what}: {difference}, {seeds}; {self.unlike or self.data}"


def measured(claim: Claim) -> Measured | None:
    """Measure a claim on the recorded runs; None where it has no measure, or where its runs are not recorded yet."""
    asked = claim.measure
    if not asked or "cells" in asked or "below" in asked:
        return None
    if "table" in asked:
        found = _of_table(asked)
        unit = asked.get("unit", "")
    else:
        found, unit = _of_runs(asked), "points"
    if found is None:
        return None
    claimed = printed_difference(asked["claimed"]) if "claimed" in asked else None
    return Measured(asked["what"], asked["data"], unit, *found, claimed, asked.get("unlike", ""))


def disputed(claim: Claim, found: Measured | None, least_seeds: int = LEAST_SEEDS) -> str:
    """Say why the recorded runs do not bear a typed verdict; empty where they do."""
    if claim.verdict in ("partly", "true by algebra", "contradicted"):  # these rest on something else
        return ""
    if found is None:
        needs_runs = claim.verdict in ("replicated", "not replicated")
        return f"{claim.id}: {claim.verdict!r} without recorded runs" if needs_runs else ""
    borne = found.verdict(least_seeds)
    return (
        ""
        if claim.verdict == borne
        else f"{claim.id}: {claim.verdict!r}, but {found} (printed {found.claimed}): {borne}"
    )


def counted(claim: Claim) -> str:
    """Say what a claim's measure counts: printed cost cells that are reproduced, or recorded runs that failed."""
    asked = claim.measure
    if "cells" in asked:
        n = len(published(asked["cells"])[["network", "method"]].drop_duplicates())
        differ = published("ppcr_cost_differences").query("table == @asked['cells']")["column"].value_counts()
        params, gflops = (n - differ.get(column, 0) for column in ("params_m", "gflops"))
        return f"{params} of {n} Params and {gflops} of {n} GFLOPs to the last digit"
    if "below" in asked:
        accuracy = _runs(asked["runs"], {})["accuracy"]
        return f"{(accuracy < asked['below']).sum()} of {len(accuracy)} {asked['what']}; {asked['unlike']}"
    return ""


def printed_difference(asked: Mapping[str, Any]) -> float:
    """Give the printed difference, second minus first, of two rows of a printed table: in points of accuracy."""
    table, where = published(asked["table"]), asked.get("where", {})
    first, second = (one_row(table, {**where, **asked[name]})["accuracy"] for name in ("first", "second"))
    return round(float(second - first), 2)


def one_row(table: pd.DataFrame, where: Mapping[str, Any]) -> pd.Series:
    """Give the one row with these values; raises ValueError where there is none, or more than one."""
    rows = table[_matches(table, where)]
    if len(rows) != 1:
        raise ValueError(f"where={dict(where)!r} fits {len(rows)} rows, not one")
    return rows.iloc[0]


def _matches(table: pd.DataFrame, where: Mapping[str, Any]) -> pd.Series:
    fits = pd.Series(True, index=table.index)
    for name, value in where.items():
        fits &= table[name] == (json.dumps(value) if isinstance(value, dict) else value)
    return fits


_USUAL = {"dataset_options": {}, "split": "own", "shuffle_labels": False, "attention_options": {}}
_USUAL |= {"prior": "", "map_options": {}}


def _runs(where: Mapping[str, Any], arm: Mapping[str, Any]) -> pd.DataFrame:
    """Give the recorded runs with these values, and no options beyond them; one a seed where an arm is named."""
    table = recorded_runs()
    rows = table[_matches(table, {**_USUAL, **where, **arm})].set_index("seed")
    if arm and rows.index.has_duplicates:
        differ = [name for name in rows if rows[name].nunique() > 1]
        raise ValueError(
            f"several runs of one seed fit {dict(where)} and {dict(arm)}; they differ in {', '.join(differ)}"
        )
    return rows


def _of_runs(asked: Mapping[str, Any]) -> tuple[int, Paired] | None:
    both = [_runs(asked["runs"], _arm(asked[name]))["run"] for name in ("first", "second")]
    seeds = sorted(set(both[0].index) & set(both[1].index))
    if not seeds:
        return None
    right = [np.stack([right_answers(runs[seed]) for seed in seeds]) for runs in both]
    found = compare(*right)
    points = (100 * value for value in (found.difference, found.low, found.high))
    return len(seeds), Paired(*points, found.p, found.n)


def _arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    return {"attention": "none", "weight_map": "none", **arm}


def _of_table(asked: Mapping[str, Any]) -> tuple[int, Paired] | None:
    """Compare two columns of a recorded table, a column and a constant, or one column at two values of `by`."""
    table = recorded_rows(asked["table"])
    if not len(table):
        return None
    rows = table[_matches(table, asked["where"])]
    if "by" in asked:
        rows = rows.pivot(index="seed", columns=asked["by"], values=asked["value"])
        rows = rows.dropna(subset=[asked["first"], asked["second"]])  # the seeds that both have
    if not len(rows):
        return None
    scale = 100 if asked.get("unit") == "points" else 1
    second = scale * rows[asked["second"]].to_numpy(dtype=float)
    first = asked["first"] if isinstance(asked["first"], float) else scale * rows[asked["first"]].to_numpy(dtype=float)
    first = np.broadcast_to(first, second.shape)
    if len(second) == 1:
        return 1, Paired(float(second[0] - first[0]), np.nan, np.nan, np.nan, 1)
    return len(second), paired_over_seeds(first, second)


_NAMES = {"none": "plain", "accuracy": "accuracy", "auc": "AUC", "f1": "F1", "params_m": "Params", "gflops": "GFLOPs"}


def summed(check: Mapping[str, Any]) -> tuple[str, bool]:
    """Do a claim's arithmetic on a printed table: what comes out, in words, and whether it is as the claim says."""
    table = published(check["table"])
    if "t_test" in check:
        return _t_tests(table, check)
    if "dataset" in check:
        table = table[table["dataset"] == check["dataset"]]
    if "more" in check:
        row = {"network": check["network"]}
        more, than = (one_row(table, {**row, "method": check[name]})[check["column"]] for name in ("more", "than"))
        percent = 100 * (more / than - 1)
        digits = len(str(check["printed"]).partition(".")[2])
        text = (
            f"{check['more']}'s {_NAMES[check['column']]} {more:g} is {percent:.1f} % above {check['than']}'s {than:g}"
        )
        return text, round(percent, digits) == check["printed"]
    return _smallest_lead(table, check)


def _smallest_lead(table: pd.DataFrame, check: Mapping[str, Any]) -> tuple[str, bool]:
    """The smallest lead of one method over others ("lag": of the others over it), over all blocks of a table."""
    if "network" in check:  # another network is the rival
        wide = table[table["method"] == "none"].pivot(index="dataset", columns="network", values=check["column"])
        leader, others, sign = check["network"], [check["over"]], 1
    else:
        wide = table.pivot(index=["dataset", "network"], columns="method", values=check["column"])
        leader, sign = check.get("lead") or check["lag"], 1 if "lead" in check else -1
        wide = wide.dropna(subset=[leader])
        if "networks" in check:
            wide = wide[wide.index.get_level_values("network").isin(check["networks"])]
        others = check.get("over") or [name for name in wide if name != leader]
    leads = (sign * wide[others].rsub(wide[leader], axis=0)).stack()
    smallest = round(float(leads.min()), 3) + 0.0  # no minus zero
    *block, other = leads.idxmin() if isinstance(leads.idxmin(), tuple) else (leads.idxmin(),)
    first, second = (leader, other) if sign == 1 else (other, leader)
    many, column = f"smallest of {len(leads)}: " if len(leads) > 1 else "", check["column"]
    said = (
        f"{_NAMES.get(first, first)} over {_NAMES.get(second, second)} {smallest:+.{3 if column == 'gflops' else 2}f}"
    )
    return f"{_NAMES[column]}, {many}{said} ({', '.join(block)})", smallest >= check["at_least"]


def _t_tests(table: pd.DataFrame, check: Mapping[str, Any]) -> tuple[str, bool]:
    """Student's test of two methods from the printed means and deviations of 30 epochs, CNN by CNN."""
    wide = table.pivot(index=["dataset", "network"], columns="method", values=["accuracy", "std"]).dropna()
    one, other = check["t_test"]
    means, deviations = ((wide[column, one], wide[column, other]) for column in ("accuracy", "std"))
    p = ttest_ind_from_stats(means[0], deviations[0], 30, means[1], deviations[1], 30).pvalue
    above = int((p >= check["below"]).sum())
    return f"{above} of {len(p)} have p of {check['below']} or more, the largest {p.max():.2f}", above == 0


def notebook_links(claim: Claim) -> list[str]:
    """Give a claim's evidence as Markdown links, relative to the folder of the notebooks."""
    links = []
    for place in claim.evidence:
        number, _, heading = place.partition(" ")
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        links.append(f"[{number}]({path.name}#{escaped(heading.replace(' ', '-'))})")
    return links


def markdown(rows: Sequence[Claim], found: Mapping[str, Measured | None]) -> str:
    """Write claims as a Markdown table: claim, printed, ours, verdict and evidence; `found` is by the claim's id.

    Where one sentence makes several rows in turn, only the first of them quotes it.
    """
    lines = ["| claim | printed, and its audit | our recorded runs | verdict |", "|:---|:---|:---|:---|"]
    quoted = ""
    for claim in rows:
        sums = [f"{text}{'' if holds else ' (**not as claimed**)'}" for text, holds in map(summed, claim.sums)]
        printed = "; ".join(filter(None, [claim.printed, *sums, claim.audit and f"*audit:* {claim.audit}"])) or "–"
        ours = str(found[claim.id] or "") or counted(claim) or ("not recorded yet" if claim.measure else "–")
        command = f" `{claim.command}`" if claim.command and claim.verdict == "not testable here" else ""
        verdict = f"**{claim.verdict}**. {claim.why}{command} → {', '.join(notebook_links(claim))}"
        where = f"section {claim.where}" if claim.where[0].isdigit() else claim.where
        words = "*the same words*" if claim.quote == quoted else f"“{claim.quote}” ({where})"
        quoted = claim.quote
        cells = [f"{words} `{claim.id}`", printed, ours, verdict]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
