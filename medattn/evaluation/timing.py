"""Time and memory, measured side by side on this machine.

Paper: PPCR, section 3.4, calls the module "lightweight" by parameters and operations alone. Ratios
of things that are timed in turn hold from machine to machine; milliseconds hold for one machine.
"""

import copy
import logging
import os
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from medattn.attention.places import first_convolution
from medattn.attention.recording import evaluating

Name = TypeVar("Name", bound=Hashable)


def alternate(
    sides: Mapping[Name, Callable[[], object]],
    rounds: int = 7,
    device: str | torch.device = "cpu",
    wall: bool = False,
) -> pd.DataFrame:
    """Time every side once per round, in turn, after a warm-up round that is not counted.

    Returns seconds, one row per round and one column per side. With one CPU thread it is processor
    time, which other programs disturb least; otherwise, or with `wall`, it is the clock's. A GPU is
    synchronised. Raises ValueError for fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be 1 or more")
    device = torch.device(device)
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    one_thread = device.type == "cpu" and torch.get_num_threads() == 1
    now = time.process_time if one_thread and not wall else time.perf_counter
    seconds: dict[Name, list[float]] = {name: [] for name in sides}
    for k in range(rounds + 1):
        for name, call in sides.items():
            wait()
            start = now()
            call()
            wait()
            if k:
                seconds[name].append(now() - start)
    return pd.DataFrame(seconds)


def ratios(seconds: pd.DataFrame, base: str) -> pd.DataFrame:
    """Compare every other column of `seconds` with column `base`, round by round.

    One row per side. Columns: `side`, `base`, `ratio` (the median of the rounds' ratios), `low` and
    `high` (their quartiles), `value` and `base_value` (the medians of both sides in milliseconds).
    """
    medians, rows = 1000 * seconds.median(), []
    for side in seconds.columns.drop(base):
        low, middle, high = (seconds[side] / seconds[base]).quantile([0.25, 0.5, 0.75])
        rows.append((side, base, middle, low, high, medians[side], medians[base]))
    columns = ["side", "base", "ratio", "low", "high", "value", "base_value"]
    return pd.DataFrame(rows, columns=columns)


def measure(
    networks: Mapping[str, nn.Module],
    size: int,
    batch_size: int = 32,
    rounds: int = 5,
    device: str | torch.device = "cpu",
    in_channels: int | None = None,
) -> pd.DataFrame:
    """Measure a forward pass and a training step of each network, in turn, on random images.

    Images are (batch_size, in_channels, size, size). A step is forward, cross-entropy and backward,
    without an optimiser. Networks are moved to `device` and lose their gradients, but are otherwise
    not changed. Columns: `forward_ms` and `step_ms` (medians), `forward_mb` and `step_mb` (peak
    memory in 10^6 bytes beyond weights and images), and for each its ratio to the first network,
    such as `step_ms_ratio`. Raises ValueError without a network or a round.
    """
    if not networks or rounds < 1 or batch_size < 1:
        given = f"{len(networks)} networks, rounds={rounds}, batch_size={batch_size}"
        raise ValueError(f"{given}: all must be 1 or more")
    device = torch.device(device)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for name, network in networks.items():
        channels = in_channels or first_convolution(network)[1].in_channels
        images = torch.randn(batch_size, channels, size, size, device=device)
        calls[name, "forward"] = partial(_forward, network.to(device), images)
        calls[name, "step"] = training_step(network, images)
    rows: dict[str, dict[str, float]] = {name: {} for name in networks}
    with ExitStack() as stack:
        for network in networks.values():
            stack.enter_context(evaluating(network))
            state = copy.deepcopy(network.state_dict())
            stack.callback(network.load_state_dict, state)  # batch norms see noise
        seconds = alternate(calls, rounds, device, wall=True).median()
        for (name, what), call in calls.items():
            rows[name][f"{what}_ms"] = 1000 * seconds[name, what]
            rows[name][f"{what}_mb"] = peak_bytes(call, device) / 1e6
    table = pd.DataFrame.from_dict(rows, orient="index")
    for column in list(table):
        table[f"{column}_ratio"] = table[column] / table[column].iloc[0]
    return table.rename_axis("network")


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Return the peak memory that `call` allocates, in bytes, beyond what was allocated before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    profiler: Any = profile_cpu(call, profile_memory=True).profiler
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)


def profile_cpu(call: Callable[[], object], profile_memory: bool = False) -> profile:
    """Return torch's profile of `call` on the CPU, without the profiler's own lines on stderr."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler's log bypasses Python
    with profile(activities=[ProfilerActivity.CPU], profile_memory=profile_memory) as profiler:
        call()
    return profiler


@torch.no_grad()
def _forward(network: nn.Module, images: Tensor) -> None:
    network.eval()(images)


def training_step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """Return a call that makes a training step (forward, loss, backward) without an optimiser."""
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)

    def call() -> None:
        network.train()
        output = network(images)
        logits = output if isinstance(output, Tensor) else output.logits  # with auxiliary heads
        F.cross_entropy(logits, labels).backward()
        network.zero_grad()

    return call


def compile_quietly(module: nn.Module, **options: Any) -> None:
    """Compile a module in place, without torch's warning of a CUDA toolkit that has no GPU."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    module.compile(isolate_recompiles=True, **options)


def forward_backward(module: nn.Module, x: Tensor, gradient: Tensor) -> Callable[[], object]:
    """Return a call that computes the gradients of `x` and of the parameters."""
    wanted = (x.detach().requires_grad_(), *module.parameters())
    return lambda: torch.autograd.grad(module(wanted[0]), wanted, gradient)
