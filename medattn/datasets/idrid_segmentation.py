"""IDRiD, segmentation: 81 fundus photographs with masks of four kinds of lesions and of the optic disc.

Source: Porwal et al. 2018, "Indian Diabetic Retinopathy Image Dataset", Data 3, 25; CC BY 4.0.
Paper: global spatial attention has no use for them; here they are cut, resized and aligned as its images are, to ask
whether a map that was learnt on grades finds the lesions. Many are grading images too: `idrid_twins` says which.
A pixel belongs to a lesion where any part of it does, so that the smallest microaneurysm survives: masks are up to a
pixel too wide on each side. It belongs to the disc where half of it does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.area import area_mean, check_size, shrink
from medattn.datasets.decoded import Row, decoded
from medattn.datasets.idrid import LEFT, PLACES, RIGHT, idrid_folder, require
from medattn.datasets.pictures import read_or_note
from medattn.datasets.problems import Problems

LESIONS = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
}
_FOLDERS = {**LESIONS, "OD": "5. Optic Disc"}

_PART, _IMAGES, _MASKS = "A. Segmentation", "1. Original Images", "2. All Segmentation Groundtruths"
_LAYOUT = f"""The folder must be as it was published ({PLACES["test"]} alike):
  {_PART}/{_IMAGES}/{PLACES["train"]}/IDRiD_01.jpg ...
  {_PART}/{_MASKS}/{PLACES["train"]}/{LESIONS["MA"]}/IDRiD_01_MA.tif, none where there is no lesion of the kind
  {_PART}/{_MASKS}/{PLACES["train"]}/{_FOLDERS["OD"]}/IDRiD_01_OD.tif, one for each image"""

Files = dict[str, Path]  # of one image: "image", "OD", and the kinds of lesions it has


@dataclass(frozen=True, eq=False)
class Segmented:
    """The segmented images in name order, the optic disc on the left.

    Shape: images (N, 3, H, W) uint8; discs and each kind of `lesions` (MA, HE, EX, SE) (N, H, W) bool; flipped (N,)
    bool. `split` is the official one, "train" or "test".
    """

    images: Tensor
    lesions: dict[str, Tensor]
    discs: Tensor
    flipped: Tensor
    names: tuple[str, ...]
    split: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def idrid_segmentation(size: int) -> Segmented:
    """Load the 81 segmented images and their masks at `size` pixels.

    An image is flipped where the centre of its own disc mask lies on the right. Raises FileNotFoundError where this
    part of IDRiD is missing, with the way to get it, and ValueError with all that is wrong with its files at once.
    """
    check_size(size)
    require(_PART, _LAYOUT)
    problems = Problems(idrid_folder(), _LAYOUT)
    files = _files(problems)
    if not files:
        problems.raise_any()
    complete = {key: own for key, own in files.items() if "OD" in own}
    sources = [file for own in complete.values() for file in own.values()]

    def rows() -> Iterator[Row]:
        for own in complete.values():
            arrays = {k: read_or_note(file, "RGB" if k == "image" else "L", problems) for k, file in own.items()}
            if _fit(own, arrays, problems):
                yield _aligned(arrays, size)
        problems.raise_any()

    arrays = decoded(f"idrid-segmentation-{size}", idrid_folder(), sources, len(complete), rows)
    problems.raise_any()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    split, names = zip(*files, strict=True)
    lesions = {kind: tensors[kind] for kind in LESIONS}
    return Segmented(tensors["images"], lesions, tensors["OD"], tensors["flipped"], names, split)


def _files(problems: Problems) -> dict[tuple[str, str], Files]:
    """Give each image's files by split and name; note what does not belong together."""
    files: dict[tuple[str, str], Files] = {}
    for split, place in PLACES.items():
        images = sorted((problems.folder / _PART / _IMAGES / place).glob("IDRiD_[0-9][0-9].jpg"))
        files |= {(split, file.stem): {"image": file} for file in images}
        if not images:
            problems.add("folders without images", f"{_PART}/{_IMAGES}/{place}")
        for kind, folder in _FOLDERS.items():
            masks = problems.folder / _PART / _MASKS / place / folder
            if not masks.is_dir():  # else every lesion of the kind would be missed without a word
                problems.add("folders that are missing", f"{_PART}/{_MASKS}/{place}/{folder}")
            for file in sorted(masks.glob(f"IDRiD_*_{kind}.tif")):
                own = files.get((split, file.stem.removesuffix(f"_{kind}")))
                if own is None:
                    problems.add("masks without an image", f"{place}/{folder}/{file.name}")
                else:
                    own[kind] = file
    blind = [f"{PLACES[split]}/{name}" for (split, name), own in files.items() if "OD" not in own]
    problems.add("images without a mask of the optic disc", *blind)
    return files


def _fit(own: Files, arrays: dict[str, np.ndarray | None], problems: Problems) -> bool:
    if any(array is None for array in arrays.values()):
        return False
    unlike = [kind for kind in arrays if arrays[kind].shape[:2] != arrays["image"].shape[:2]]
    problems.add("masks of another size than their image", *(str(own[k].relative_to(problems.folder)) for k in unlike))
    if not unlike and not arrays["OD"].any():
        problems.add("empty masks of the optic disc", str(own["OD"].relative_to(problems.folder)))
        return False
    return not unlike


def _aligned(arrays: dict[str, np.ndarray], size: int) -> Row:
    """Give one image and its masks, cut, resized and flipped. Shape: (3, size, size) uint8 and (size, size) bool."""
    covered = {  # the share of every pixel
        kind: area_mean(arrays[kind] > 0, size, LEFT, RIGHT) if kind in arrays else np.zeros((size, size), np.float32)
        for kind in _FOLDERS
    }
    flipped = np.average(np.arange(size), weights=covered["OD"].sum(0)) > (size - 1) / 2
    step = -1 if flipped else 1
    image = shrink(arrays["image"], size, LEFT, RIGHT)[:, ::step]
    masks = {
        kind: share[:, ::step] > 0 if kind in LESIONS else share[:, ::step] >= 0.5 for kind, share in covered.items()
    }
    return {"images": np.moveaxis(image, 2, 0), **masks, "flipped": np.asarray(flipped)}
