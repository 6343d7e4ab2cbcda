"""Every data set by its name: how it is loaded, what it is, whether it is here and where to get it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import pandas as pd
from medmnist import INFO

from medattn.datasets import digits, medmnist, phantoms
from medattn.datasets.dataset import Dataset
from medattn.datasets.on_disk import load_npz

NPZ = "npz:"  # begins the name of any .npz in MedMNIST's form

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
    """One line of the catalog; `load` takes the size in pixels first, then the set's own options."""

    load: Callable[..., Dataset]
    classes: int
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
}


def load_dataset(name: str, size: int = 28, **options) -> Dataset:
    """Load a data set by its name in DATASETS, or `npz:PATH` for any .npz in MedMNIST's form.

    `size` is the side of its images in pixels; the options are the set's own (of the phantoms: n_train, n_val, n_test,
    channels, contrast, seed). Raises ValueError for an unknown name, option or size, FileNotFoundError for a missing
    file, with the way to get it.
    """
    if name.startswith(NPZ):
        load = partial(load_npz, name.removeprefix(NPZ))
    elif name in DATASETS:
        load = DATASETS[name].load
    else:
        near = get_close_matches(name, DATASETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"name={name!r} is not one of {', '.join(DATASETS)} or {NPZ}PATH{hint}")
    known = list(inspect.signature(load).parameters)[1:]  # after the size
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{option}={value!r} is no option of {name}, which has {', '.join(known) or 'none'}")
    return load(size, **options)


def catalog() -> pd.DataFrame:
    """List the data sets: name, classes, sizes in pixels, images (train / val / test), licence, citation, here, get.

    `here` names the sizes whose file is in the data folder; their checksums are compared on loading, not here.
    """
    rows = [{"name": name, **vars(entry), "here": entry.here()} for name, entry in DATASETS.items()]
    npz = {"name": f"{NPZ}PATH", "classes": "any", "sizes": "any", "images": "any", "licence": "its own"}
    rows.append({**npz, "citation": "its own", "here": "yours", "get": "arrays as in MedMNIST's files"})
    return pd.DataFrame(rows).drop(columns="load")
