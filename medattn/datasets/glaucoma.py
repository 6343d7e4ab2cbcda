"""Glaucoma: retinal thickness images of the global attention paper, which are private; for those who have them.

Paper: global spatial attention, section 4.1 and supplement 1.3, after Uesaka et al. 2017: the data may not be passed
on, and the preprocessing is not told. Differs from the paper: any folder of images is read, as it is.
"""

from pathlib import Path

from medattn.datasets.dataset import Dataset
from medattn.datasets.folder import LAYOUT, read_folder
from medattn.paths import data_folder


def glaucoma_folder() -> Path:
    """Say where the images lie, or would lie."""
    return data_folder() / "glaucoma"


def load_glaucoma(size: int, seed: int = 0) -> Dataset:
    """Load the images as `load_folder` does. Raises FileNotFoundError where there are none, and says why."""
    if not glaucoma_folder().is_dir():
        raise FileNotFoundError(
            f"there is no folder {glaucoma_folder()}: Glaucoma (Uesaka et al. 2017) is private and cannot be "
            f"downloaded; who has it, or images of their own, puts them there (MEDATTN_DATA names another data "
            f"folder). {LAYOUT}\n'phantoms' and 'digits' need no download."
        )
    return read_folder(glaucoma_folder(), "glaucoma", size, seed)
