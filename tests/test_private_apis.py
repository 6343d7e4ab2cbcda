"""Every private name of another library that the package uses, in one place.

After an upgrade of torch, timm, Jupyter or tqdm, a name that has moved fails here first.
"""

import re
from importlib import import_module
from io import StringIO
from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch

from medattn.attention.places import LAST_NORM
from medattn.evaluation.timing import profile_cpu

PACKAGE = Path(__file__).resolve().parents[1] / "medattn"
MODULES = {  # by the file that imports it
    "evaluation/counting.py": {"torch._subclasses.fake_tensor", "torch.utils._python_dispatch"},
}


def test_no_other_private_module_is_imported():
    private = re.compile(
        r"^\s*(?:from|import) ((?!medattn)\w+(?:\.\w+)*\._\w+[\w.]*)", re.MULTILINE
    )
    used = {}
    for file in PACKAGE.rglob("*.py"):
        if found := set(private.findall(file.read_text())):
            used[file.relative_to(PACKAGE).as_posix()] = found
    assert used == MODULES


@pytest.mark.parametrize(
    "name",
    [
        "torch._subclasses.fake_tensor:FakeTensorMode",
        "torch.utils._python_dispatch:TorchDispatchMode",
        "jupyter_client.channels:AsyncZMQSocketChannel.send",
        *(f"{module}:{kind}" for module, _, kind in (name.rpartition(".") for name in LAST_NORM)),
    ],
)
def test_private_name_is_there(name):
    assert callable(resolve_name(name))


def test_profiler_lists_memory_events():
    profiler = profile_cpu(lambda: torch.ones(10).add(1), profile_memory=True).profiler
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    assert events and all(hasattr(event, "nbytes") and event.start_ns() for event in events)


def test_tqdm_lists_its_open_bars():
    tqdm = import_module("tqdm.auto").tqdm
    with tqdm(total=1, disable=False, file=StringIO()) as bar:
        assert bar in tqdm._instances
