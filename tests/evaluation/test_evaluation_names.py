"""The room's names: functions rather than modules, and imports of large libraries only on use."""

import subprocess
import sys
from types import ModuleType

import pytest

from medattn import evaluation

LARGE = ("pandas", "scipy", "sklearn", "statsmodels", "captum")


@pytest.mark.parametrize("name", evaluation.__all__)
def test_name_is_not_a_module(name):
    value = getattr(evaluation, name)
    assert not isinstance(value, ModuleType)
    assert getattr(value, "__module__", "medattn.evaluation").startswith("medattn.evaluation")


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match=r"medattn\.evaluation attribute scores"):
        _ = evaluation.scores


def test_scores_import_no_large_library():
    code = f"""
import sys
import torch
before = set(sys.modules)
from medattn.evaluation.metrics import score
from medattn.evaluation import SCORES, deletion_insertion, grad_cam
print(sorted((set(sys.modules) - before) & set({LARGE})))
"""
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True).strip() == "[]"
