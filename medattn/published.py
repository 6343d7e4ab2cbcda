"""The papers' printed tables, as data frames; typed in once, in `data/papers/`, digit for digit."""

import pandas as pd

from medattn.paths import papers_folder


def published(table: str) -> pd.DataFrame:
    """Give a printed table, one row a data set and method.

    `table` is "ppcr_table1" (PPCR, Table 1: ISIC2018, Fundus-iSee) or "ppcr_table2" (Table 2: three MedMNIST sets).
    Columns: dataset, network, method ("none" is the plain backbone), accuracy, auc, f1 in %, params_m in
    millions, gflops.
    """
    path = papers_folder() / f"{table}.csv"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in papers_folder().glob("*.csv")))
        raise ValueError(f"there is no published table {table!r}; there are {there}")
    return pd.read_csv(path)
