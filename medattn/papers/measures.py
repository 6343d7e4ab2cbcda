"""The kinds of measures in data/papers/claims.yaml; the fields of a class are its keys there.

Calling a measure computes it. Arithmetic on printed tables returns its outcome in words, and
whether it is as claimed. A difference returns `Measured`, or None without results. A count returns
words. Differences are second minus first, so that the claim is a plus.
"""
# ruff: noqa: D102 (what a call returns is said once, above)

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind_from_stats

from medattn.evaluation.statistics import Paired, compare, paired_over_seeds
from medattn.papers.published import published
from medattn.papers.results import result_runs, result_table, right_of_run

LEAST_SEEDS = 3  # fewer cannot decide anything
MARGIN = 0.5  # points: a gain without a printed size that is surely below this is none
COSTS = ("params_m", "gflops")  # columns of printed tables in which less is better
WORDS = {"none": "plain", "auc": "AUC", "f1": "F1", "params_m": "Params", "gflops": "GFLOPs"}

Values = Mapping[str, Any]  # by column of a table


def rows_with(table: pd.DataFrame, where: Values) -> pd.DataFrame:
    """Return the rows with these values; options are compared as JSON."""
    for name, value in where.items():
        table = table[table[name] == (json.dumps(value) if isinstance(value, dict) else value)]
    return table


def one_row(table: pd.DataFrame, where: Values) -> pd.Series:
    """Return the one row with these values; raise ValueError if there is not exactly one."""
    rows = rows_with(table, where)
    if len(rows) != 1:
        raise ValueError(f"where={dict(where)!r} matches {len(rows)} rows, not one")
    return rows.iloc[0]


def _runs(where: Values) -> pd.DataFrame:
    """Return the runs with these values, and no options beyond them, by seed."""
    usual: Values = {"split": "own", "prior": "", "shuffle_labels": False}
    no_options: Values = {"dataset_options": {}, "attention_options": {}, "map_options": {}}
    return rows_with(result_runs(), {**usual, **no_options, **where}).set_index("seed")


@dataclass(frozen=True, kw_only=True)
class PrintedLead:
    """The smallest lead of a method, or of a plain network, over others in a printed table."""

    table: str
    column: str  # a lower value leads in `COSTS`
    leader: str
    at_least: float  # the claim
    over: Sequence[str] = ()  # default: all others
    between: str = "method"  # or "network"
    where: Values = field(default_factory=dict)
    holds: bool = True  # False if the paper's own numbers deny it

    def __call__(self) -> tuple[str, bool]:
        table = rows_with(published(self.table), self.where)
        block = ["dataset", "network"]
        if self.between == "network":
            table, block = rows_with(table, {"method": "none"}), ["dataset"]
        wide = table.pivot(index=block, columns=self.between, values=self.column)
        wide = wide.dropna(subset=[self.leader])
        others = list(self.over) or [name for name in wide if name != self.leader]
        sign = -1 if self.column in COSTS else 1
        leads = (sign * wide[others].rsub(wide[self.leader], axis=0)).stack()
        smallest = round(float(leads.min()), 3) + 0.0  # no minus zero
        *place, other = leads.idxmin()
        first, second = (WORDS.get(name, name) for name in (self.leader, other)[::sign])
        column, digits = WORDS.get(self.column, self.column), 3 if self.column == "gflops" else 2
        count = f"smallest of {len(leads)}: " if len(leads) > 1 else ""
        lead = f"{first} over {second} {smallest:+.{digits}f}"
        return f"{column}, {count}{lead} ({', '.join(place)})", smallest >= self.at_least


@dataclass(frozen=True, kw_only=True)
class PrintedRatio:
    """By how many per cent one method is above another in a block of a printed table."""

    table: str
    column: str
    where: Values
    more: str
    than: str
    printed: float  # per cent
    holds: bool = True

    def __call__(self) -> tuple[str, bool]:
        cells = rows_with(published(self.table), self.where).set_index("method")[self.column]
        more, than = cells[self.more], cells[self.than]
        percent, digits = 100 * (more / than - 1), len(str(self.printed).partition(".")[2])
        column = WORDS.get(self.column, self.column)
        text = f"{self.more}'s {column} {more:g} is {percent:.1f} % above {self.than}'s {than:g}"
        return text, round(percent, digits) == self.printed


@dataclass(frozen=True, kw_only=True)
class PrintedTTest:
    """Student's test of two methods, by network, from printed means and deviations of 30 epochs."""

    table: str
    first: str
    second: str
    below: float  # the p that is claimed
    holds: bool = True

    def __call__(self) -> tuple[str, bool]:
        index, values = ["dataset", "network"], ["accuracy", "std"]
        wide = published(self.table).pivot(index=index, columns="method", values=values).dropna()
        first, second = (
            (wide["accuracy", m], wide["std", m], 30) for m in (self.first, self.second)
        )
        p = ttest_ind_from_stats(*first, *second).pvalue
        above = int((p >= self.below).sum())
        text = f"{above} of {len(p)} have p of {self.below} or more, the largest {p.max():.2f}"
        return text, above == 0


