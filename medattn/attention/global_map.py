"""Global spatial attention: one weight map for a whole set of structured images, learned with the image CNN.

Paper: Xu et al., "A Novel Global Spatial Attention Mechanism in Convolutional Neural Network for Medical Image
Classification", 2020, section 3 (Eq. 1, Fig. 3, Algorithm 1); the variants of the pixel CNN are those of 4.10, the
pixel weights are the L1 baseline of 4.3.

Differs from the paper:
- The text names no activation between the two convolutions; it is ReLU here.
- The penalty of Eq. (1) is the mean of |M| over pixels, as section 4.4 says of the L1 baseline: a sum would be
  50,176 times as large at 224 px.
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
    """The classifier of pixels (section 3.2, Fig. 3): convolution, ReLU, 1 x 1 convolution, sigmoid.

    Shape: P (1, NC, H, W), as a tensor or a `PixelRepresentation` -> M (1, 1, H, W) in 0..1.
    `hidden` is K. `kernel`, `layers` (hidden ones), `last_kernel` and `dense` are the variants of section 4.10.
    Raises ValueError for even kernels, fewer than one layer, and dense connections of a single hidden layer.
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
        for name, value in (("kernel", kernel), ("last_kernel", last_kernel)):
            if value < 1 or value % 2 == 0:
                raise ValueError(f"{name}={value} must be odd, so that the number of pixels stays the same")
        for name, value in (("n_images", n_images), ("channels", channels), ("hidden", hidden), ("layers", layers)):
            if value < 1:
                raise ValueError(f"{name}={value} must be 1 or more")
        if dense and layers == 1:
            raise ValueError("dense=True connects hidden layers and layers=1 has one: say layers=2 or more")
        self.dense = dense
        self.first = nn.Conv2d(n_images * channels, hidden, kernel, padding=kernel // 2)
        widths = [hidden * (k if dense else 1) for k in range(1, layers + 1)]  # what each later layer sees
        self.further = nn.ModuleList(nn.Conv2d(width, hidden, kernel, padding=kernel // 2) for width in widths[:-1])
        self.last = nn.Conv2d(widths[-1], 1, last_kernel, padding=last_kernel // 2)

    def forward(self, pixels: Tensor | PixelRepresentation) -> Tensor:
        z = convolve_pixels(self.first, pixels) if isinstance(pixels, PixelRepresentation) else self.first(pixels)
        with torch.autocast(z.device.type, enabled=False):  # the map itself is never rounded to bf16
            seen = torch.relu(z.to(self.last.weight.dtype))  # (1, K, H, W)
            for layer in self.further:
                new = torch.relu(layer(seen))
                seen = torch.cat([seen, new], dim=1) if self.dense else new
            return torch.sigmoid(self.last(seen))  # (1, 1, H, W)


class LearnedMap(nn.Module):
    """A pixel CNN with the pixels it sees; called, it gives the map (1, 1, H, W)."""

    def __init__(self, pixel_cnn: PixelCNN, pixels: PixelRepresentation | Tensor):
        super().__init__()
        self.pixel_cnn = pixel_cnn
        if isinstance(pixels, Tensor):
            self.register_buffer("pixels", pixels, persistent=False)
        else:
            self.pixels = pixels

    def forward(self) -> Tensor:
        return self.pixel_cnn(self.pixels)


class PixelWeights(nn.Module):
    """The L1 baseline (section 4.3): a free weight for every pixel, 1 at the start. Called, it gives (1, 1, H, W)."""

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, *size))

    def forward(self) -> Tensor:
        return self.weight


class FixedMap(nn.Module):
    """A map that is learned no more: a buffer (1, 1, H, W)."""

    def __init__(self, weight_map: Tensor):
        super().__init__()
        self.register_buffer("map", weight_map)

    def forward(self) -> Tensor:
        return self.map


class WeightMapped(nn.Module):
    """Any image CNN behind one weight map for all images: F(X * M) of Eq. (1).

    Shape: images (N, C, H, W) -> what the image CNN gives for them. `source` is a module that, called without
    arguments, gives the map (1, 1, H, W).
    """

    def __init__(self, image_cnn: nn.Module, source: nn.Module):
        super().__init__()
        self.image_cnn, self.source = image_cnn, source

    def forward(self, images: Tensor, weight_map: Tensor | None = None) -> Tensor:
        """Classify images (N, C, H, W); a map that was computed before can be given."""
        weight_map = self.source() if weight_map is None else weight_map
        if images.shape[2:] != weight_map.shape[2:]:
            raise ValueError(
                f"images {tuple(images.shape)} must have the size of the weight map, {tuple(weight_map.shape[2:])} px"
            )
        return self.image_cnn(images * weight_map)

    def weight_map(self) -> Tensor:
        """Give the map M (1, 1, H, W)."""
        return self.source()

    @property
    def frozen(self) -> bool:
        """Whether the map is a constant."""
        return isinstance(self.source, FixedMap)

    @torch.no_grad()
    def freeze(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Make the map a constant (Algorithm 1, lines 4-5): what it was computed from is gone.

        An optimiser that trained it would keep it in memory: given here, it lets go of it.
        """
        learned = set(self.source.parameters())
        self.source = FixedMap(self.source().detach().clone())
        if optimizer is not None:
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if parameter not in learned]
            optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
            for parameter in learned:
                optimizer.state.pop(parameter, None)

    @torch.no_grad()
    def frozen_state_dict(self) -> dict[str, Tensor]:
        """Give the state dict that the network would have if it were frozen now."""
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("source.")}
        return state | {"source.map": self.source().detach()}


class GlobalAttention(WeightMapped):
    """An image CNN under a learned global map (section 3): `images` are all training images, (N, C, H, W).

    uint8 images are divided by 255 and standardised by `mean` and `std`, so that the pixel CNN sees them as the image
    CNN does. The map lies on the device of the images, and the image CNN stays where it is. `basis="principal"` trains
    the same model on its principal features (`medattn.attention.principal`), at most `rank` of them. The further
    options are those of `PixelCNN`.
    Raises ValueError for an unknown basis, and for a rank without the principal basis.
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
        pixels = PixelRepresentation(images, mean, std)
        # the principal basis needs no layer of NC inputs, which may be many
        n_images = pixels.n_images if basis == "pixels" else 1
        pixel_cnn = PixelCNN(n_images, pixels.channels, hidden, **options)
        if basis == "principal":
            kernel = pixel_cnn.first.kernel_size[0]
            principal = principal_features(pixels, kernel, rank)
            pixel_cnn.first = principal_layer(principal, hidden, kernel * kernel * pixels.n_features)
            pixels = principal.features[None].to(pixel_cnn.last.weight.dtype)
        super().__init__(image_cnn, LearnedMap(pixel_cnn, pixels).to(images.device))


def map_penalty(weight_map: Tensor) -> Tensor:
    """Give the mean of |M| over pixels: Eq. (1)'s second term, without lambda."""
    return weight_map.abs().mean()


def _pixel_weights(image_cnn: nn.Module, images: Tensor, hidden: int, mean: tuple, std: tuple) -> WeightMapped:
    return WeightMapped(image_cnn, PixelWeights(tuple(images.shape[2:])).to(images.device))


# name -> (image_cnn, images, hidden, mean, std, **options) -> network
WEIGHT_MAPS: dict[str, Callable[..., WeightMapped]] = {"global": GlobalAttention, "l1": _pixel_weights}


def map_options_of(name: str) -> str:
    """Say the options of a weight map with their defaults, such as "kernel=3", beyond what all maps take."""
    common = {*signature(_pixel_weights).parameters, "n_images", "channels", "options"}
    takes = signature(WEIGHT_MAPS[name]).parameters
    every = {**takes, **(signature(PixelCNN).parameters if "options" in takes else {})}
    return ", ".join(f"{key}={value.default!r}" for key, value in every.items() if key not in common)
