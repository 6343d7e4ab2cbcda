"""The audit of printed figures: by hand, by brute force, and what it finds in both papers."""

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medattn.evaluation.metrics import score
from medattn.papers.audit import (
    audit,
    column,
    difference_in_images,
    equal_pairs,
    fits,
    images,
    misfits,
    possible_sizes,
    read_printed,
    repeated,
)
from medattn.papers.audit_f1 import confusions, constant_rows, two_classes
from medattn.paths import papers_folder

N_TEST = {
    "ISIC2018": 192,
    "Fundus-iSee": 992,
    "OCTMNIST": 1000,
    "RetinaMNIST": 400,
    "BreastMNIST": 156,
}
BREAST = (42, 114)  # malignant; normal or benign: the test images of BreastMNIST


def table(name, dataset=None):
    rows = read_printed(papers_folder() / f"{name}.csv")
    return (
        rows
        if dataset is None
        else rows[rows["dataset"] == dataset].set_index(["network", "method"])
    )


ROUNDINGS = (ROUND_HALF_UP, ROUND_HALF_EVEN)


def printed(k, n, decimals, rounding):
    with localcontext(prec=60):
        return str((Decimal(100 * k) / n).quantize(Decimal(1).scaleb(-decimals), rounding))


# reading


def test_column_is_in_units_of_its_last_digit():
    percent = column(["85.90", "85.9", " 7 %", 100])
    assert percent.units.tolist() == [8590, 8590, 700, 10000] and percent.whole == 10000
    assert [percent.text(units) for units in percent.units] == ["85.90", "85.90", "7.00", "100.00"]
    assert column(["0.859", "1"]).whole == 1000  # shares
    assert column([0, 1]).whole == 100 and column(["1.5"]).whole == 1000
    assert column(column([50])).units.tolist() == [50]
    assert column(["85.90", "0.91 %", "0"]).units.tolist() == [8590, 91, 0]


def test_csv_is_read_as_text():
    frame = read_printed(StringIO("method,accuracy \nnone,85.90\nNone,\nNA,7"))
    assert frame["method"].tolist() == ["none", "None", "NA"]
    assert frame["accuracy"].tolist()[::2] == ["85.90", "7"] and pd.isna(frame["accuracy"][1])


@pytest.mark.parametrize("cell", ["100.01", "-1", "high", "", None, "nan", "inf", "81.9(1.2)"])
def test_bad_cell_is_named(cell):
    with pytest.raises(
        ValueError, match=r"cell 1: .* is not a share or percentage: write a number in 0..100"
    ):
        column(["50", cell])


# sizes


def test_ties_tell_the_roundings_apart():
    assert fits(["13"], [8])[["half_up", "half_even", "cells"]].to_numpy().tolist() == [
        [1, 0, 1]
    ]  # 12.5 %
    assert fits(["12"], [8])[["half_up", "half_even", "cells"]].to_numpy().tolist() == [[0, 1, 1]]
    assert fits(["38"], [8])[["half_up", "half_even"]].to_numpy().tolist() == [
        [1, 1]
    ]  # 37.5 %: 38 is even
    assert fits(["37"], [8])["cells"].tolist() == [0]
    assert 8 in possible_sizes(["13", "63"]).index and 8 in possible_sizes(["12", "62"]).index
    assert (
        8 not in possible_sizes(["13", "62"]).index
    )  # one cell by each rounding: no rounding gives both
    assert len(misfits(["13", "62"], 8)) == 0


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_fits_equal_brute_force(decimals):
    generator = np.random.default_rng(decimals)
    cells = [f"{x:.{decimals}f}" for x in generator.uniform(0, 100, 12)] + [
        f"{0:.{decimals}f}",
        "100",
    ]
    sizes = [*range(1, 60), 96, 128, 160, 250]
    found = fits(cells, sizes)
    whole = f"{100:.{decimals}f}"
    for n in sizes:
        either = set()
        for name, rounding in (("half_up", ROUND_HALF_UP), ("half_even", ROUND_HALF_EVEN)):
            can = {printed(k, n, decimals, rounding) for k in range(n + 1)}
            fitting = {i for i, cell in enumerate([*cells[:-1], whole]) if cell in can}
            assert found.loc[n, name] == len(fitting), (n, name)
            either |= fitting
        assert found.loc[n, "cells"] == len(either)


