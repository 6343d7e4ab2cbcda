"""What networks cost in time and memory, measured side by side on this machine.

Paper: PPCR, section 3.4, says "lightweight" of parameters and operations alone. Ratios to the first network are what
holds from machine to machine; milliseconds are this machine's, in this hour.
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import accumulate

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from medattn.attention.insert import first_convolution
from medattn.recording import evaluating
from medattn.timing import alternate


def measure(
    networks: Mapping[str, nn.Module],
    size: int,
    batch_size: int = 32,
    rounds: int = 5,
    device: str | torch.device = "cpu",
    in_channels: int | None = None,
) -> pd.DataFrame:
    """Measure a forward pass and a training step of each network, alternating, after a round that is not counted.

    The networks are moved to `device`, and otherwise left as they were but for their gradients, which are gone; a step
    is forward, cross-entropy, backward, without an optimiser, on random images (batch_size, in_channels, size, size).
    One row a network, in the order given: `forward_ms` and `step_ms` (medians), `forward_mb` and `step_mb` (the peak of
    the memory allocated during it, in 10^6 bytes, beyond weights and images), and for each its ratio to the first
    network, such as `step_ms_ratio`. Raises ValueError where there is no network, or no round.
    """
    if not networks or rounds < 1 or batch_size < 1:
        raise ValueError(f"{len(networks)} networks, rounds={rounds}, batch_size={batch_size}: all must be 1 or more")
    device = torch.device(device)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for name, network in networks.items():
        channels = in_channels or first_convolution(network)[1].in_channels
        images = torch.randn(batch_size, channels, size, size, device=device)
        calls[name, "forward"] = _forward(network.to(device), images)
        calls[name, "step"] = _step(network, images)
    rows = {name: {} for name in networks}
    with _left_as_they_were(networks.values()):
        seconds = alternate(calls, rounds, device, wall=True).median()
        for (name, what), call in calls.items():
            rows[name] |= {f"{what}_ms": 1000 * seconds[name, what], f"{what}_mb": peak_bytes(call, device) / 1e6}
    table = pd.DataFrame.from_dict(rows, orient="index")
    for column in list(table):
        table[f"{column}_ratio"] = table[column] / table[column].iloc[0]
    return table.rename_axis("network")


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Give the most memory that `call` has allocated at one time, in bytes, beyond what there was before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's profiler logs to stderr, past Python: only its last words
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())), default=0)


def _forward(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    def call() -> None:
        network.eval()
        with torch.no_grad():
            network(images)

    return call


def _step(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    def call() -> None:
        network.train()
        output = network(images)
        logits = output if isinstance(output, torch.Tensor) else output.logits  # torchvision's, with auxiliary heads
        F.cross_entropy(logits, torch.arange(len(images), device=images.device) % logits.shape[1]).backward()
        network.zero_grad()

    return call


@contextmanager
def _left_as_they_were(networks: Iterable[nn.Module]) -> Iterator[None]:
    states = [(network, copy.deepcopy(network.state_dict())) for network in networks]
    with ExitStack() as modes:
        for network, state in states:
            modes.enter_context(evaluating(network))
            modes.callback(network.load_state_dict, state)  # batch norms see noise
        yield
