"""What was measured meets what it was held to; the recorded table is whole."""

import numpy as np
import pandas as pd
import pytest
import torch

from medattn.speed import importing, machine, roof, rows, table
from medattn.timing import alternate


def row(what, setting, side, ratio, unit="ms", value=1.0):
    return pd.DataFrame([(what, setting, side, "base", ratio, ratio, ratio, value, 1.0, unit)], columns=rows.COLUMNS)


def test_ratios_are_of_the_rounds_with_their_quartiles():
    seconds = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 2.0]})
    (found,) = rows.ratios("w", "s", seconds, "a").itertuples()
    assert (found.side, found.base, found.ratio, found.low, found.high) == ("b", "a", 1.0, 0.75, 1.5)
    assert (found.value, found.base_value, found.unit) == (2000.0, 2000.0, "ms")


def test_sides_alternate_and_the_first_round_is_not_counted():
    calls = []
    seconds = alternate({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert seconds.shape == (3, 2) and (seconds >= 0).all(axis=None)
    with pytest.raises(ValueError, match="rounds=0"):
        alternate({"a": list}, rounds=0)


def test_rows_are_held_to_their_reach():
    rows = pd.concat(
        [
            row("sweep / one after the other", "", "two workers", 0.7),
            row("sweep / one after the other", "", "another", 0.1),
            row("throughput / MedMNIST's loop", "resnet18 at 28 px", "ours", 3.0),
            row("gate error in bf16", "x", "ours", 0.5, "", 1e-7),
        ]
    )
    held = table.held_to(rows)
    assert held["reached"].tolist() == ["reached", None, "missed", "reached"]
    assert held["reach"].tolist()[::2] == [0.8, 3.3] and np.isnan(held["reach"][1])
    text = table.said(held)
    assert "at least 3.3: missed" in text and "at most 0.8: reached" in text and "1e-07" in text


def test_every_reach_is_of_a_row_that_is_recorded():
    recorded = table.recorded_speed()
    for reach in table.REACHES:
        rows = recorded[(recorded["what"] == reach.what) & (recorded["side"] == reach.side)]
        rows = rows[rows["setting"].str.contains(reach.setting, regex=False)]
        assert len(rows), reach
        assert (rows["reach"] == reach.ratio).all() and (rows["reached"] != "").all(), reach


def test_unknown_measurements_are_refused():
    with pytest.raises(ValueError, match="sped: unknown; there are floor, step"):
        table.measured(["sped"])


def test_a_measurement_says_where_it_was_made(monkeypatch):
    monkeypatch.setitem(table.MEASUREMENTS, "import", lambda: row("import, s beyond torch", "", "medattn", 0.1))
    said = []
    (found,) = table.measured(["import"], said.append).itertuples()
    assert found.torch == torch.__version__ and found.instructions == torch.backends.cpu.get_cpu_capability()
    assert "medattn" in said[0]


def test_imports_are_timed_on_top_of_others(monkeypatch):
    monkeypatch.setattr(importing, "BASE", "json, random")
    monkeypatch.setattr(importing, "PARTS", ("medattn", "colorsys"))
    found = importing.import_time(rounds=2)
    assert list(found["side"]) == ["medattn", "colorsys"]
    assert (found[["low", "ratio", "base_value"]] > 0).all(axis=None) and (found["base"] == "json, random").all()


def test_the_machine_and_the_work_under_its_roof(monkeypatch):
    monkeypatch.setattr(machine, "COPY_BYTES", 2**16)
    monkeypatch.setattr(machine, "MATRIX_SIDE", 32)
    able = machine.limits(rounds=1)
    assert set(able) == {"bytes_a_second", "operations_a_second"} and all(value > 0 for value in able.values())
    with torch.compiler.set_stance("force_eager"):
        points = roof.roofline_points(1, 2, rounds=1).set_index("name")
    assert points.loc["PPCR, eager", "bytes"] == 5 * 4 * 64 * 28 * 28
    assert points.loc["pixel CNN step", "operations"] == 2 * 2 * 9 * 32 * 2 * 3 * 112 * 112
    assert points.loc["ResNet18 step", "operations"] > 2.7e9  # 0.46 GMACs an image, once forward and twice back