def test_counts_of_small_n_are_found():
    for n in (1, 3, 7, 40, 156, 192):
        for rounding in ROUNDINGS:
            cells = [printed(k, n, 2, rounding) for k in range(n + 1)]
            assert n in possible_sizes(cells, [n]).index
            assert images(cells, n).tolist() == [*range(n + 1)]


def test_luck_is_that_of_random_figures():
    generator, sizes = np.random.default_rng(0), [50, 160, 400, 3000]
    found = [
        fits([f"{x / 100:.2f}" for x in generator.integers(0, 10001, 5)], sizes)["cells"]
        for _ in range(400)
    ]
    mean = pd.concat(found, axis=1).mean(axis=1)
    expected = fits(["1.00", "2.00", "3.00", "4.00", "5.00"], sizes)["by_luck"]
    assert mean.to_numpy() == pytest.approx(expected.to_numpy(), abs=0.2)
    one = fits(["50.00", "50.00", "25.00"], [3, 4])  # two different figures
    assert one["cells"].tolist() == [0, 3]
    assert one["p"].tolist() == pytest.approx([1, (5 / 10001) ** 2])
    assert fits(["12.34"], [10_000])[["cells", "p"]].to_numpy().tolist() == [[1, 1]]
    both_ways = {
        n: {printed(k, n, 2, way) for k in range(n + 1) for way in ROUNDINGS}
        for n in (43, 156, 160, 192)
    }
    assert {n: len(figures) for n, figures in both_ways.items()} == {
        43: 44,
        156: 157,
        160: 201,
        192: 201,
    }  # ties
    for n, figures in both_ways.items():
        assert fits(["50.00"], [n])["by_luck"].item() == pytest.approx(len(figures) / 10001)


def test_misfits_have_nearest_count_and_slip():
    cells = pd.Series(["87.20", "87.18", "73.71", "50.30"], index=["a", "b", "c", "d"])
    found = misfits(cells, 156)
    assert found.index.tolist() == ["a", "c", "d"]
    assert found["k"].tolist() == [136, 115, 78]
    assert found["would_print"].tolist() == ["87.18", "73.72", "50.00"]
    assert found["slip"].tolist() == ["a decimal less", "cut off", ""]
    assert (
        printed(115, 156, 2, ROUND_FLOOR) == "73.71"
        and printed(136, 156, 1, ROUND_HALF_UP) == "87.2"
    )
    assert misfits(["67"], 10)["slip"].tolist() == [""]


# constant predictors


def test_constant_rows_need_no_class_counts():
    rows = constant_rows(["75.0", "75.0", "75.0"], ["64.3", "42.9", "64.4"], n=4, n_classes=2)
    assert rows.reset_index().to_numpy().tolist() == [
        [0, 3, "64.3", "weighted"],
        [1, 3, "42.9", "macro"],
    ]


# two classes


def test_confusions_agree_with_metrics():
    found = confusions(5, (3, 4))
    assert found[["right_0", "right_1"]].to_numpy().tolist() == [[1, 4], [2, 3], [3, 2]]
    labels = np.repeat([0, 1], (3, 4))
    for row in found.itertuples():
        predicted = np.r_[np.arange(3) >= row.right_0, np.arange(4) < row.right_1].astype(int)
        expected = score(labels, np.eye(2)[predicted])
        assert expected.n_correct == 5
        assert float(row.weighted) == pytest.approx(expected.weighted_f1)
        assert float(row.macro) == pytest.approx(expected.macro_f1)
    assert found["first"].tolist() == [Fraction(2, 4), Fraction(4, 6), Fraction(6, 8)]


def test_two_classes_finds_the_matrix_or_none():
    rows = two_classes(["71", "71"], ["70", "80"], (3, 4))  # weighted F1 can be 67, 71 or 70
    assert rows["matrices"].tolist() == [1, 0] and rows["k"].tolist() == [5, 5]
    assert rows.iloc[0][["right_0", "right_1"]].tolist() == [3, 2]
    assert rows["lowest"].tolist() == ["67", "67"] and rows["highest"].tolist() == ["71", "71"]


# differences


def test_difference_has_exact_p():
    found = difference_in_images("78.65", "80.21", 192)
    assert found.images == 3
    assert found.unpaired == pytest.approx(stats.fisher_exact([[151, 41], [154, 38]]).pvalue)
    assert (found.least, found.significant_up_to) == (0.25, 0)
    assert found.if_independent == pytest.approx((151 * 38 + 154 * 41) / 192)
    back = difference_in_images("80.21", "78.65", 192)
    assert back.images == -3 and back.least == found.least
    assert difference_in_images("50", "50", 10).least == 1.0


