"""Read attention from outside, by hooks that exist only for the length of a `with` block.

Every site yields its attention map (read as `ATTENTION_MAPS` defines) and the strength of its input
features X. PPCR (section 3) also yields the contexts T before PN, T_hat after it, and W.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medattn.attention.insert import Site, attention_sites
from medattn.attention.methods import ATTENTION_MAPS
from medattn.attention.places import stages
from medattn.attention.ppcr import PPCR
from medattn.preprocess import Size, height_width, to_float

_EMPTY = torch.empty(0)


@dataclass
class Recorded:
    """What one site saw, on the CPU, in the order of the images; empty if the method has none."""

    name: str
    stage: str
    method: str  # its name in `ATTENTION`
    weights: Tensor = _EMPTY  # W (D, h, w), PPCR
    attention: Tensor = _EMPTY  # the attention map (N, h, w); PPCR's is G
    before: Tensor = _EMPTY  # T (N, D, h, w), PPCR
    after: Tensor = _EMPTY  # T_hat (N, D, h, w), PPCR
    energy: Tensor = _EMPTY  # mean of |X| over channels (N, h, w)

    def map(self, size: Size) -> Tensor:
        """Return the attention map on the image grid, (N, H, W), bilinearly interpolated."""
        return on_image(self.attention, size)


def on_image(values: Tensor, size: Size) -> Tensor:
    """Interpolate values of a feature map bilinearly on the image grid: (N, h, w) -> (N, H, W)."""
    return F.interpolate(values[:, None], height_width(size), mode="bilinear")[:, 0]


class _Recorder:
    """The hooks on one site, and the batches that they keep."""

    def __init__(self, site: Site, stage: str, contexts: bool):
        self.recorded = Recorded(site.name, stage, site.attention)
        self.batches: dict[str, list[Tensor]] = defaultdict(list)
        self.outputs: list[Tensor] = []  # of the part in one pass: CA's gate runs twice in it
        module, (part, self.read_map) = site.module, ATTENTION_MAPS[site.attention]
        self.hooks = [
            module.register_forward_pre_hook(self.start_pass),
            module.get_submodule(part).register_forward_hook(self.add_output),
            module.register_forward_hook(self.end_pass),
        ]
        if isinstance(module, PPCR):
            self.recorded.weights = module.integrate.weight.detach().cpu().clone()
            for name, context in (("before", module.pool), ("after", module.norm)):
                if contexts:
                    self.hooks.append(context.register_forward_hook(partial(self.keep, name)))

    def keep(self, name: str, _module, _inputs, values: Tensor) -> None:
        self.batches[name].append(values.detach().float().cpu())

    def start_pass(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.outputs.clear()  # the last pass may have ended in an error
        self.keep("energy", module, inputs, inputs[0].detach().float().abs().mean(1))

    def add_output(self, _module, _inputs, output: Tensor) -> None:
        self.outputs.append(output.detach())

    def end_pass(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        attention = self.read_map(*self.outputs).reshape(len(output), *output.shape[2:])
        self.keep("attention", module, inputs, attention)


@contextmanager
def record(network: nn.Module, contexts: bool = True) -> Iterator[dict[str, Recorded]]:
    """Record every site with an attention map while the block runs, batch after batch.

        with record(network) as seen:
            network(images)
        seen["layer1.0.bn2"].attention  # (N, h, w)

    The tensors are complete, and the hooks removed, when the block ends. `contexts=False` leaves
    out PPCR's T and T_hat, which are D times as large as the maps. Compiled code of this process
    runs eagerly in the block, to call all hooks. Raises ValueError if there is nothing to record.
    """
    sites = [site for site in attention_sites(network) if site.attention in ATTENTION_MAPS]
    if not sites:
        methods = sorted({site.attention for site in attention_sites(network)}) or "none"
        lack = f"{type(network).__name__} with attention {methods} has no attention map to record"
        raise ValueError(f"{lack}: insert one of {', '.join(ATTENTION_MAPS)}")
    stage = stages(network, [site.name for site in sites])
    recorders = [_Recorder(site, stage[site.name], contexts) for site in sites]
    try:
        with torch.compiler.set_stance("force_eager"):
            yield {recorder.recorded.name: recorder.recorded for recorder in recorders}
    finally:
        for hook in [hook for recorder in recorders for hook in recorder.hooks]:
            hook.remove()
    if not any(recorder.batches for recorder in recorders):
        raise ValueError("nothing was recorded: run the network inside the block")
    for recorder in recorders:
        for name, batches in recorder.batches.items():
            setattr(recorder.recorded, name, torch.cat(batches))


@torch.no_grad()
def record_images(
    network: nn.Module,
    images: Tensor,
    normalise: str = "half",
    contexts: bool = True,
    batch_size: int = 64,
) -> dict[str, Recorded]:
    """Record uint8 images (N, C, H, W) in evaluation mode, and restore the network's modes."""
    device = next(network.parameters()).device
    with evaluating(network), record(network, contexts) as seen:
        for batch in images.split(batch_size):
            network(to_float(batch.to(device), normalise))
    return seen


def last_of_each_stage(seen: dict[str, Recorded]) -> dict[str, Recorded]:
    """Keep the last site of every stage ("layer1", ...): the paper's low, middle and high stage."""
    return {recorded.stage: recorded for recorded in seen.values()}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode for the block, then restore the mode of each module."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():  # a frozen norm stays frozen
            module.training = training
