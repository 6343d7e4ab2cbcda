"""CIFAR by torchvision: tiny batches of its layout; torchvision is told their checksums."""

import hashlib
import io
import pickle
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from medattn.datasets import DATASETS, catalog, cifar, download, load_dataset

SETS = {"cifar10": CIFAR10, "cifar100": CIFAR100}
N_CLASSES = {"cifar10": 10, "cifar100": 100}
LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
EACH = 10  # training images of a class, 2 test images


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def batches(name: str) -> dict[str, bytes]:
    """The files of a set: image i has the class i % n, and its number in its first two pixels."""
    n, source, files = N_CLASSES[name], SETS[name], {}
    for names, each in ((source.train_list, EACH), (source.test_list, 2)):
        numbers = np.arange(each * n)
        pixels = np.zeros((len(numbers), 3, 1024), np.uint8)  # red, green and blue, row by row
        pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 2, 32] = numbers % 256, numbers // 256, 77
        for part, (file, _) in zip(np.array_split(numbers, len(names)), names, strict=True):
            rows = {"data": pixels[part].reshape(len(part), -1), LABELS[name]: (part % n).tolist()}
            files[file] = pickle.dumps(rows)
    files[source.meta["filename"]] = pickle.dumps(
        {source.meta["key"]: [f"class {k}" for k in range(n)]}
    )
    return files


@pytest.fixture(params=list(SETS))
def known(request, monkeypatch):
    """A set's name, its files and its archive; torchvision knows their checksums."""
    name, source = request.param, SETS[request.param]
    files, archive = batches(name), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for file, content in files.items():
            entry = tarfile.TarInfo(f"{source.base_folder}/{file}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    for names in ("train_list", "test_list"):
        monkeypatch.setattr(
            source, names, [[file, md5(files[file])] for file, _ in getattr(source, names)]
        )
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": md5(files[source.meta["filename"]])})
    monkeypatch.setattr(source, "tgz_md5", md5(archive.getvalue()))
    return name, files, archive.getvalue()


@pytest.fixture
def here(known, folder):
    """The set's name and its unpacked files."""
    name, files, _ = known
    place = folder / name / SETS[name].base_folder
    place.mkdir(parents=True)
    for file, content in files.items():
        (place / file).write_bytes(content)
    return name, place


@pytest.fixture
def server(known, tmp_path, monkeypatch):
    """A web server of one file, the archive; gives that file."""
    name, _, archive = known
    (tmp_path / "web").mkdir()
    file = tmp_path / "web" / SETS[name].filename
    file.write_bytes(archive)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "web"))
    thread = Thread(target=partial(running.serve_forever, poll_interval=0.01))
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(
        SETS[name], "url", f"http://127.0.0.1:{running.server_port}/{SETS[name].filename}"
    )
    yield file
    running.shutdown()
    running.server_close()
    thread.join()


def numbers(split) -> torch.Tensor:
    return split.images[:, 0, 0, 0].long() + 256 * split.images[:, 0, 0, 1].long()


def test_training_images_are_divided(here):
    name, _ = here
    n = N_CLASSES[name]
    data = load_dataset(name, 32)
    assert (data.name, data.size, data.channels, data.n_classes) == (name, 32, 3, n)
    assert data.classes == tuple(f"class {k}" for k in range(n))
    assert [split.labels.bincount().tolist() for split in (data.train, data.val)] == [
        [EACH - 1] * n,
        [1] * n,
    ]
    assert sorted(torch.cat([numbers(data.train), numbers(data.val)]).tolist()) == list(
        range(EACH * n)
    )
    assert numbers(data.test).tolist() == list(range(2 * n))
    for split in (data.train, data.val, data.test):
        assert torch.equal(numbers(split) % n, split.labels) and split.images.is_contiguous()
        assert (split.images[:, 2, 1, 0] == 77).all()  # channel, row, column


def test_the_seed_decides_the_validation_images(here):
    name, _ = here
    one, same, other = (load_dataset(name, 32, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.val.images, same.val.images) and not torch.equal(
        one.val.images, other.val.images
    )
    assert torch.equal(one.test.images, other.test.images)


@pytest.mark.parametrize("size", [28, 31, 64])
def test_another_size_is_refused(here, size):
    with pytest.raises(ValueError, match=f"size={size}, but images of {here[0]} are 32 x 32"):
        load_dataset(here[0], size)


@pytest.mark.parametrize("which", ["train_list", "test_list", "meta"])
@pytest.mark.parametrize("harm", ["truncated", "altered", "absent"])
def test_altered_files_are_never_unpickled(here, which, harm, monkeypatch):
    name, place = here
    listed = getattr(SETS[name], which)
    file = place / (listed["filename"] if which == "meta" else listed[0][0])
    content = file.read_bytes()
    if harm == "absent":
        file.unlink()
    else:

        class Trap:
            def __reduce__(self):
                return (open, (str(place / "sprung"), "w"))

        file.write_bytes(content[:-9] if harm == "truncated" else pickle.dumps(Trap()))
    with pytest.raises(ValueError) as caught:
        load_dataset(name, 32)
    for part in (
        place,
        "incomplete or altered",
        "delete that folder",
        SETS[name].url,
        SETS[name].tgz_md5,
    ):
        assert str(part) in str(caught.value)
    assert not (place / "sprung").exists()


def test_missing_set_says_how_to_get_it(known, folder):
    name = known[0]
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset(name, 32)
    for part in (
        *(
            folder / name / SETS[name].filename,
            f"medattn data --download {name}",
            SETS[name].url,
            SETS[name].tgz_md5,
        ),
        *("phantoms", "digits", "MEDATTN_DATA"),
    ):
        assert str(part) in str(caught.value)
    assert catalog().set_index("name").loc[name, "here"] == "missing"


def test_a_set_is_downloaded_once(known, server, folder):
    name = known[0]
    assert download(name) == folder / name / SETS[name].base_folder
    assert catalog().set_index("name").loc[name, "here"] == "here"
    server.unlink()
    assert download(name) == cifar.download(name)
    assert len(load_dataset(name, 32).test) == 2 * N_CLASSES[name]


def test_an_archive_that_lies_there_is_unpacked(known, folder):
    name, _, archive = known
    (folder / name).mkdir()
    (folder / name / SETS[name].filename).write_bytes(archive)
    download(name)
    assert len(load_dataset(name, 32).test) == 2 * N_CLASSES[name]


@pytest.mark.parametrize("content", [b"", b"a page that says sorry"])
def test_wrong_archive_is_refused_then_replaced(known, server, folder, content):
    name, _, archive = known
    server.write_bytes(content)
    with pytest.raises(ValueError, match=r"what came from http.* does not have the published MD5"):
        download(name)
    assert DATASETS[name].here() == "missing"
    server.write_bytes(archive)
    download(name)
    assert DATASETS[name].here() == "here"


def test_an_address_that_does_not_answer_is_named(known, server, folder):
    server.unlink()
    with pytest.raises(
        ConnectionError, match=r"could not be fetched .*404.*is there a connection\?"
    ):
        download(known[0])


@pytest.mark.parametrize("name", SETS)
def test_download_refuses_a_size(name):
    with pytest.raises(ValueError, match=f"{name} has one size"):
        download(name, 224)
