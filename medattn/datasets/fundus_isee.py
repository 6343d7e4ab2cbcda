"""Fundus-iSee: 10,000 fundus photographs, normal or with one of four diseases; for those who have them.

Source: Fang et al. 2021, "Deep triplet hashing network for case-based medical image retrieval", Medical Image Analysis
69, 101981. The set is private: we know of no official page, and of no licence to pass it on.
Paper: Zhang et al., "PPCR", 2023, section 4.1 and Table 1: age-related macular degeneration (720 images), diabetic
retinopathy (270), glaucoma (450), myopia (790) and normal (7,770), at 224 px.
Differs from the paper: it takes division and augmentation from Fang et al. without telling them; here `seed` divides
the images, 64 % to train, 16 % to validate and 20 % to test, each part with the whole's class shares. The division is
by image: who knows which images show the same person writes a column `split` that keeps these together. To say
"normal" of every image is right for 77.7 % of them: that is what the paper's 77.5 to 80.3 % are to be held against.
"""

from pathlib import Path

from medattn.datasets.dataset import Dataset
from medattn.datasets.folder import TABLE, read_folder
from medattn.paths import data_folder

CLASSES = ("AMD", "diabetic retinopathy", "glaucoma", "myopia", "normal")

_LAYOUT = f"""The folder has one of two forms; the classes are {", ".join(CLASSES)}:
  CLASS/image.jpg, a folder for each class
  {TABLE} with the columns image (path within the folder), label and, if you like, split (train, val or test)"""


def fundus_isee_folder() -> Path:
    """Say where the photographs lie, or would lie."""
    return data_folder() / "fundus_isee"


def load_fundus_isee(size: int, seed: int = 0) -> Dataset:
    """Load the photographs as `load_folder` does, with these five classes and no others.

    Raises FileNotFoundError where there are none, and says why; ValueError with all that is wrong with the files.
    """
    if not fundus_isee_folder().is_dir():
        raise FileNotFoundError(
            f"there is no folder {fundus_isee_folder()}: Fundus-iSee (Fang et al. 2021) is private and cannot be "
            f"downloaded; who has it, or asks its authors for it, puts it there (MEDATTN_DATA names another data "
            f"folder). {_LAYOUT}\n'phantoms' and 'digits' need no download."
        )
    return read_folder(fundus_isee_folder(), "fundus_isee", size, seed, CLASSES, _LAYOUT)
