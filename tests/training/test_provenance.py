"""The commit of the code that made a run."""

import re
import subprocess

import pytest
import torch

from medattn.training import provenance as module
from medattn.training.provenance import code, provenance


@pytest.fixture
def fresh_cache():
    code.cache_clear()
    yield
    code.cache_clear()


def test_commit_is_unknown_without_git(monkeypatch, fresh_cache):
    monkeypatch.setenv("PATH", "")
    assert provenance(torch.device("cpu"))["commit"] is None


def test_commit_stays_within_a_process(tmp_path, monkeypatch, fresh_cache):
    def git(*arguments):
        subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            check=True,
        )

    source = tmp_path / "medattn" / "__init__.py"
    source.parent.mkdir()
    source.touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(module, "PACKAGE", source.parent)
    first = code()
    assert re.fullmatch("[0-9a-f]{12}", first)
    source.write_text("changed = True\n")
    assert code() == first
    code.cache_clear()  # another process
    assert code() == first + "+changes"


def test_commit_of_other_repository_is_ignored(tmp_path, monkeypatch, fresh_cache):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(
        [
            "git",
            "-C",
            tmp_path,
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "mine",
            "--allow-empty",
        ],
        check=True,
    )
    (tmp_path / "medattn").mkdir()
    (tmp_path / "medattn" / "__init__.py").touch()  # installed there, and not tracked
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "medattn")
    assert provenance(torch.device("cpu"))["commit"] is None