@pytest.mark.parametrize(
    ("one", "two", "n"), [(60, 75, 100), (90, 100, 100), (3, 9, 10), (0, 6, 6)]
)
def test_significance_agrees_with_mcnemar(one, two, n):
    lead = two - one
    p = {}
    for lost in range(min(one, n - two) + 1):
        p[lead + 2 * lost] = stats.binomtest(lost, lead + 2 * lost).pvalue
    found = difference_in_images(str(100 * one // n), str(100 * two // n), n)
    assert found.least == pytest.approx(p[lead])
    assert found.significant_up_to == max((m for m, value in p.items() if value < 0.05), default=0)


# repeats


def test_repeats_are_digit_for_digit():
    rows = pd.DataFrame(
        {
            "method": ["a", "b", "c"],
            "auc": ["85.90", "85.9", None],
            "f1": ["80.00", "85.90", "80.00"],
        }
    )
    found = repeated(rows, ["auc", "f1"], ["method"])
    assert found.to_numpy().tolist() == [
        ["85.90", "a", "auc", "b", "f1"],
        ["80.00", "a", "f1", "c", "f1"],
    ]


def test_chance_repeats_agree_with_random_figures():
    generator = np.random.default_rng(0)
    pairs = [
        equal_pairs([f"{x / 100:.2f}" for x in generator.integers(7000, 8000, 40)])
        for _ in range(300)
    ]
    equal, expected = np.mean(pairs, axis=0)
    assert equal == pytest.approx(40 * 39 / 2 / 1000, abs=0.1)
    assert expected == pytest.approx(equal, abs=0.1)


# the whole


def test_any_csv_can_be_audited(tmp_path):
    path = tmp_path / "next.csv"
    path.write_text("set,model,acc,sens\nA,x,0.867,0.9\nA,y,0.933,\nB,x,0.5,0.8\nB,y,0.51,0.81\n")
    found = audit(path, ["acc", "sens"], by=["set"], n={"A": 15, "B": 7}, sizes=range(1, 31))
    assert (
        found.loc[("A", "acc"), "sizes"] == "15, 30"
        and found.loc[("A", "acc"), "misfits"] == "none"
    )
    assert found.loc[("A", "sens"), ["cells", "misfits"]].tolist() == [
        1,
        "0.90",
    ]  # the column has two decimals
    assert found.loc[("B", "acc"), "misfits"] == "0.500, 0.510"
    assert audit(read_printed(path), "acc", sizes=[15])["sizes"].tolist() == ["none; 2 fit 15"]
    figures = [
        {printed(k, n, 1, way) for k in range(n + 1) for way in ROUNDINGS} for n in range(1, 31)
    ]  # of 1001
    assert found.loc[("A", "acc"), "lucky_sizes"] == pytest.approx(
        sum((len(each) / 1001) ** 2 for each in figures)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: column([]), "cells is empty"),
        (lambda: fits(["50"], [0, 1]), "1 or more"),
        (lambda: fits(["50"], []), "1 or more"),
        (lambda: fits(["50"], [156.7]), "1 or more"),
        (
            lambda: audit(pd.DataFrame({"acc": ["85.90", "0.91"]}), "acc"),
            r"up to 85\.90, so they are percentages, and 0\.91 may be a share",
        ),
        (lambda: difference_in_images("85.9", "0.8846", 156), r"0\.8846 may be a share"),
        (lambda: misfits(["50"], 0), "n=0 must be a number of images, 1 or more"),
        (lambda: misfits(["50"], "156"), "n='156' must be a number of images, 1 or more"),
        (lambda: misfits(["50"], 156.5), "n=156.5 must be a number of images, 1 or more"),
        (lambda: images(["50.00"], 10_001), r"n=10001.*1\.\.10000"),
        (lambda: constant_rows(["50"], ["50", "50"], 2, 2), "pass the same rows"),
        (
            lambda: two_classes(["50"], ["50"], (1, 1), "micro"),
            "average='micro' is not one of weighted",
        ),
        (lambda: confusions(3, (0, 3)), "must have 1 or more images"),
        (lambda: confusions(7, (3, 3)), "k=7"),
        (
            lambda: audit(pd.DataFrame({"acc": ["50"]}), "accuracy"),
            "no column accuracy; there are acc",
        ),
        (
            lambda: audit(pd.DataFrame({"acc": ["50"], "set": ["A"]}), "acc", "set", {"B": 9}),
            "n names 'B'; .* are 'A'",
        ),
        (
            lambda: audit(pd.DataFrame({"acc": ["50"], "set": ["1"]}), "acc", "set", {1: 9}),
            "n names 1; .* are '1'",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# what is found in the papers


@pytest.mark.parametrize("name", ["ppcr_table1", "ppcr_table2"])
def test_ppcr_test_sets_are_found(name):
    for dataset, rows in table(name).groupby("dataset"):
        n = N_TEST[dataset]
        counted = fits(rows["accuracy"])
        assert counted["cells"].idxmax() == n
        assert counted.loc[n, "cells"] == (14 if dataset == "BreastMNIST" else 16)
        assert counted.loc[n, "p"] < 1e-10
    assert misfits(table("ppcr_table2", "BreastMNIST")["accuracy"], 156)["printed"].tolist() == [
        "87.20",
        "73.71",
    ]


def test_ablations_are_counts_of_192():
    for name in ("ppcr_table3", "ppcr_table4", "ppcr_table5"):
        assert 192 in possible_sizes(table(name)["accuracy"]).index


def test_table_1_has_two_constant_rows():
    rows = table("ppcr_table1", "Fundus-iSee")
    found = constant_rows(rows["accuracy"], rows["f1"], 992, 5)
    assert found.index.tolist() == [("ResNet50", "SE"), ("ResNet50", "NL")]
    assert set(found["k"]) == {769} and set(found["average"]) == {"weighted"}
    others = table("ppcr_table1", "ISIC2018")
    assert not len(constant_rows(others["accuracy"], others["f1"], 192, 7))


def test_breastmnist_f1_is_weighted_or_impossible():
    rows = table("ppcr_table2", "BreastMNIST")
    having = {a: (two_classes(rows["accuracy"], rows["f1"], BREAST, a)["matrices"] > 0).sum()
              for a in ("weighted", "macro", "first", "second")}  # fmt: skip
    assert having == {"weighted": 11, "macro": 0, "first": 0, "second": 0}
    found = two_classes(rows["accuracy"], rows["f1"], BREAST)
    assert found.loc[("ResNet18", "EA"), ["right_0", "right_1"]].tolist() == [1, 114]
    assert found.loc[("ResNet18", "PPCR"), ["right_0", "right_1"]].tolist() == [30, 106]
    outside = (found["f1"].astype(float) < found["lowest"].astype(float)) | (
        found["f1"].astype(float) > found["highest"].astype(float)
    )
    assert found.index[outside].tolist() == [
        ("ResNet18", "CA"),
        ("ResNet18", "GC"),
        ("ResNet50", "PPCR"),
    ]


def test_global_means_are_of_30_epochs():
    rows = table("global_table2")
    means = rows[rows["std"].notna()]
    fifths = {"Glaucoma": 119, "IDRiD retinopathy": 103, "IDRiD macular edema": 103, "JAFFE": 43}
    fit = {
        name: fits(each["accuracy"], [30 * fifths[name]]).iloc[0]
        for name, each in means.groupby("dataset")
    }
    assert {name: int(row["cells"]) for name, row in fit.items()} == {
        "Glaucoma": 10,
        "IDRiD macular edema": 9,
        "IDRiD retinopathy": 11,
        "JAFFE": 12,
    }
    assert max(row["p"] for row in fit.values()) < 0.015 and fit["JAFFE"]["p"] < 2e-8
    single = rows[rows["std"].isna()]
    glaucoma = single[single["dataset"] == "Glaucoma"]["accuracy"]
    assert possible_sizes(glaucoma, range(1, 601)).index.tolist() == [587, 591]
    assert images(glaucoma, 591).tolist() == [439, 440]


def test_floats_are_refused():
    with pytest.raises(ValueError, match="floats, which have lost their zeros"):
        misfits([85.9, 87.2], 156)
    assert misfits(["85.90", "87.20"], 156)["printed"].tolist() == ["87.20"]


def test_groups_with_one_name_are_refused():
    rows = pd.DataFrame({"a": ["x y", "x"], "b": ["z", "y z"], "accuracy": ["50.00", "25.00"]})
    with pytest.raises(ValueError, match="several groups are named 'x y z': rename one"):
        audit(rows, "accuracy", ["a", "b"])
