"""The project's promises: one list of dependencies, no local address, no need of Jupyter."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
JUPYTER = {
    "IPython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "notebook",
    "papermill",
    "nbformat",
    "nbconvert",
    "nbclient",
    "nbval",
}
TEXT = {"", ".py", ".md", ".toml", ".yml", ".yaml", ".lock", ".csv", ".txt", ".ipynb"}


def lock():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def dependencies():
    listed = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = [Requirement(line) for lines in listed for line in lines]
    return [requirement for requirement in wanted if requirement.name != PROJECT["name"]]


def targets():
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def tracked():
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_dependency_is_locked_at_a_version_it_allows():
    versions = {}
    for requirement in lock():
        versions.setdefault(requirement.name, []).append(next(iter(requirement.specifier)).version)
    for requirement in dependencies():
        found = versions.get(requirement.name.lower(), [])
        assert found, f"requirements.lock lacks {requirement.name}: make lock"
        assert all(requirement.specifier.contains(version) for version in found), (
            f"{requirement}: make lock"
        )


def test_the_lock_holds_versions_and_nothing_else():
    for requirement in lock():
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version
        assert "+" not in specifier.version, f"{requirement} is of one index only"
        assert not requirement.url


def test_conda_users_get_the_same_packages():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    *packages, pip = conda["dependencies"]
    assert packages == ["python=3.11", "pip"]
    assert pip == {"pip": ["-c requirements.lock", "-e .[dev]"]}
    assert PROJECT["requires-python"] == ">=3.11"
    for extra in PROJECT["optional-dependencies"]:
        assert extra == "dev" or re.search(
            rf"medattn\[.*\b{extra}\b.*\]", PROJECT["optional-dependencies"]["dev"][0]
        )


def test_no_tracked_file_names_an_index_or_a_home_folder():
    index = (
        rb"https?://[^\s\"')<>]*/(simple|whl)\b|--(extra-)?index-url|files\.python"
        + rb"hosted\.org"
    )
    home = rb"/home/[a-z]|/Use" + rb"rs/[A-Za-z]|/ro" + rb"ot/|" + re.escape(f"{ROOT}/").encode()
    for path in tracked():
        if path != Path(__file__) and path.suffix in TEXT:
            text = re.sub(
                rb'"image/[a-z]+": "[^"]*"', b"", path.read_bytes()
            )  # a picture may spell anything
            for found in (re.search(index, text), re.search(home, text)):
                assert not found, f"{path.relative_to(ROOT)}: {found[0].decode()}"


def test_every_target_has_its_line_of_help():
    told = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(re.findall(r"^  make (\w+) +\S", told.stdout, re.MULTILINE)) == targets()


def test_make_keeps_bytecode_where_python_alone_does_not():
    kept = subprocess.run(
        ["make", "--no-print-directory", "-f", "Makefile", "-f", "-", "kept"],
        input='kept:\n\t@echo "kept$$PYTHONDONTWRITEBYTECODE"\n',
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert kept.stdout == "kept\n"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_told_targets_exist(name):
    told = re.findall(r"(?:`|^ *|\d |=\S+ )make ([a-z]+)", (ROOT / name).read_text(), re.MULTILINE)
    assert told and set(told) <= targets()


def without_jupyter(code):
    """Run code where no Jupyter package can be imported and no connection made."""
    block = f"""
import socket, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {JUPYTER} or top.startswith("jupyter"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
def connect(*_):
    raise OSError("a connection was asked for")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = connect
"""
    return subprocess.run(
        [sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", ["medattn", "medattn.cli"])
def test_importing_is_light(module):
    done = without_jupyter(f"import {module}\nassert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_every_module_imports_without_jupyter_and_network():
    files = sorted((ROOT / "medattn").rglob("*.py"))
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in files
    ]
    names = [
        name for name in names if not name.startswith("medattn.widgets")
    ]  # widgets are what they are for
    assert len(names) > 10
    done = without_jupyter("".join(f"import {name}\n" for name in names))
    assert done.returncode == 0, done.stderr


def test_the_command_line_works_without_jupyter():
    done = without_jupyter(
        "from medattn.cli import main\nassert main(['runs']) == 0\nassert main(['data']) == 0"
    )
    assert done.returncode == 0, done.stderr
    for command in ("['run', '01']", "['lab']"):
        done = without_jupyter(f"from medattn.cli import main\nsys.exit(main({command}))")
        assert done.returncode == 2
        assert re.fullmatch(
            r"medattn: .* needs \w+: pip install 'medattn\[notebooks\]'\n", done.stderr
        )


def test_the_code_of_the_guides_runs_as_it_stands():
    """The blocks that need no data run: results, a network with PPCR, one behind a map."""
    for name in ("README.md", "docs/library.md", "docs/running.md"):
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
        done = without_jupyter("\n".join(block for block in blocks if "fit(" not in block))
        assert done.returncode == 0, f"{name}: {done.stderr}"
        shown = {
            "README.md": r"torch\.Size\(\[2, 7, 7\]\)\n",
            "docs/library.md": r"11237387 1813563904 1818556416 \{\}\n",
            "docs/running.md": r"ppcr +\d+ +8\d\.\d+",  # the results, compared
        }
        assert re.search(shown[name], done.stdout), name


def test_the_readme_fits_on_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
