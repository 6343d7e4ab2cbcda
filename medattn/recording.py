"""Read attention from outside: hooks that are there for the length of a `with` block, and no longer.

What is recorded are PPCR's quantities (section 3): the contexts T before PN, T_hat after it, the gate G and the
weights W, at every site of a network; and, to compare the gate with, how strong the features X are that it weighs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medattn.attention import PPCR, attention_sites
from medattn.datasets.augment import to_float


@dataclass
class Recorded:
    """What one site saw, on the CPU, in the order of the images."""

    name: str
    stage: str
    weights: Tensor  # W (D, h, w)
    attention: Tensor = field(default_factory=lambda: torch.empty(0))  # G (N, h, w)
    before: Tensor = field(default_factory=lambda: torch.empty(0))  # T (N, D, h, w)
    after: Tensor = field(default_factory=lambda: torch.empty(0))  # T_hat (N, D, h, w)
    energy: Tensor = field(default_factory=lambda: torch.empty(0))  # mean of |X| over channels (N, h, w)

    def map(self, size: int | tuple[int, int]) -> Tensor:
        """Give the attention map on the image grid, (N, H, W), bilinearly between the feature map's pixels."""
        return on_image(self.attention, size)


def on_image(values: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Give values of a feature map's pixels on the image grid, bilinearly between them: (N, h, w) -> (N, H, W)."""
    pair = (size, size) if isinstance(size, int) else size
    return F.interpolate(values[:, None], pair, mode="bilinear", align_corners=False)[:, 0]


@contextmanager
def record(network: nn.Module, contexts: bool = True) -> Iterator[dict[str, Recorded]]:
    """Record every PPCR site of a network while the block runs, batch after batch.

        with record(network) as seen:
            network(images)
        seen["layer1.0.bn2"].attention  # (N, h, w)

    The tensors are complete when the block ends. `contexts=False` leaves T and T_hat out, which are D times larger
    than the maps. The hooks are removed on exit, also on an error.
    """
    sites = [site for site in attention_sites(network) if isinstance(site.module, PPCR)]
    if not sites:
        raise ValueError(f"{type(network).__name__} has no PPCR to record: insert_attention(network, 'ppcr', size)")
    seen = {
        s.name: Recorded(s.name, s.name.partition(".")[0], s.module.integrate.weight.detach().cpu().clone())
        for s in sites
    }
    kept: dict[tuple[str, str], list[Tensor]] = {}
    hooks = []

    def keep(module: nn.Module, site: str, what: str) -> None:
        def hook(_module, _inputs, output: Tensor) -> None:
            kept.setdefault((site, what), []).append(output.detach().float().cpu())

        hooks.append(module.register_forward_hook(hook))

    def keep_energy(module: nn.Module, site: str) -> None:
        def hook(_module, inputs: tuple[Tensor, ...]) -> None:
            kept.setdefault((site, "energy"), []).append(inputs[0].detach().float().abs().mean(1).cpu())

        hooks.append(module.register_forward_pre_hook(hook))

    try:
        for site in sites:
            keep_energy(site.module, site.name)
            keep(site.module.integrate, site.name, "attention")
            if contexts:
                keep(site.module.pool, site.name, "before")
                keep(site.module.norm, site.name, "after")
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
    for (site, what), batches in kept.items():
        values = torch.cat(batches)
        setattr(seen[site], what, values[:, 0] if what == "attention" else values)


@torch.no_grad()
def record_images(
    network: nn.Module, images: Tensor, normalise: str = "half", contexts: bool = True, batch_size: int = 64
) -> dict[str, Recorded]:
    """Record uint8 images (N, C, H, W), batch by batch, in evaluation mode; the network's mode is put back."""
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        with record(network, contexts) as seen:
            for batch in images.split(batch_size):
                network(to_float(batch.to(device), normalise))
    finally:
        network.train(training)
    return seen


def last_of_each_stage(seen: dict[str, Recorded]) -> dict[str, Recorded]:
    """Keep the last site of every stage ("layer1", "layer2", ...): the paper's low, middle and high stage."""
    return {recorded.stage: recorded for recorded in seen.values()}
