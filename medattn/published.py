"""The papers' printed tables, as data frames; typed in once, in `data/papers/`, digit for digit.

Papers: PPCR, Tables 1 to 6; global attention, Tables 1 and 2.
Differs from the papers: Table 1 of global attention swaps the class counts of IDRiD's two tasks; what is printed
stands in n_classes, and what the data set has in n_classes_corrected. The bold face of its Table 2 (a difference
between a plain network and the one with global attention) is not recorded: it is not in the text at hand.
"""

import pandas as pd

from medattn.paths import papers_folder


def published(table: str) -> pd.DataFrame:
    """Give a printed table, one row a data set and method.

    "ppcr_table1" (PPCR, Table 1: ISIC2018, Fundus-iSee) and "ppcr_table2" (Table 2: three MedMNIST sets) have the
    columns dataset, network, method ("none" is the plain backbone), accuracy, auc, f1 in %, params_m in millions,
    gflops.
    "ppcr_table6" (CIFAR-10, CIFAR-100) has the same without auc and f1.
    The ablations, with PPCR-ResNet18 on ISIC2018, have accuracy and f1 in % and "ppcr_table3": n_scales (3 is the
    scales 1, 2, 4); "ppcr_table4": normalisation, as in `NORMALISATIONS` ("none" is the paper's "Original");
    "ppcr_table5": init, the start value of W.
    "ppcr_cost_differences" is ours: the cells of params_m and gflops that `evaluation.cost` does not reproduce
    (table, network, method, column), and the reason as far as it was found.
    "global_table1" (global attention, Table 1; IDRiD has a row for each of its tasks): dataset, n_images,
    n_classes, n_classes_corrected.
    "global_table2" (Table 2): dataset, network, method ("none", "L1" or "global"), accuracy in %, std in % (over 30
    epochs of one run; missing for LR and SVM), star (significantly different from L1, as marked by *).
    Raises ValueError for any other name, with the tables there are.
    """
    path = papers_folder() / f"{table}.csv"
    if not papers_folder().is_dir():
        raise ValueError(f"the printed tables are in a checkout's data/papers, and {papers_folder()} is not there")
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in papers_folder().glob("*.csv")))
        raise ValueError(f"there is no published table {table!r}; there are {there}")
    return pd.read_csv(path)
