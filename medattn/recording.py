"""Read attention from outside: hooks that are there for the length of a `with` block, and no longer.

What is recorded at every site of a network is the attention map of its method (`ATTENTION_MAPS` says how each is
read) and, to compare it with, how strong the features X are that come in. For PPCR (section 3) there are also the
contexts T before PN, T_hat after it, and the weights W.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medattn.attention import ATTENTION_MAPS, Site, attention_sites
from medattn.attention.insert import residual_norms
from medattn.datasets.augment import to_float


def _nothing() -> Tensor:
    return torch.empty(0)


@dataclass
class Recorded:
    """What one site saw, on the CPU, in the order of the images. What a method does not have is empty."""

    name: str
    stage: str
    method: str  # its name in `ATTENTION`
    weights: Tensor = field(default_factory=_nothing)  # W (D, h, w), PPCR
    attention: Tensor = field(default_factory=_nothing)  # the attention map (N, h, w); PPCR's is G
    before: Tensor = field(default_factory=_nothing)  # T (N, D, h, w), PPCR
    after: Tensor = field(default_factory=_nothing)  # T_hat (N, D, h, w), PPCR
    energy: Tensor = field(default_factory=_nothing)  # mean of |X| over channels (N, h, w)

    def map(self, size: int | tuple[int, int]) -> Tensor:
        """Give the attention map on the image grid, (N, H, W), bilinearly between the feature map's pixels."""
        return on_image(self.attention, size)


def on_image(values: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Give values of a feature map's pixels on the image grid, bilinearly between them: (N, h, w) -> (N, H, W)."""
    pair = (size, size) if isinstance(size, int) else size
    return F.interpolate(values[:, None], pair, mode="bilinear", align_corners=False)[:, 0]


@contextmanager
def record(network: nn.Module, contexts: bool = True) -> Iterator[dict[str, Recorded]]:
    """Record every site of a network that has an attention map while the block runs, batch after batch.

        with record(network) as seen:
            network(images)
        seen["layer1.0.bn2"].attention  # (N, h, w)

    The tensors are complete when the block ends. `contexts=False` leaves PPCR's T and T_hat out, which are D times
    larger than the maps. The hooks are removed on exit, also on an error. Attention that was compiled runs as it is
    written while the block does.
    Raises ValueError for a network without attention, or with channel attention only (SE, SPA).
    """
    sites = [site for site in attention_sites(network) if site.attention in ATTENTION_MAPS]
    if not sites:
        raise ValueError(_why_nothing(network))
    compiled = [(site.module, site.module._compiled_call_impl) for site in sites]  # runs no hooks on parts
    stage = stages(network, [site.name for site in sites])
    seen = {site.name: Recorded(site.name, stage[site.name], site.attention) for site in sites}
    kept: dict[tuple[str, str], list[Tensor]] = {}
    hooks = []

    def keep(site: Site, what: str, values: Tensor) -> None:
        kept.setdefault((site.name, what), []).append(values.detach().float().cpu())

    def keep_outputs(site: Site, what: str, part: nn.Module) -> None:
        hooks.append(part.register_forward_hook(lambda _module, _inputs, output: keep(site, what, output)))

    def keep_map(site: Site) -> None:
        name, read = ATTENTION_MAPS[site.attention]
        outputs: list[Tensor] = []  # of one pass: CA's gate runs twice in it

        def begin(_module, inputs: tuple[Tensor, ...]) -> None:
            outputs.clear()  # a pass before may have ended in an error
            keep(site, "energy", inputs[0].detach().float().abs().mean(1))

        def end(_module, _inputs, output: Tensor) -> None:
            keep(site, "attention", read(*outputs).reshape(len(output), *output.shape[2:]))

        part = site.module.get_submodule(name)
        hooks.append(site.module.register_forward_pre_hook(begin))
        hooks.append(part.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.detach())))
        hooks.append(site.module.register_forward_hook(end))

    try:
        for site in sites:
            site.module._compiled_call_impl = None
            keep_map(site)
            if site.attention == "ppcr":
                seen[site.name].weights = site.module.integrate.weight.detach().cpu().clone()
                if contexts:
                    keep_outputs(site, "before", site.module.pool)
                    keep_outputs(site, "after", site.module.norm)
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for module, fused in compiled:
            module._compiled_call_impl = fused
    if not kept:
        raise ValueError(
            "nothing was recorded: run the network within the block, and if it is compiled as a whole (torch.compile, "
            "network.compile()), which runs no hooks, the network before compiling"
        )
    for (name, what), batches in kept.items():
        setattr(seen[name], what, torch.cat(batches))


def stages(network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Give the stage of each named module: "layer1" of "layer1.0.bn2", behind a weight map too.

    It ends with the first part of the name in which the network's residual blocks differ: RegNet has them all in one
    module, and the stages "trunk_output.block1", ...
    """
    bare = {name: name.removeprefix("image_cnn.") for name in names}
    blocks = [name.removeprefix("image_cnn.").split(".") for name in residual_norms(network) or bare]
    depth = next((k for k, parts in enumerate(zip(*blocks, strict=False)) if len(set(parts)) > 1), 0)
    return {name: ".".join(path.split(".")[: depth + 1]) for name, path in bare.items()}


def _why_nothing(network: nn.Module) -> str:
    there = sorted({site.attention for site in attention_sites(network)})
    with_maps = ", ".join(ATTENTION_MAPS)
    if there:
        return f"{', '.join(there)} weighs channels and has no attention map; methods with maps are {with_maps}"
    return f"{type(network).__name__} has no attention to record: insert_attention(network, name, size), of {with_maps}"


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Have a network in evaluation mode while the block runs; then each of its modules is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():  # a frozen norm stays frozen
            module.training = training


@torch.no_grad()
def record_images(
    network: nn.Module, images: Tensor, normalise: str = "half", contexts: bool = True, batch_size: int = 64
) -> dict[str, Recorded]:
    """Record uint8 images (N, C, H, W), batch by batch, in evaluation mode; the network's modes are put back."""
    device = next(network.parameters()).device
    with evaluating(network), record(network, contexts) as seen:
        for batch in images.split(batch_size):
            network(to_float(batch.to(device), normalise))
    return seen


def last_of_each_stage(seen: dict[str, Recorded]) -> dict[str, Recorded]:
    """Keep the last site of every stage ("layer1", "layer2", ...): the paper's low, middle and high stage."""
    return {recorded.stage: recorded for recorded in seen.values()}
