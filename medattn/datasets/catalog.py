"""Every data set by its name: how it is loaded, what it is, whether it is here and where to get it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from medmnist import INFO

from medattn.datasets import area, cifar, digits, fundus_isee, glaucoma, idrid, isic2018, jaffe, medmnist, phantoms
from medattn.datasets.dataset import Dataset
from medattn.datasets.folder import load_folder
from medattn.datasets.on_disk import load_npz
from medattn.near import near

NPZ = "npz:"  # begins the name of any .npz in MedMNIST's form
FOLDER = "folder:"  # begins the name of any folder of images
OWN = (NPZ, FOLDER)  # what a user brings, under a name that may stand for other images tomorrow
_ANY_SIZE = f"{area.SMALLEST} to {area.LARGEST}"

_MEDMNIST = "Yang et al. 2023, MedMNIST v2, Scientific Data 10, 41"
_SOURCES = {  # of MedMNIST's images
    "pathmnist": "Kather et al. 2019",
    "chestmnist": "Wang et al. 2017, ChestX-ray14",
    "dermamnist": "Tschandl et al. 2018, HAM10000; Codella et al. 2019",
    "octmnist": "Kermany et al. 2018",
    "pneumoniamnist": "Kermany et al. 2018",
    "retinamnist": "Liu et al. 2022, DeepDRiD",
    "breastmnist": "Al-Dhabyani et al. 2020, BUSI",
    "bloodmnist": "Acevedo et al. 2020",
    "tissuemnist": "Ljosa et al. 2012, BBBC051",
    "organamnist": "Bilic et al. 2023, LiTS; Xu et al. 2019",
    "organcmnist": "Bilic et al. 2023, LiTS; Xu et al. 2019",
    "organsmnist": "Bilic et al. 2023, LiTS; Xu et al. 2019",
}


@dataclass(frozen=True)
class Entry:
    """One line of the catalog; `load` takes the size in pixels first, then the set's own options.

    `classes` is a number, or the numbers for each value of the option that decides it.
    """

    load: Callable[..., Dataset]
    classes: int | str
    sizes: str
    images: str
    licence: str
    citation: str
    here: Callable[[], str]
    get: str


def _medmnist_entry(name: str) -> Entry:
    info, supported = INFO[name], medmnist.is_supported(name)

    def here() -> str:
        if not supported:
            return "not supported: several labels an image"
        return ", ".join(str(s) for s in medmnist.SIZES if medmnist.medmnist_file(name, s).is_file()) or "missing"

    return Entry(
        load=partial(medmnist.load_medmnist, name),
        classes=len(info["label"]),
        sizes=", ".join(map(str, medmnist.SIZES)),
        images=" / ".join(str(info["n_samples"][split]) for split in ("train", "val", "test")),
        licence=info["license"],
        citation="; ".join(filter(None, (_SOURCES.get(name), _MEDMNIST))),
        here=here,
        get=f"medattn data --download {name} [--size 224]" if supported else "-",
    )


def _cifar_entry(name: str, classes: int) -> Entry:
    return Entry(
        load=partial(cifar.load_cifar, name),
        classes=classes,
        sizes=str(cifar.SIZE),
        images="45000 / 5000 / 10000",
        licence="none stated",
        citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        here=lambda: _here(cifar.is_here(name)),
        get=f"medattn data --download {name}",
    )


def _here(found: bool) -> str:
    return "here" if found else "missing"


DATASETS: dict[str, Entry] = {
    "phantoms": Entry(
        load=phantoms.phantoms,
        classes=len(phantoms.CLASSES),
        sizes=f"{phantoms.SMALLEST} to {phantoms.LARGEST}",
        images="600 / 150 / 300, or any number",
        licence="MIT",
        citation="this project: drawn, not photographed",
        here=lambda: "built in",
        get="nothing to get",
    ),
    "digits": Entry(
        load=digits.digits,
        classes=10,
        sizes=f"{digits.SMALLEST} to {digits.LARGEST}",
        images="1197 / 200 / 400",
        licence="CC BY 4.0",
        citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits",
        here=lambda: "built in",
        get="nothing to get",
    ),
    **{name: _medmnist_entry(name) for name in medmnist.NAMES},
    "idrid": Entry(
        load=idrid.load_idrid,
        classes=", ".join(f"{len(classes)} {task}" for task, (_, classes) in idrid.TASKS.items()),
        sizes=_ANY_SIZE,
        images="330 / 83 / 103",
        licence="CC BY 4.0",
        citation="Porwal et al. 2018, Indian Diabetic Retinopathy Image Dataset, Data 3, 25",
        here=lambda: _here(idrid.is_here()),
        get=f"{idrid.GET}, unpacked in the data folder's idrid/",
    ),
    "jaffe": Entry(
        load=jaffe.load_jaffe,
        classes=len(jaffe.CLASSES),
        sizes=_ANY_SIZE,
        images="213, divided by seed",
        licence="its own terms",
        citation="Lyons et al. 1998, Coding facial expressions with Gabor wavelets; Zenodo 3451524",
        here=lambda: _here(jaffe.jaffe_folder().is_dir()),
        get=f"{jaffe.GET}, unpacked in the data folder's jaffe/",
    ),
    "glaucoma": Entry(
        load=glaucoma.load_glaucoma,
        classes=3,
        sizes=_ANY_SIZE,
        images="591, divided by seed",
        licence="private",
        citation="Uesaka et al. 2017, Multi-view Learning over Retinal Thickness and Visual Sensitivity",
        here=lambda: _here(glaucoma.glaucoma_folder().is_dir()),
        get="private; a folder of images in the data folder's glaucoma/",
    ),
    "isic2018": Entry(
        load=isic2018.load_isic2018,
        classes=len(isic2018.CLASSES),
        sizes=_ANY_SIZE,
        images="10015 / 193 / 1512",
        licence="CC BY-NC 4.0",
        citation="Tschandl et al. 2018, HAM10000; Codella et al. 2019",
        here=lambda: _here(isic2018.is_here()),
        get=f"{isic2018.GET}, unpacked in the data folder's isic2018/",
    ),
    "fundus_isee": Entry(
        load=fundus_isee.load_fundus_isee,
        classes=len(fundus_isee.CLASSES),
        sizes=_ANY_SIZE,
        images="10000, divided by seed",
        licence="private",
        citation="Fang et al. 2021, Deep triplet hashing network, Medical Image Analysis 69, 101981",
        here=lambda: _here(fundus_isee.fundus_isee_folder().is_dir()),
        get="private; a folder for each class, or a table, in the data folder's fundus_isee/",
    ),
    "cifar10": _cifar_entry("cifar10", 10),
    "cifar100": _cifar_entry("cifar100", 100),
}


def is_known(name: str) -> bool:
    """Say whether `load_dataset` knows a name; the files may be missing all the same."""
    return name in DATASETS or name.startswith(OWN)


def load_dataset(name: str, size: int = 28, **options) -> Dataset:
    """Load a data set by its name in DATASETS; `npz:PATH` is any .npz in MedMNIST's form, `folder:PATH` any folder.

    `size` is the side of its images in pixels; the options are the set's own (of the phantoms: n_train, n_val, n_test,
    channels, contrast, seed; of idrid: task; of isic2018: division, seed; of the others that are not divided: seed).
    Raises ValueError for an unknown name, option or size, FileNotFoundError for a missing file, with the way to get it.
    """
    if name.startswith(NPZ):
        load = partial(load_npz, name.removeprefix(NPZ))
    elif name.startswith(FOLDER):
        load = partial(load_folder, name.removeprefix(FOLDER))
    elif name in DATASETS:
        load = DATASETS[name].load
    else:
        known = f"{', '.join(DATASETS)}, {NPZ}PATH or {FOLDER}PATH"
        raise ValueError(f"name={name!r}{near(name, DATASETS)} is not one of {known}")
    known = list(inspect.signature(load).parameters)[1:]  # after the size
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{option}={value!r} is no option of {name}, which has {', '.join(known) or 'none'}")
    return load(size, **options)


def download(name: str, size: int = 28) -> Path:
    """Get a set of MedMNIST at this size, or cifar10 or cifar100; give its place. Nothing is done when it is there.

    Raises ConnectionError when it cannot be fetched, ValueError for another name or size and for a wrong checksum.
    """
    if name in cifar.SETS:
        return cifar.download(name)
    if name in medmnist.NAMES:
        return medmnist.download(name, size)
    there = (*medmnist.NAMES, *cifar.SETS)
    hint = near(name.lower(), there)
    raise ValueError(f"name={name!r} cannot be downloaded{hint}; there are {', '.join(there)}")


def catalog() -> pd.DataFrame:
    """List the data sets: name, classes, sizes in pixels, images (train / val / test), licence, citation, here, get.

    `here` names the sizes whose file is in the data folder, or says whether the set's folder is there; what is in them
    is checked on loading, not here.
    """
    rows = [{"name": name, **vars(entry), "here": entry.here()} for name, entry in DATASETS.items()]
    yours = {"classes": "any", "sizes": "any", "images": "any", "licence": "its own", "citation": "its own"}
    yours["here"] = "yours"
    rows.append({"name": f"{NPZ}PATH", **yours, "get": "arrays as in MedMNIST's files"})
    rows.append({"name": f"{FOLDER}PATH", **yours, "sizes": _ANY_SIZE, "get": "a folder for each class, or a table"})
    return pd.DataFrame(rows).drop(columns="load")
