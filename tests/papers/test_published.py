"""The printed tables, compared with the papers' text if that is at hand."""

import re

import pandas as pd
import pytest
from papers_text import GLOBAL_TEXT, PPCR_TEXT, with_text

from medattn.papers.published import published

NORMALISATIONS = {"Original": "none", "BN": "batch", "IN": "instance", "LN": "layer"}
NORMALISATIONS |= {"PN (ours)": "pixel"}
GLOBAL_DATASETS = ["Glaucoma", "IDRiD retinopathy", "IDRiD macular edema", "JAFFE"]


def rows_below(path, heading, n):
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(heading)) + 1
    return [line.split("\t") for line in lines[first : first + n]]


@pytest.mark.parametrize(
    ("table", "n_datasets"), [("ppcr_table1", 2), ("ppcr_table2", 3), ("ppcr_table6", 2)]
)
def test_ppcr_rows_are_complete(table, n_datasets):
    frame = published(table)
    assert len(frame) == n_datasets * 2 * 8
    assert not frame.duplicated(["dataset", "network", "method"]).any()
    assert frame.filter(["accuracy", "auc", "f1"]).stack().between(35, 100).all()


@with_text
@pytest.mark.parametrize(
    ("table", "heading"),
    [
        ("ppcr_table1", "Method\tISIC2018"),
        ("ppcr_table2", "Method\tOCTMNIST"),
        ("ppcr_table6", "Method\tCIFAR-10"),
    ],
)
def test_ppcr_cells_are_the_papers(table, heading):
    frame = published(table)
    datasets, network = list(dict.fromkeys(frame["dataset"])), ""
    rows = frame.set_index(["dataset", "network", "method"])
    scores = [column for column in ("accuracy", "auc", "f1") if column in frame]
    for name, *cells in rows_below(PPCR_TEXT, heading, 17)[1:]:
        name = re.sub(r"\s*\[\d+\]", "", name)
        network = name if name.startswith("ResNet") else network
        method = "none" if name == network else name.removeprefix("+")
        for k, dataset in enumerate(datasets):
            row = rows.loc[dataset, network, method]
            of_dataset = cells[k * len(scores) : (k + 1) * len(scores)]
            printed = [float(cell.removesuffix("M")) for cell in of_dataset + cells[-2:]]
            assert row[[*scores, "params_m", "gflops"]].tolist() == printed


@with_text
@pytest.mark.parametrize(
    ("table", "heading", "names"),
    [
        ("ppcr_table3", "Cross-channel scale\t", {}),
        ("ppcr_table4", "Normalization\t", NORMALISATIONS),
        ("ppcr_table5", "W\t", {}),
    ],
)
def test_ablations_are_the_papers(table, heading, names):
    frame = published(table)
    printed = [
        (names.get(name, name), float(a), float(f))
        for name, a, f in rows_below(PPCR_TEXT, heading, len(frame))
    ]
    assert list(frame.astype({frame.columns[0]: str}).itertuples(index=False, name=None)) == printed


def test_global_rows_are_complete():
    frame = published("global_table2")
    assert list(dict.fromkeys(frame["dataset"])) == GLOBAL_DATASETS
    assert len(frame) == 4 * (4 + 4 * 3)
    assert not frame.duplicated(["dataset", "network", "method"]).any()
    plain = frame["network"].isin(["LR", "SVM", "VGG-att3", "ResAttNet-92"])
    assert (frame.loc[plain, "method"] == "none").all()
    assert set(frame.loc[~plain].groupby(["dataset", "network"])["method"].agg(tuple)) == {
        ("none", "L1", "global")
    }
    assert (frame["std"].isna() == frame["network"].isin(["LR", "SVM"])).all()
    assert frame["star"].dtype == bool and set(frame.loc[frame["star"], "method"]) == {"global"}


@with_text
def test_global_cells_are_the_papers():
    rows = published("global_table2").set_index(["dataset", "network", "method"])
    seen = 0
    for name, *cells in rows_below(GLOBAL_TEXT, "\t\tRetinopathy", 16):
        network, _, method = name.partition(" (with ")
        method = method.removesuffix(")").removesuffix(" attention") or "none"
        for dataset, cell in zip(GLOBAL_DATASETS, cells, strict=True):
            star, accuracy, std = re.fullmatch(r"(\*?)([\d.]+)(?:\(([\d.]+)\))?", cell).groups()
            row = rows.loc[dataset, network, method]
            assert (row["accuracy"], row["star"]) == (float(accuracy), star == "*")
            assert pd.isna(row["std"]) if std is None else row["std"] == float(std)
            seen += 1
    assert seen == len(rows)


@with_text
def test_swapped_class_counts_are_corrected():
    rows = published("global_table1").set_index("dataset")
    assert list(rows.index) == GLOBAL_DATASETS
    (_, *glaucoma), (_, n_idrid, idrid), (_, *jaffe) = rows_below(GLOBAL_TEXT, "Name\t#", 3)
    counts = rows[["n_images", "n_classes"]].astype(str)
    assert counts.loc["Glaucoma"].tolist() == glaucoma and counts.loc["JAFFE"].tolist() == jaffe
    retinopathy, edema = re.fullmatch(
        r"(\d) \(diabetic retinopathy\) and (\d) \(macular edema\)", idrid
    ).groups()
    assert counts.loc["IDRiD retinopathy"].tolist() == [n_idrid, retinopathy]
    assert counts.loc["IDRiD macular edema"].tolist() == [n_idrid, edema]
    changed = rows[rows["n_classes"] != rows["n_classes_corrected"]]["n_classes_corrected"]
    assert changed.to_dict() == {"IDRiD retinopathy": 5, "IDRiD macular edema": 3}


def test_unknown_table_is_refused():
    with pytest.raises(ValueError, match=r"global_table1, global_table2.*ppcr_table1, ppcr_table2"):
        published("ppcr_table9")
