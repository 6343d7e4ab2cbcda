"""What a user types, and what the answer is."""

import json
import os
import subprocess
import sys

import pytest

from medattn import __version__, cli, paths


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two notebooks that are never executed here."""
    cell = {
        "cell_type": "code",
        "metadata": {"tags": ["parameters"]},
        "source": "epochs: int = 3  # the paper: 150",
    }
    for name in ("00_tour", "04_training"):
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"cells": [cell], "metadata": {}}))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("MEDATTN_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("run", "which notebook? There are 00, 04; or --all"),
        ("run 44", "there is no notebook '44'; there are 00, 04"),
        ("run 04 -p epochs", "-p epochs: write -p name=value"),
        ("run 04 -p =3", "-p =3: write -p name=value"),
        (
            "run 04 -p epoch=3",
            "notebook 04: there is no parameter 'epoch' (did you mean 'epochs'?)",
        ),
        ("run 04 -p epochs=1.5", "notebook 04: epochs='1.5' must be a whole number"),
        ("run 00 04 -p epochs=x", "notebook 00: epochs='x' must be a whole number"),
        ("run 04 --paper", "notebook 04 has no paper settings: there is no notebooks/paper/"),
        ("run 04 --all", "--all takes no notebook, -p or --paper"),
        ("run --all --paper", "--all takes no notebook, -p or --paper"),
        ("refresh 44", "there is no notebook '44'"),
        ("train none.yaml", "there is no recipe none.yaml"),
        ("sweep table9", "table='table9' is unknown; there are table1, table2"),
        ("sweep table2 --methods cbam", "methods: 'cbam' is not in table2"),
        ("sweep table2 --workers 0", "workers=0 must be 1 or more"),
        ("sweep table2 -p epoch=3", "a recipe has no field 'epoch' (did you mean 'epochs'?)"),
        ("results add nothing", "there is no run 'nothing'; `medattn runs` lists all runs"),
    ],
)
def test_mistake_gives_one_message(project, capsys, arguments, reason):
    assert cli.main(arguments.split()) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"medattn: {reason}")
    assert "Traceback" not in output.err
    if "parameter" in reason or "whole number" in reason:
        assert output.err.endswith("its parameters are\n  epochs: int = 3  # the paper: 150\n")
    else:
        assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", ["", "walk", "run --fast 04", "runs 04", "train", "data --size=big"]
)
def test_wrong_argument_gives_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: medattn")


def test_version_and_help(capsys):
    for word, output in (("--version", __version__), ("--help", "execute notebooks")):
        with pytest.raises(SystemExit) as ended:
            cli.main([word])
        assert ended.value.code == 0
        assert output in capsys.readouterr().out


def test_wrong_recipe_gives_one_message(project, capsys):
    recipe = project / "recipe.yaml"
    recipe.write_text("epoch: 3\n")
    assert cli.main(["train", str(recipe)]) == 2
    output = capsys.readouterr().err
    assert output.startswith("medattn: a recipe has no field 'epoch'") and output.count("\n") == 1


def test_data_sets_are_listed_with_sources(project, capsys):
    assert cli.main(["data"]) == 0
    output = capsys.readouterr().out
    assert (
        "breastmnist" in output
        and "CC BY 4.0" in output
        and "  breastmnist: Al-Dhabyani et al. 2020" in output
    )
    assert str(paths.data_folder()) in output
    assert max(len(line) for line in output.splitlines()) <= 160


def test_impossible_download_gives_one_message(project, capsys, monkeypatch):
    monkeypatch.setenv("MEDATTN_DATA", str(project / "data"))
    wrong = {
        "nonsense": "'nonsense' cannot be downloaded",
        "BreastMNIST": "did you mean 'breastmnist'?",
        "breastmnist --size 99": "99",
        "cifar10 --size 224": "cifar10 has one size; leave --size out",
        "breastmnist": "fetched",
        "cifar10": "fetched",
        "idrid": "grand-challenge",
    }
    for arguments, reason in wrong.items():
        assert cli.main(["data", "--download", *arguments.split()]) == 2
        output = capsys.readouterr().err
        assert output.startswith("medattn: ") and reason in output and "Traceback" not in output


def test_runs_are_listed(project, capsys):
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == f"no runs yet in {project / 'runs'}\n"
    assert cli.main(["results", "add"]) == 0
    assert capsys.readouterr().out == f"no finished run in {project / 'runs'}\n"
    recipe = project / "recipe.yaml"
    recipe.write_text(
        "epochs: 1\nbatch_size: 16\ndataset_options: {n_train: 16, n_val: 8, n_test: 8}\n"
    )
    assert cli.main(["train", str(recipe)]) == 0
    assert str(project / "runs") in capsys.readouterr().out
    assert cli.main(["runs"]) == 0
    heading, row, *_, summary = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["run", "dataset", "size", "network"]
    assert summary == "1 finished; left: 0.0 h of one worker"
    assert "phantoms 28 resnet18" in " ".join(row.split()) and "1/1" in row and "finished" in row


def test_closed_pipe_is_no_error(project):
    listing = subprocess.Popen(
        [sys.executable, "-u", "-m", "medattn.cli", "sweep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    listing.stdout.close()  # as `| head -0` does
    assert listing.stderr.read() == b"" and listing.wait() == 0
    listing.stderr.close()


def test_sweep_trains_and_lists_failures(project, capfd):
    few = "dataset_options={n_train: 8, n_val: 8, n_test: 8}"
    arguments = [
        "sweep",
        "table2",
        "--networks",
        "timm:test_resnet",
        "--methods",
        "none,ppcr",
        "-p",
        "epochs=1",
        "-p",
        few,
    ]
    arguments += ["--workers", "1"]
    assert cli.main([*arguments, "--datasets", "phantoms", "--dry"]) == 0
    assert "unknown length" in capfd.readouterr().out and not list(
        project.glob("runs/*/history.csv")
    )
    assert cli.main([*arguments, "--datasets", "phantoms"]) == 0
    output = capfd.readouterr().out
    assert "2 of 2 finished" in output and "\n2 finished; left: 0.0 h of one worker\n" in output
    assert (
        cli.main([*arguments, "--datasets", "phantoms,npz:nowhere.npz", "--methods", "ppcr"]) == 1
    )
    output = capfd.readouterr().out
    assert (
        "1 finished, 1 failed" in output
        and "ValueError: n_test=8 is no option of npz:nowhere.npz" in output
    )


def test_tables_are_listed(project, capsys):
    assert cli.main(["sweep"]) == 0
    output = capsys.readouterr().out
    assert (
        "table2" in output
        and "breastmnist, retinamnist, octmnist" in output
        and "none, se, spa" in output
    )


def test_end_of_training_is_reported(project, capsys, monkeypatch):
    (project / "recipe.yaml").write_text("epochs: 1\n")
    stops = {
        MemoryError("try batch_size=16"): 1,
        ArithmeticError("epoch 3"): 1,
        KeyboardInterrupt(): 130,
    }
    for error, code in stops.items():

        def fit(recipe, error=error):
            raise error

        monkeypatch.setattr("medattn.training.fit", fit)
        assert cli.main(["train", str(project / "recipe.yaml")]) == code
        output = capsys.readouterr().err
        assert output.startswith("medattn: ") and "Traceback" not in output
        assert ("the same command resumes" in output) == (code == 130)


def test_lab_serves_this_machine_only(project, monkeypatch):
    begun = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: begun.extend([program, *arguments]))
    cli.main(["lab", "--no-browser"])
    assert begun[:4] == [sys.executable, sys.executable, "-m", "jupyterlab"]
    assert {"--ip=127.0.0.1", f"--ServerApp.root_dir={project}", "--no-browser"} <= set(begun)
    assert not any(
        "token" in word or "password" in word for word in begun
    )  # Jupyter's own: a new token each time
