"""The typed-in tables, against the papers' text where that is at hand."""

import re
from pathlib import Path

import pytest

from medattn.paths import ROOT
from medattn.published import published

TEXT = Path(ROOT).parent / "shared" / "papers" / "ppcr.txt"


@pytest.mark.parametrize(("table", "n_datasets"), [("ppcr_table1", 2), ("ppcr_table2", 3)])
def test_every_row_is_there_once(table, n_datasets):
    frame = published(table)
    assert len(frame) == n_datasets * 2 * 8
    assert not frame.duplicated(["dataset", "network", "method"]).any()
    assert frame[["accuracy", "auc", "f1"]].stack().between(35, 100).all()


@pytest.mark.skipif(not TEXT.exists(), reason="the paper's text is not beside the checkout")
@pytest.mark.parametrize(
    ("table", "heading"), [("ppcr_table1", "Method\tISIC2018"), ("ppcr_table2", "Method\tOCTMNIST")]
)
def test_the_cells_are_the_papers(table, heading):
    lines = TEXT.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(heading)) + 2
    frame = published(table)
    datasets, network = list(dict.fromkeys(frame["dataset"])), ""
    rows = frame.set_index(["dataset", "network", "method"])
    for line in lines[first : first + 16]:
        name, *cells = line.split("\t")
        name = re.sub(r"\s*\[\d+\]", "", name)
        network = name if name.startswith("ResNet") else network
        method = "none" if name == network else name.removeprefix("+")
        for k, dataset in enumerate(datasets):
            row = rows.loc[dataset, network, method]
            printed = [float(cell.removesuffix("M")) for cell in cells[3 * k : 3 * k + 3] + cells[-2:]]
            assert row[["accuracy", "auc", "f1", "params_m", "gflops"]].tolist() == printed


def test_an_unknown_table_names_those_there_are():
    with pytest.raises(ValueError, match="ppcr_table1, ppcr_table2"):
        published("ppcr_table9")
