"""MedMNIST's files: checked before use, got whole or not at all. A server of the test's own stands in for Zenodo."""

import hashlib
import io
import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from medmnist import INFO

from medattn.datasets import download, load_dataset, medmnist
from medattn.paths import data_folder

HERE = data_folder() / "medmnist"


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
        monkeypatch.setitem(INFO["breastmnist"], key, f"http://127.0.0.1:{running.server_port}/{key}.npz?download=1")
    monkeypatch.setitem(INFO["breastmnist"], "MD5", md5(page["content"]))
    yield page
    running.shutdown()
    running.server_close()
    thread.join()


def left_in(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def test_the_official_file_loads(official):
    data = load_dataset("breastmnist")
    assert (data.name, data.size, data.channels) == ("breastmnist", 28, 1)
    assert data.classes == ("malignant", "normal, benign")
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_truncated_file_is_refused_with_both_checksums_and_the_way_out(official):
    whole = official.read_bytes()
    official.write_bytes(whole[:-100])
    with pytest.raises(ValueError) as caught:
        load_dataset("breastmnist")
    for part in (official, md5(whole), md5(whole[:-100]), "truncated or altered", "--download breastmnist", "phantoms"):
        assert str(part) in str(caught.value)


def test_an_altered_file_is_found_out_though_it_was_right_before(official):
    load_dataset("breastmnist")
    content = bytearray(official.read_bytes())
    content[len(content) // 2] ^= 1  # of the same length
    official.write_bytes(content)
    changed = official.stat().st_mtime_ns + 10**9  # file systems may keep whole seconds only
    os.utime(official, ns=(changed, changed))
    with pytest.raises(ValueError, match="truncated or altered"):
        load_dataset("breastmnist")


def test_a_file_of_the_right_checksum_but_wrong_form_is_refused(folder, monkeypatch):
    content = official_bytes(size=29)
    monkeypatch.setitem(INFO["breastmnist"], "MD5", md5(content))
    folder.mkdir()
    (folder / "breastmnist.npz").write_bytes(content)
    with pytest.raises(ValueError, match="29 x 29"):
        load_dataset("breastmnist")


def test_an_unchanged_file_is_summed_up_once(official, monkeypatch):
    load_dataset("breastmnist")
    monkeypatch.setattr(medmnist.hashlib, "file_digest", None)  # would fail when called
    load_dataset("breastmnist")


@pytest.mark.parametrize("name", medmnist.NAMES)
@pytest.mark.parametrize("size", medmnist.SIZES)
def test_every_set_has_address_and_checksum_at_every_size(name, size):
    suffix = "" if size == 28 else f"_{size}"
    assert medmnist.medmnist_file(name, size).name == f"{name}{suffix}.npz"
    assert INFO[name][f"url{suffix}"].split("?")[0].endswith(f"/{name}{suffix}.npz")
    assert len(INFO[name][f"MD5{suffix}"]) == 32


def test_there_are_twelve_sets_one_of_them_not_supported():
    assert len(medmnist.NAMES) == 12
    assert [name for name in medmnist.NAMES if not medmnist.is_supported(name)] == ["chestmnist"]


def test_download_gets_the_file_once(server, folder):
    file = download("breastmnist")
    assert file == folder / "breastmnist.npz" and file.read_bytes() == server["content"]
    assert left_in(folder) == ["breastmnist.npz"]
    assert len(load_dataset("breastmnist").train) == 6
    assert download("breastmnist") == file and server["asked"] == 1


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
    with pytest.raises(ValueError, match=f"MD5 {md5(server['content'])}, not .* was not kept"):
        download("breastmnist")
    assert left_in(folder) == []


def test_a_download_that_breaks_off_is_not_kept_and_leaves_the_old_file(server, folder):
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
    for part in ("404", INFO["breastmnist"]["url"], INFO["breastmnist"]["MD5"], folder / "breastmnist.npz", "phantoms"):
        assert str(part) in str(caught.value)
    assert left_in(folder) == []


def test_no_connection_tells_the_manual_steps(folder, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(INFO["breastmnist"], "url", "http://127.0.0.1:9/breastmnist.npz")  # nobody listens there
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
def test_download_names_what_it_cannot_get(name, size, says, folder):
    with pytest.raises(ValueError, match=says):
        download(name, size)
    assert left_in(folder) == []


@pytest.mark.parametrize(("name", "size"), [("breastmnist", 28), ("retinamnist", 28), ("breastmnist", 224)])
def test_the_real_file_has_the_published_numbers_of_images(name, size):
    suffix = "" if size == 28 else f"_{size}"
    if not (HERE / f"{name}{suffix}.npz").is_file():
        pytest.skip(f"{name}{suffix}.npz is not in the data folder (MEDATTN_DATA, `medattn data --download {name}`)")
    data, info = load_dataset(name, size), INFO[name]
    assert data.channels == info["n_channels"] and data.n_classes == len(info["label"])
    for split in ("train", "val", "test"):
        assert len(getattr(data, split)) == info["n_samples"][split]
    assert torch_range(data.train.images) == (0, 255)


def torch_range(images) -> tuple[int, int]:
    return int(images.min()), int(images.max())
