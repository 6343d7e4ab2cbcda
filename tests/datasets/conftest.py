"""Every test of the data decodes into a cache of its own."""

import pytest
from layouts import GRADING, HERE, SEGMENTATION


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_CACHE", str(tmp_path / "decoded"))
    return tmp_path / "decoded"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def real_idrid(monkeypatch):
    if not (HERE / "idrid" / GRADING).is_dir() or not (HERE / "idrid" / SEGMENTATION).is_dir():
        pytest.skip("IDRiD is not in the data folder (MEDATTN_DATA)")
    monkeypatch.setenv("MEDATTN_DATA", str(HERE))
    return HERE / "idrid"
