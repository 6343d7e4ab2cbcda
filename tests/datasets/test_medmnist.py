"""MedMNIST's files: checked before use, downloaded whole or not at all.

A local server stands in for Zenodo.
"""

import hashlib
import io
import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from medmnist import INFO

from medattn.datasets import DATASETS, download, load_dataset, medmnist
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.medmnist import MASKS_FILE, with_masks
from medattn.paths import data_folder

HERE = data_folder() / "medmnist"
NAMES = [name for name in DATASETS if name.endswith("mnist")]


def official_bytes(size: int = 28, seed: int = 0) -> bytes:
    """A file of BreastMNIST's form, small."""
    generator, buffer, arrays = np.random.default_rng(seed), io.BytesIO(), {}
    for split, n in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{split}_images"] = generator.integers(0, 256, (n, size, size), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(n, dtype=np.uint8)[:, None] % 2
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path))
    return tmp_path / "medmnist"


@pytest.fixture
def official(folder, monkeypatch):
    """The 28 px file, as the checksum wants it."""
    content = official_bytes()
    monkeypatch.setitem(INFO["breastmnist"], "MD5", md5(content))
    folder.mkdir()
    (folder / "breastmnist.npz").write_bytes(content)
    return folder / "breastmnist.npz"


@pytest.fixture
def server(monkeypatch):
    """A web server of one page; `page` says its content, status and how long it claims to be."""
    page = {"content": official_bytes(), "status": 200, "length": None, "asked": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page["asked"] += 1
            self.send_response(page["status"])
            self.send_header("Content-Length", str(page["length"] or len(page["content"])))
            self.end_headers()
            self.wfile.write(page["content"])

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for key in ("url", "url_64"):
        monkeypatch.setitem(
            INFO["breastmnist"], key, f"http://127.0.0.1:{running.server_port}/{key}.npz?download=1"
        )
    monkeypatch.setitem(INFO["breastmnist"], "MD5", md5(page["content"]))
    yield page
    running.shutdown()
    running.server_close()
    thread.join()


def left_in(folder) -> list[str]:
    return (
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        if folder.exists()
        else []
    )


def test_the_official_file_loads(official):
    data = load_dataset("breastmnist")
    assert (data.name, data.size, data.channels) == ("breastmnist", 28, 1)
    assert data.classes == ("malignant", "normal, benign")
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_truncated_file_is_refused_with_checksums(official):
    whole = official.read_bytes()
    official.write_bytes(whole[:-100])
    with pytest.raises(ValueError) as caught:
        load_dataset("breastmnist")
    for part in (
        official,
        md5(whole),
        md5(whole[:-100]),
        "truncated or altered",
        "--download breastmnist",
        "phantoms",
    ):
        assert str(part) in str(caught.value)


def test_file_altered_after_loading_is_refused(official):
    load_dataset("breastmnist")
    content = bytearray(official.read_bytes())
    content[len(content) // 2] ^= 1  # of the same length
    official.write_bytes(content)
    changed = official.stat().st_mtime_ns + 10**9  # file systems may keep whole seconds only
    os.utime(official, ns=(changed, changed))
    with pytest.raises(ValueError, match="truncated or altered"):
        load_dataset("breastmnist")


def test_official_file_of_wrong_form_is_refused(folder, monkeypatch):
    content = official_bytes(size=29)
    monkeypatch.setitem(INFO["breastmnist"], "MD5", md5(content))
    folder.mkdir()
    (folder / "breastmnist.npz").write_bytes(content)
    with pytest.raises(ValueError, match="29 x 29"):
        load_dataset("breastmnist")


def test_unchanged_file_is_read_once(official, monkeypatch):
    load_dataset("breastmnist")
    monkeypatch.setattr("torchvision.datasets.utils.calculate_md5", None)  # would fail when called
    load_dataset("breastmnist")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", medmnist.SIZES)
def test_every_size_has_address_and_checksum(name, size):
    suffix = "" if size == 28 else f"_{size}"
    if name != "chestmnist":
        assert medmnist.official_file(name, size)[0].name == f"{name}{suffix}.npz"
    assert INFO[name][f"url{suffix}"].split("?")[0].endswith(f"/{name}{suffix}.npz")
    assert len(INFO[name][f"MD5{suffix}"]) == 32


def test_chestmnist_is_not_supported():
    multi_label = [name for name in NAMES if "multi-label" in INFO[name]["task"]]
    assert len(NAMES) == 12 and multi_label == ["chestmnist"]
    with pytest.raises(ValueError, match="several labels per image"):
        medmnist.official_file("chestmnist")


def test_download_gets_the_file_once(server, folder):
    file = download("breastmnist")
    assert file == folder / "breastmnist.npz" and file.read_bytes() == server["content"]
    assert left_in(folder) == ["breastmnist.npz"]
    assert len(load_dataset("breastmnist").train) == 6
    requests = server["asked"]
    assert download("breastmnist") == file and server["asked"] == requests


def test_download_at_another_size_takes_the_other_file(server, folder, monkeypatch):
    server["content"] = official_bytes(64)
    monkeypatch.setitem(INFO["breastmnist"], "MD5_64", md5(server["content"]))
    assert download("breastmnist", 64) == folder / "breastmnist_64.npz"
    assert load_dataset("breastmnist", 64).size == 64


def test_download_replaces_a_damaged_file(server, folder):
    folder.mkdir()
    (folder / "breastmnist.npz").write_bytes(b"half of it")
    assert download("breastmnist").read_bytes() == server["content"]


def test_an_altered_download_is_not_kept(server, folder):
    server["content"] = official_bytes(seed=1)
    with pytest.raises(ValueError, match=r"does not have the published MD5 and is not used"):
        download("breastmnist")
    assert left_in(folder) == []


def test_broken_download_keeps_old_file(server, folder):
    folder.mkdir()
    (folder / "breastmnist.npz").write_bytes(b"old")
    server["length"] = len(server["content"]) + 1000
    with pytest.raises((ValueError, ConnectionError)):
        server["content"] = server["content"][:500]
        download("breastmnist")
    assert left_in(folder) == ["breastmnist.npz"]
    assert (folder / "breastmnist.npz").read_bytes() == b"old"


def test_a_refused_download_tells_the_manual_steps(server, folder):
    server["status"] = 404
    with pytest.raises(ConnectionError) as caught:
        download("breastmnist")
    for part in (
        "404",
        INFO["breastmnist"]["url"],
        INFO["breastmnist"]["MD5"],
        folder / "breastmnist.npz",
        "phantoms",
    ):
        assert str(part) in str(caught.value)
    assert left_in(folder) == []


def test_no_connection_tells_the_manual_steps(folder, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(
        INFO["breastmnist"], "url", "http://127.0.0.1:9/breastmnist.npz"
    )  # nobody listens there
    with pytest.raises(ConnectionError, match="could not be fetched"):
        download("breastmnist")
    assert left_in(folder) == []


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("mnist", 28, "name='mnist' cannot be downloaded.*; there are pathmnist"),
        ("organmnist3d", 28, "cannot be downloaded"),
        ("phantoms", 28, "cannot be downloaded"),
        ("breastmnist", 32, "size=32 is not one of 28, 64, 128, 224"),
        ("chestmnist", 28, "multi-label"),
    ],
)
def test_unavailable_downloads_are_refused(name, size, says, folder):
    with pytest.raises(ValueError, match=says):
        download(name, size)
    assert left_in(folder) == []


@pytest.mark.parametrize(
    ("name", "size"), [("breastmnist", 28), ("retinamnist", 28), ("breastmnist", 224)]
)
def test_real_file_has_published_numbers(name, size):
    suffix = "" if size == 28 else f"_{size}"
    if not (HERE / f"{name}{suffix}.npz").is_file():
        pytest.skip(f"{name}{suffix}.npz is not in the data folder (MEDATTN_DATA)")
    data, info = load_dataset(name, size), INFO[name]
    assert data.channels == info["n_channels"] and data.n_classes == len(info["label"])
    for split in ("train", "val", "test"):
        assert len(getattr(data, split)) == info["n_samples"][split]
    assert torch_range(data.train.images) == (0, 255)


def torch_range(images) -> tuple[int, int]:
    return int(images.min()), int(images.max())


def breast(size, counts=(4, 2, 3)):
    splits = [
        Split(torch.zeros(n, 1, size, size, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64))
        for n in counts
    ]
    return Dataset("breastmnist", size, ("malignant", "benign"), *splits)


def save_masks(root, counts=(4, 2, 3), **changes):
    arrays = {}
    for name, n in zip(("train", "val", "test"), counts, strict=True):
        masks = np.zeros((n, 224, 224), np.uint8)
        masks[0, :112, 112:] = 1  # the upper right quarter; the others are normal
        arrays[f"{name}_masks"] = masks
    np.savez_compressed(
        root / MASKS_FILE, **{k: v for k, v in (arrays | changes).items() if v is not None}
    )


def test_without_the_file_breastmnist_has_no_masks(folder):
    data = breast(28)
    assert with_masks(data) is data


@pytest.mark.parametrize("size", [28, 64, 224])
def test_masks_come_in_the_size_of_the_images(folder, size):
    save_masks(folder.parent)
    data = with_masks(breast(size))
    assert data.test.masks.shape == (3, size, size) and data.test.masks.any((1, 2)).tolist() == [
        True,
        False,
        False,
    ]
    expected = torch.zeros(size, size, dtype=torch.bool)
    expected[: size // 2, size // 2 :] = True
    assert torch.equal(data.train.masks[0], expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"test_masks": np.zeros((2, 224, 224), np.uint8)},
        {"test_masks": np.full((3, 224, 224), 255, np.uint8)},
        {"val_masks": None},
    ],
)
def test_masks_of_other_images_are_refused(folder, changes):
    save_masks(folder.parent, **changes)
    with pytest.raises(ValueError, match=r"must be 0 and 1, \(\d, H, W\), a mask for each image"):
        with_masks(breast(28))
