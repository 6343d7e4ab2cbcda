"""The papers' printed tables as data frames, copied digit for digit in data/papers/.

Papers: PPCR, Tables 1 to 6; global attention, Tables 1 and 2.
Differs from the papers: Table 1 of global attention swaps the class counts of IDRiD's two tasks.
n_classes has the printed counts, n_classes_corrected those of the data set. The bold face of Table
2, a difference between a plain network and global attention, is missing.
"""

import pandas as pd

from medattn.paths import papers_folder


def published(table: str) -> pd.DataFrame:
    """Return a printed table, one row per data set and method.

    - ppcr_table1, ppcr_table2: dataset, network, method ("none" is the plain network), accuracy,
      auc, f1 in %, params_m in millions, gflops. ppcr_table6: the same without auc and f1.
    - ppcr_table3, ppcr_table4, ppcr_table5: ablations of PPCR-ResNet18 on ISIC2018, with accuracy
      and f1 in %. They have n_scales (3 is 1, 2, 4), normalisation (as in `NORMALISATIONS`; "none"
      is "Original") and init, the start value of W.
    - ppcr_cost_differences (ours): cells of params_m and gflops that `evaluation.cost` does not
      reproduce (table, network, method, column), and the reason if it was found.
    - global_table1: dataset (IDRiD once per task), n_images, n_classes, n_classes_corrected.
    - global_table2: dataset, network, method ("none", "L1" or "global"), accuracy and std in % (std
      over 30 epochs of one run; missing for LR and SVM), star (differs from L1, marked by *).

    Raises ValueError for any other name.
    """
    folder = papers_folder()
    path = folder / f"{table}.csv"
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist: printed tables need a checkout's data/papers")
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.csv")))
        raise ValueError(f"there is no published table {table!r}; there are {names}")
    return pd.read_csv(path)
