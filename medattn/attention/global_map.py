"""Global spatial attention: one weight map for all structured images, learned with the image CNN.

Paper: Xu et al., "A Novel Global Spatial Attention Mechanism in Convolutional Neural Network for
Medical Image Classification", 2020, sections 3, 4.3 (L1 baseline) and 4.10 (variants).

Differs from the paper:
- The text names no activation between the two convolutions; here it is ReLU.
- The penalty of Eq. (1) is the mean of |M| over pixels, as section 4.4 has it for the L1 baseline.
- Dense connections (4.10) lead from each hidden layer to all later ones, not from the raw pixels.
- A frozen map is a constant: the pixel CNN and the images are dropped, not only fixed.
"""

from collections.abc import Callable
from inspect import signature

import torch
from torch import Tensor, nn

from medattn.attention.pixels import PixelRepresentation, convolve_pixels
from medattn.attention.principal import principal_features, principal_layer

BASES = ("pixels", "principal")


class PixelCNN(nn.Module):
    """The classifier of pixels (section 3.2, Fig. 3): two convolutions, then a sigmoid.

    Shape: P (1, NC, H, W), as a tensor or a `PixelRepresentation` -> M (1, 1, H, W) in 0..1.
    `hidden` is K; the later options are the variants of section 4.10, `layers` the hidden ones.
    Raises ValueError for even kernels, and for dense connections of one layer.
    """

    def __init__(
        self,
        n_images: int,
        channels: int,
        hidden: int = 32,
        kernel: int = 3,
        layers: int = 1,
        last_kernel: int = 1,
        dense: bool = False,
    ):
        super().__init__()
        sizes = {"n_images": n_images, "channels": channels, "hidden": hidden, "layers": layers}
        for name, value in (sizes | {"kernel": kernel, "last_kernel": last_kernel}).items():
            if value < 1:
                raise ValueError(f"{name}={value} must be 1 or more")
            if name not in sizes and value % 2 == 0:
                raise ValueError(f"{name}={value} must be odd, so that the map keeps its size")
        if dense and layers == 1:
            raise ValueError("dense=True connects hidden layers: it needs layers=2 or more")
        self.dense = dense
        self.first = nn.Conv2d(n_images * channels, hidden, kernel, padding=kernel // 2)
        widths = [hidden * (k if dense else 1) for k in range(1, layers + 1)]  # of later inputs
        self.further = nn.ModuleList(
            nn.Conv2d(width, hidden, kernel, padding=kernel // 2) for width in widths[:-1]
        )
        self.last = nn.Conv2d(widths[-1], 1, last_kernel, padding=last_kernel // 2)

    def forward(self, pixels: Tensor | PixelRepresentation) -> Tensor:
        z = convolve_pixels(self.first, pixels)
        with torch.autocast(z.device.type, enabled=False):  # the map is never rounded to bf16
            features = torch.relu(z.to(self.last.weight.dtype))  # (1, K, H, W)
            for layer in self.further:
                new = torch.relu(layer(features))
                features = torch.cat([features, new], dim=1) if self.dense else new
            return torch.sigmoid(self.last(features))  # (1, 1, H, W)


class LearnedMap(nn.Module):
    """A pixel CNN with the pixels that it sees. Called without arguments, it returns the map."""

    def __init__(self, pixel_cnn: PixelCNN, pixels: PixelRepresentation | Tensor):
        super().__init__()
        self.pixel_cnn = pixel_cnn
        self.pixels = nn.Buffer(pixels, persistent=False) if isinstance(pixels, Tensor) else pixels

    def forward(self) -> Tensor:
        return self.pixel_cnn(self.pixels)


class PixelWeights(nn.Module):
    """The L1 baseline (section 4.3): a free weight for every pixel, 1 at the start."""

    def __init__(self, size: tuple[int, ...]):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, *size))

    def forward(self) -> Tensor:
        return self.weight


class FixedMap(nn.Module):
    """A constant map: a buffer (1, 1, H, W)."""

    def __init__(self, weight_map: Tensor):
        super().__init__()
        self.map = nn.Buffer(weight_map)

    def forward(self) -> Tensor:
        return self.map


class WeightMapped(nn.Module):
    """Any image CNN behind one weight map for all images: F(X * M) of Eq. (1).

    Shape: images (N, C, H, W) -> the output of the image CNN. `source` is a module that returns
    the map (1, 1, H, W) when it is called without arguments, unless a map is passed.
    """

    def __init__(self, image_cnn: nn.Module, source: nn.Module):
        super().__init__()
        self.image_cnn, self.source = image_cnn, source

    def forward(self, images: Tensor, weight_map: Tensor | None = None) -> Tensor:
        weight_map = self.source() if weight_map is None else weight_map
        if images.shape[2:] != weight_map.shape[2:]:
            h, w = weight_map.shape[2:]
            raise ValueError(f"images {tuple(images.shape)} must have {h} x {w} px, as the map")
        return self.image_cnn(images * weight_map)

    def weight_map(self) -> Tensor:
        """Return the map M (1, 1, H, W)."""
        return self.source()

    @property
    def frozen(self) -> bool:
        """Whether the map is a constant."""
        return isinstance(self.source, FixedMap)

    @torch.no_grad()
    def freeze(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Make the map a constant and drop its source, also in `optimizer` (Algorithm 1, 4-5)."""
        learned = set(self.source.parameters())
        self.source = FixedMap(self.source().detach().clone())
        if optimizer is not None:
            groups = optimizer.param_groups
            for group in groups:
                group["params"] = [p for p in group["params"] if p not in learned]
            groups[:] = [group for group in groups if group["params"]]
            for parameter in learned:
                optimizer.state.pop(parameter, None)

    @torch.no_grad()
    def frozen_state_dict(self) -> dict[str, Tensor]:
        """Return the state dict that the network would have if it were frozen now."""
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("source.")}
        return state | {"source.map": self.source().detach()}


class GlobalAttention(WeightMapped):
    """An image CNN behind a learned global map (section 3).

    `images` (N, C, H, W) are all training images, as in `PixelRepresentation`. The map lies on
    their device; the image CNN is not moved. `basis="principal"` trains the same model on at most
    `rank` principal features (`medattn.attention.principal`). The other options are those of
    `PixelCNN`. Raises ValueError for an unknown basis, and for a rank without the principal one.
    """

    def __init__(
        self,
        image_cnn: nn.Module,
        images: Tensor,
        hidden: int = 32,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        basis: str = "pixels",
        rank: int | None = None,
        **options,
    ):
        if basis not in BASES:
            raise ValueError(f"basis={basis!r} is unknown; there are {', '.join(BASES)}")
        if rank is not None and basis != "principal":
            raise ValueError(f"rank={rank} needs basis='principal'; basis={basis!r} was given")
        representation = PixelRepresentation(images, mean, std)
        pixels: PixelRepresentation | Tensor = representation
        # the principal basis replaces the layer of NC inputs, which may be many
        n_images = representation.n_images if basis == "pixels" else 1
        pixel_cnn = PixelCNN(n_images, representation.channels, hidden, **options)
        if basis == "principal":
            kernel = int(pixel_cnn.first.kernel_size[0])
            n_inputs = kernel * kernel * representation.n_features
            principal = principal_features(representation, kernel, rank)
            pixel_cnn.first = principal_layer(principal, hidden, n_inputs)
            pixels = principal.features[None].to(pixel_cnn.last.weight.dtype)
        super().__init__(image_cnn, LearnedMap(pixel_cnn, pixels).to(images.device))


def map_penalty(weight_map: Tensor) -> Tensor:
    """Return the mean of |M| over pixels: the second term of Eq. (1), without lambda."""
    return weight_map.abs().mean()


def _l1_map(image_cnn: nn.Module, images: Tensor, hidden, mean, std) -> WeightMapped:
    return WeightMapped(image_cnn, PixelWeights(images.shape[2:]).to(images.device))


# name -> (image_cnn, images, hidden, mean, std, **options) -> network
WEIGHT_MAPS: dict[str, Callable[..., WeightMapped]] = {"global": GlobalAttention, "l1": _l1_map}


def map_options_of(name: str) -> str:
    """Return the options that only this weight map takes, with their defaults, as "kernel=3"."""
    options = dict(signature(WEIGHT_MAPS[name]).parameters)
    if "options" in options:
        options |= signature(PixelCNN).parameters
    common = {*signature(_l1_map).parameters, "options", "n_images", "channels"}
    return ", ".join(f"{k}={p.default!r}" for k, p in options.items() if k not in common)
