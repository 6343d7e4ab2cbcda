"""What long runs measured is kept once a run, and read back as it was written."""

import json

import pandas as pd

from medattn.training import Recipe, Run
from medattn.training.recorded import record_rows, recorded_rows


def finished(seed, runs):
    run = Run.of(Recipe(attention="ppcr", seed=seed), runs)
    run.folder.mkdir(parents=True)
    (run.folder / "result.json").write_text(json.dumps({"commit": "0123456789ab"}))
    return run


def test_rows_of_a_run_replace_those_it_had_and_leave_the_others(tmp_path):
    assert recorded_rows("stages", tmp_path).empty
    first, second = (finished(seed, tmp_path / "runs") for seed in (1, 0))
    record_rows("stages", first, pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.1, 0.2]}), tmp_path)
    record_rows("stages", second, pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.3, 0.4]}), tmp_path)
    record_rows("stages", first, pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.5, 0.6]}), tmp_path)
    table = recorded_rows("stages", tmp_path)
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert table["stage"].tolist() == ["layer1", "layer2"] * 2
    assert table["deviation"].tolist() == [0.3, 0.4, 0.5, 0.6]
    assert set(table["commit"]) == {"0123456789ab"}
