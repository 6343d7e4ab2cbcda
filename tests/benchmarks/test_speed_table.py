"""The whole table: what is measured, printed and saved."""

import pandas as pd
import pytest
import speed
import speed_imports
import torch
from speed_rows import counted

from medattn.paths import results_folder

NEW = counted("import, s beyond torch", "", "medattn", 0.25, "torch, torchvision", 0.25, "s")


def test_unknown_measurements_are_refused(capsys):
    with pytest.raises(SystemExit):
        speed.main(["sped"])
    assert "unknown: sped; choose from floor, step" in capsys.readouterr().err


def test_save_replaces_the_rows_that_were_measured(tmp_path, monkeypatch, capsys):
    committed = results_folder() / "speed.csv"
    (tmp_path / "speed.csv").write_bytes(committed.read_bytes())
    monkeypatch.setattr(speed, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(speed.torch, "set_num_threads", lambda n: None)
    monkeypatch.setitem(speed.MEASUREMENTS, "import", lambda: NEW)
    speed.main(["import", "--save"])
    assert "medattn" in capsys.readouterr().out
    before, after = (
        pd.read_csv(path, dtype=str, keep_default_na=False)
        for path in (committed, tmp_path / "speed.csv")
    )
    assert list(after) == list(before) and len(after) == len(before)
    kept = before[(before["what"] != NEW["what"].item()) | (before["side"] != "medattn")]
    pd.testing.assert_frame_equal(after.iloc[:-1], kept.reset_index(drop=True))
    last = after.iloc[-1]
    assert (last["value"], last["torch"]) == ("0.25", torch.__version__)
    assert last["instructions"] == torch.backends.cpu.get_cpu_capability()


def test_imports_are_timed_beyond_others(monkeypatch):
    monkeypatch.setattr(speed_imports, "BASE", "json, random")
    monkeypatch.setattr(speed_imports, "PARTS", ("medattn", "colorsys"))
    table = speed_imports.import_time(rounds=2)
    assert list(table["side"]) == ["medattn", "colorsys"]
    assert (table[["low", "ratio", "base_value"]] > 0).all(axis=None)
    assert (table["base"] == "json, random").all()
