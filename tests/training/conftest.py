"""Finished runs, trained once for all tests of this folder."""

import pytest
from short_runs import MAPPED, SHORT

from medattn.training import fit


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    return fit(SHORT, "cpu", progress=False, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def mapped(tmp_path_factory):
    return fit(MAPPED, "cpu", progress=False, runs=tmp_path_factory.mktemp("runs"))
