"""`make gpu` in small: all its parts, on the CPU."""

import gpu
import pandas as pd
import pytest
import torch
from speed_rows import COLUMNS

from medattn.training import Run


def test_all_parts_run_on_the_cpu(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(gpu, "TESTS", 1.0)
    assert gpu.main(["--small", "--minutes", "9", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "speed_gpu.csv")
    assert list(table) == COLUMNS and len(table["what"].unique()) == 3
    assert (table["ratio"] > 0).all()
    for recipe in gpu.recipes(small=True):
        run = Run.of(recipe, tmp_path / "runs")
        assert run.finished and run.result["n_test"] == 12
    assert "passed" in capfd.readouterr().out


def test_a_run_that_is_cut_off_is_named(tmp_path, capsys):
    left = iter([1.0, -1.0])  # one look at the clock, then the time is up
    gpu.train(gpu.recipes(small=True), "cpu", tmp_path, lambda: next(left))
    assert capsys.readouterr().out.count("cut off, resumes") == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "there is no CUDA device; --small" in capsys.readouterr().err
