"""What every notebook imports."""

import numpy as np
import pandas as pd
import pytest

from medattn import figures
from medattn.runner.show import show, within


def test_within_prints_a_fixed_line_or_raises(capsys):
    within("accuracy", 0.83, 0.8, 0.05)
    assert capsys.readouterr().out == "accuracy is within 0.8 ± 0.05\n"
    for value in (0.9, float("nan")):
        with pytest.raises(AssertionError, match=f"accuracy is {value:.4g}, not within"):
            within("accuracy", value, 0.8, 0.05)


@pytest.fixture
def displayed(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    return shown


def test_a_figure_has_its_caption_below_and_as_its_alternative_text(displayed):
    show(figures.confusion_matrix(np.eye(2, dtype=int), ["a", "b"]), "Counts < 2.")
    picture, caption = displayed
    assert picture._repr_mimebundle_()[1]["image/png"] == {"alt": "Counts < 2.", "width": 450}
    assert picture.data.startswith(b"\x89PNG")
    assert caption.data == "<figcaption><em>Counts &lt; 2.</em></figcaption>"


def test_a_table_is_rounded_and_has_no_index_without_a_name(displayed):
    table = pd.DataFrame({"method": ["PPCR", "<SE>"], "accuracy": [86.123, np.nan]})
    show(table, "Accuracies.", decimals=1)
    show(table.set_index("method"), "Accuracies.")
    plain, _, named, caption = (shown.data for shown in displayed)
    assert "86.1<" in plain and "86.12" not in plain and "NaN" not in plain
    assert "&lt;SE&gt;" in plain and "<th>0</th>" not in plain
    assert "86.12" in named and "<th>PPCR</th>" in named
    assert caption == "<figcaption><em>Accuracies.</em></figcaption>"
