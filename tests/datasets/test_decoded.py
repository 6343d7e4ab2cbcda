"""The cache of decoded sets: made once, remade when files change, never partial."""

import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch

from medattn.datasets.decoded import decoded


class Source:
    """Some files, and a count of how often they were decoded."""

    def __init__(self, root):
        self.root, self.built = root, 0
        root.mkdir()
        self.files = [root / f"{i}.txt" for i in range(3)]
        for i, file in enumerate(self.files):
            file.write_text(str(i))

    def rows(self):
        self.built += 1
        for file in self.files:
            number = int(file.read_text())
            yield {"images": np.full((1, 4, 4), number, np.uint8), "flags": np.asarray(number > 0)}

    def load(self, name="set-4"):
        return decoded(name, self.root, self.files, len(self.files), self.rows)


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


def only_folder(cache):
    (folder,) = cache.iterdir()
    return folder


def test_arrays_come_back_with_names_shapes_and_types(source):
    for _ in range(2):
        arrays = source.load()
        assert arrays["images"].shape == (3, 1, 4, 4) and arrays["images"].dtype == np.uint8
        assert arrays["images"][:, 0, 0, 0].tolist() == [0, 1, 2]
        assert arrays["flags"].tolist() == [False, True, True] and arrays["flags"].dtype == bool


def test_a_second_load_decodes_nothing(source, own_cache):
    source.load()
    source.load()
    assert source.built == 1
    assert sorted(file.name for file in only_folder(own_cache).iterdir()) == [
        "contents.json",
        "flags.npy",
        "images.npy",
    ]


def test_arrays_are_memory_mapped_copies(source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = torch.from_numpy(source.load()["images"])
    images += 9
    assert isinstance(source.load()["images"], np.memmap)
    assert source.load()["images"][:, 0, 0, 0].tolist() == [0, 1, 2] and source.built == 1


def test_names_and_folders_do_not_share(source, tmp_path):
    other = Source(tmp_path / "other")
    source.load(), source.load("set-8"), other.load()
    assert (source.built, other.built) == (2, 1)
    source.load(), source.load("set-8"), other.load()
    assert (source.built, other.built) == (2, 1)


def longer(source):
    source.files[1].write_text("100")


def touched(source):
    source.files[1].write_text("7")
    later = source.files[1].stat().st_mtime_ns + 10**9
    os.utime(source.files[1], ns=(later, later))


def renamed(source):
    source.files[1] = source.files[1].rename(source.root / "9.txt")


def fewer(source):
    source.files.pop()


@pytest.mark.parametrize("change", [longer, touched, renamed, fewer])
def test_changed_files_are_decoded_anew(source, own_cache, change):
    source.load()
    change(source)
    arrays = source.load()
    assert source.built == 2 and len(arrays["images"]) == len(source.files)
    assert arrays["images"][1, 0, 0, 0] == int(source.files[1].read_text())
    only_folder(own_cache)


def cut(folder):
    whole = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(whole[:-5])


def emptied(folder):
    (folder / "images.npy").write_bytes(b"")


def altered(folder):
    content = bytearray((folder / "images.npy").read_bytes())
    content[-1] ^= 1
    (folder / "images.npy").write_bytes(content)


def removed(folder):
    (folder / "flags.npy").unlink()


def pickled(folder):
    np.save(folder / "images.npy", np.array([{}], dtype=object))


def no_contents(folder):
    (folder / "contents.json").unlink()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"fingerprint": "x", "sha256": {}}', '"sha256"', "\0"]
)
def test_unreadable_contents_are_written_anew(source, own_cache, text):
    source.load()
    (only_folder(own_cache) / "contents.json").write_text(text)
    assert source.load()["images"][2, 0, 0, 0] == 2 and source.built == 2
    source.load()
    assert source.built == 2


@pytest.mark.parametrize("damage", [cut, emptied, altered, removed, pickled, no_contents])
def test_a_damaged_cache_is_made_anew(source, own_cache, damage):
    source.load()
    damage(only_folder(own_cache))
    arrays = source.load()
    assert source.built == 2
    assert arrays["images"][:, 0, 0, 0].tolist() == [0, 1, 2] and arrays["flags"].tolist() == [
        False,
        True,
        True,
    ]


def test_an_error_in_the_middle_leaves_nothing(source, own_cache):
    source.files[2].write_text("no number")
    with pytest.raises(ValueError, match="no number"):
        source.load()
    assert list(own_cache.iterdir()) == []


def test_killed_run_leaves_nothing_readable(source, own_cache):
    """A process of its own dies without cleaning up after the second of three rows."""
    program = f"""
        import os
        from pathlib import Path
        import numpy as np
        from medattn.datasets.decoded import decoded
        root = Path({str(source.root)!r})
        files = sorted(root.iterdir())
        def rows():
            for i, file in enumerate(files):
                if i == 2:
                    os._exit(9)
                yield {{"images": np.full((1, 4, 4), 77, np.uint8), "flags": np.asarray(True)}}
        decoded("set-4", root, files, 3, rows)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(program)]).returncode == 9
    assert all(path.name.startswith(".") for path in own_cache.iterdir())
    assert source.load()["images"][:, 0, 0, 0].tolist() == [0, 1, 2] and source.built == 1


def test_faster_process_wins(source):
    def rows():
        source.load()  # meanwhile
        yield from source.rows()

    arrays = decoded("set-4", source.root, source.files, 3, rows)
    assert arrays["images"][:, 0, 0, 0].tolist() == [0, 1, 2]


def test_unwritable_cache_is_reported(source, own_cache):
    own_cache.write_text("a file in the way")
    with pytest.raises(OSError, match=r"cannot be kept in .*MEDATTN_CACHE names another folder"):
        source.load()
