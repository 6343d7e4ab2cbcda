"""The scorecard: every claim of both papers, what is printed, what we measured, and a verdict.

data/papers/claims.yaml holds the claims. Quotes, verdicts and reasons are typed by a human who has
read the evidence; `measures` computes the rest. A verdict that rests on our results must be the one
that `Measured.verdict` returns; `disputed` reports those that are not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import quote as url_quote

import yaml

from medattn.papers.measures import LEAST_SEEDS, Arithmetic, Measure, Measured, PrintedDifference
from medattn.paths import ROOT, papers_folder

_FILE = yaml.safe_load((papers_folder() / "claims.yaml").read_text(encoding="utf-8"))
PAPERS, KINDS, VERDICTS = _FILE["papers"], _FILE["kinds"], _FILE["verdicts"]  # name -> words
NOT_BY_RESULTS = ("partly", "true by algebra", "contradicted")


@dataclass(frozen=True)
class Claim:
    """A row of the scorecard; claims.yaml explains its fields."""

    id: str
    paper: str
    where: str
    kind: str
    quote: str
    evidence: Sequence[str]  # "NN Heading": a heading of notebook NN
    verdict: str
    why: str
    printed: str = ""
    audit: str = ""
    arithmetic: Sequence[Arithmetic] = ()
    measure: Measure | None = None
    sweep: Mapping[str, str] = field(default_factory=dict)  # its table, dataset and change

    @property
    def command(self) -> str:
        """Return the command that would decide this claim, or "" if no training would."""
        if not self.sweep:
            return ""
        change = f" -p {self.sweep['change']}" if "change" in self.sweep else ""
        words = f"medattn sweep {self.sweep['table']} --datasets {self.sweep['dataset']}"
        return f"{words} --seeds {LEAST_SEEDS}{change}"


def claims() -> list[Claim]:
    """Return all claims, paper by paper, in the papers' order within a kind."""
    return [read_claim(row) for row in _FILE["claims"]]


def read_claim(row: Mapping[str, Any]) -> Claim:
    """Return a claim of claims.yaml; raise ValueError for unknown or missing keys."""
    name = row.get("id", "without an id")
    typed = {**row, "arithmetic": [_measure(check, name) for check in row.get("arithmetic", ())]}
    if "measure" in row:
        typed["measure"] = _measure(row["measure"], name)
    return _build(Claim, typed, name)


def _measure(row: Mapping[str, Any], claim: str) -> Any:
    kinds = {kind.__name__: kind for kind in get_args(Arithmetic | Measure)}
    kind, keys = row.get("kind"), {key: value for key, value in row.items() if key != "kind"}
    if kind not in kinds:
        raise ValueError(f"claim {claim}: kind={kind!r} is not one of {', '.join(kinds)}")
    if "claimed" in keys:
        keys["claimed"] = _build(PrintedDifference, keys["claimed"], claim)
    return _build(kinds[kind], keys, claim)


def _build(kind: Any, keys: Mapping[str, Any], claim: str) -> Any:
    try:
        return kind(**keys)
    except TypeError as error:  # it names the keys that are unknown or missing
        raise ValueError(f"claim {claim}: {error}") from None


def measure_claim(claim: Claim) -> Measured | None:
    """Return what our results say about a claim; None without results or a difference."""
    measured = claim.measure() if claim.measure else None
    return measured if isinstance(measured, Measured) else None


def disputed(claim: Claim, measured: Measured | None, least_seeds: int = LEAST_SEEDS) -> str:
    """Report why the numbers do not bear what is typed; "" if they do."""
    for check in claim.arithmetic:
        text, holds = check()
        if holds != check.holds:
            return f"{claim.id}: holds={check.holds}, but {text}"
    if claim.verdict in NOT_BY_RESULTS:
        return ""
    if measured is None:
        needs_results = claim.verdict in ("replicated", "not replicated")
        return f"{claim.id}: {claim.verdict!r} without results" if needs_results else ""
    verdict = measured.verdict(least_seeds)
    numbers = f"{measured} (printed {measured.claimed}): {verdict}"
    return "" if claim.verdict == verdict else f"{claim.id}: {claim.verdict!r}, but {numbers}"


def notebook_links(claim: Claim) -> list[str]:
    """Return a claim's evidence as Markdown links, relative to the folder of the notebooks."""
    links = []
    for evidence in claim.evidence:
        number, _, heading = evidence.partition(" ")
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        links.append(f"[{number}]({path.name}#{url_quote(heading.replace(' ', '-'))})")
    return links


def markdown(rows: Sequence[Claim], measured: Mapping[str, Measured | None]) -> str:
    """Return claims as a Markdown table: claim, printed, ours, verdict with evidence.

    `measured` is by the claim's id. If several rows in turn quote one sentence, the first shows it.
    """
    header = "| claim | printed, and its audit | our recorded runs | verdict |"
    lines = [header, "|:---|:---|:---|:---|"]
    last_quote = ""
    for claim in rows:
        where = f"section {claim.where}" if claim.where[0].isdigit() else claim.where
        words = "*the same words*" if claim.quote == last_quote else f"“{claim.quote}” ({where})"
        last_quote = claim.quote
        checks = [check() for check in claim.arithmetic]
        printed = [text if holds else f"{text} (**not as claimed**)" for text, holds in checks]
        printed = [claim.printed, *printed, claim.audit and f"*audit:* {claim.audit}"]
        ours: object = "–"
        if claim.measure:
            ours = measured[claim.id] or claim.measure() or "not recorded yet"
        untested = claim.command and claim.verdict == "not testable here"
        why = f"{claim.why} `{claim.command}`" if untested else claim.why
        verdict = f"**{claim.verdict}**. {why} → {', '.join(notebook_links(claim))}"
        as_printed = "; ".join(filter(None, printed)) or "–"
        cells = [f"{words} `{claim.id}`", as_printed, str(ours), verdict]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