@dataclass(frozen=True, kw_only=True)
class PrintedDifference:
    """The difference of two rows of a printed table; the call returns points of accuracy."""

    table: str
    first: Values
    second: Values
    where: Values = field(default_factory=dict)  # of both rows

    def __call__(self) -> float:
        rows = rows_with(published(self.table), self.where)
        first, second = (one_row(rows, row)["accuracy"] for row in (self.first, self.second))
        return round(float(second - first), 2)


@dataclass(frozen=True)
class Measured:
    """What our results say about a claim."""

    what: str
    data: str
    unit: str  # "points" of accuracy, or "" for areas and deviations, which run from 0 to 1
    paired: Paired
    claimed: float | None = None  # the printed difference
    unlike: str = ""  # how our runs differ from the paper's

    @property
    def n_seeds(self) -> int:
        """Return the number of seeds that both methods have."""
        return self.paired.n

    def verdict(self, least_seeds: int = LEAST_SEEDS) -> str:
        """Return "replicated", "not replicated" (below the claim, or MARGIN) or "undecided"."""
        if self.unlike or self.n_seeds < least_seeds:
            return "undecided"
        if self.paired.low > 0:
            return "replicated"
        least = self.claimed or (MARGIN if self.unit else 0)
        return "not replicated" if self.paired.high < least else "undecided"

    def __str__(self) -> str:
        paired, form = self.paired, "+.1f" if self.unit else "+.2g"
        text = f"{paired.difference:{form}} {self.unit}".strip()
        if np.isfinite(paired.low):
            text += f" (95 % {paired.low:{form}} to {paired.high:{form}})"
        seeds = f"{paired.n} seed{'s' if paired.n > 1 else ''}"
        return f"{self.what}: {text}, {seeds}; {self.unlike or self.data}"


@dataclass(frozen=True, kw_only=True)
class RunsDifference:
    """The difference in accuracy between runs of two methods, over the seeds that both have."""

    what: str
    data: str
    runs: Values  # fields of the recipes of both
    first: Values
    second: Values
    claimed: PrintedDifference | None = None
    unlike: str = ""

    def __call__(self) -> Measured | None:
        first, second = (self._runs_of(method) for method in (self.first, self.second))
        seeds = sorted(set(first.index) & set(second.index))
        if not seeds:
            return None
        right = [np.stack([right_of_run(runs[seed]) for seed in seeds]) for runs in (first, second)]
        paired = compare(*right)
        points = {name: 100 * getattr(paired, name) for name in ("difference", "low", "high")}
        claimed, paired = self.claimed() if self.claimed else None, replace(paired, **points)
        return Measured(self.what, self.data, "points", paired, claimed, self.unlike)

    def _runs_of(self, method: Values) -> pd.Series:
        runs = _runs({"attention": "none", "weight_map": "none", **self.runs, **method})
        if runs.index.has_duplicates:
            differ = ", ".join(name for name in runs if runs[name].nunique() > 1)
            raise ValueError(f"{dict(method)} has several runs of a seed; they differ in {differ}")
        return runs["run"]


@dataclass(frozen=True, kw_only=True)
class TableDifference:
    """The difference of two columns of a table of results, seed by seed."""

    what: str
    data: str
    table: str
    where: Values
    first: str | float  # a column or a constant
    second: str
    by: str = ""  # if given, first and second are values of this column, and `value` is compared
    value: str = ""
    unit: str = ""
    unlike: str = ""

    def __call__(self) -> Measured | None:
        rows = result_table(self.table)
        if not len(rows) or not len(rows := rows_with(rows, self.where)):
            return None
        if self.by:
            rows = rows.pivot(index="seed", columns=self.by, values=self.value)
        if isinstance(self.first, float):
            rows = rows.assign(**{str(self.first): self.first})
        pairs = rows[[str(self.first), self.second]].dropna().to_numpy(float)
        first, second = (100 if self.unit == "points" else 1) * pairs.T
        if len(pairs) == 1:
            paired = Paired(float(second[0] - first[0]), np.nan, np.nan, np.nan, 1)
        else:
            paired = paired_over_seeds(first, second)
        return Measured(self.what, self.data, self.unit, paired, unlike=self.unlike)


@dataclass(frozen=True, kw_only=True)
class CellCount:
    """How many cells of cost in a printed table are reproduced to the last digit."""

    table: str

    def __call__(self) -> str:
        n = len(published(self.table)[["network", "method"]].drop_duplicates())
        differing = rows_with(published("ppcr_cost_differences"), {"table": self.table})["column"]
        params, gflops = (n - (differing == cost).sum() for cost in COSTS)
        return f"{params} of {n} Params and {gflops} of {n} GFLOPs to the last digit"


@dataclass(frozen=True, kw_only=True)
class FailedRuns:
    """How many runs have an accuracy below a bound."""

    what: str
    runs: Values
    below: float
    unlike: str

    def __call__(self) -> str:
        accuracy = _runs(self.runs)["accuracy"]
        return f"{(accuracy < self.below).sum()} of {len(accuracy)} {self.what}; {self.unlike}"


Arithmetic = PrintedLead | PrintedRatio | PrintedTTest
Measure = RunsDifference | TableDifference | CellCount | FailedRuns
