"""The pixels of a set of images, each described by what all images show there, and what a convolution makes of them.

Paper: Xu et al., "A Novel Global Spatial Attention Mechanism", 2020, section 2, Definition 3; section 3.2.
Differs from the paper, in the arithmetic only: P is kept as uint8 and normalised when read, a few images at a time
where they do not fit; the first convolution is k x k matrix products, shifted and added, so that no neighbourhood is
copied; it never forms a gradient for the images, which are constants. Matrix products run in bf16 under autocast.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

KEPT_BYTES = 2**30
CHUNK = 5_000_000  # pixel values normalised at a time


class PixelRepresentation(nn.Module):
    """P (NC, H, W): the feature of a pixel is its value in every channel of every image (Definition 3).

    `images` (N, C, H, W) are uint8, divided by 255 and standardised by `mean` and `std` of each channel, or floats as
    the network sees them. They are constants: no parameters, and in no state dict. Normalised they are kept where that
    takes no more than `kept_bytes`, and else made anew, some at a time, at every read.
    Raises ValueError for other shapes and types.
    """

    def __init__(
        self,
        images: Tensor,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        kept_bytes: int = KEPT_BYTES,
    ):
        super().__init__()
        if not isinstance(images, Tensor):
            raise ValueError(f"images are {type(images).__name__} and must be a tensor: torch.from_numpy(images)")
        if images.ndim != 4 or len(images) == 0 or not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise ValueError(
                f"images {images.dtype} {tuple(images.shape)} must be uint8 or floats (N, C, H, W), N >= 1"
            )
        n, channels, height, width = images.shape
        mean, std = (tuple(v) if isinstance(v, tuple | list) else (v,) for v in (mean, std))
        if len(mean) not in (1, channels) or len(std) != len(mean) or not all(value > 0 for value in std):
            raise ValueError(
                f"mean={mean} and std={std} must have one value, or one for each of {channels} channels; std above 0"
            )
        self.n_images, self.channels, self.size = n, channels, (height, width)
        full = 255.0 if images.dtype == torch.uint8 else 1.0
        exact = torch.promote_types(images.dtype, torch.float32)
        mean, std = (torch.tensor(v, dtype=exact, device=images.device).expand(channels) for v in (mean, std))
        self.register_buffer("values", images.detach().reshape(n * channels, height * width), persistent=False)
        self.register_buffer("factor", (1 / (full * std)).repeat(n)[:, None], persistent=False)
        self.register_buffer("offset", (-mean / std).repeat(n)[:, None], persistent=False)
        self.kept_bytes = kept_bytes
        self._kept: Tensor | None = None

    @property
    def n_features(self) -> int:
        """The length of a pixel's description, NC."""
        return len(self.values)

    def forward(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Give P whole, (1, NC, H, W): what a plain `nn.Conv2d` takes."""
        return self._normalised(slice(None), dtype).view(1, self.n_features, *self.size)

    def rows(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """Give P in parts of some features each: (which, (features, HW) of `dtype`)."""
        if self.values.numel() * dtype.itemsize <= self.kept_bytes:
            if self._kept is None or self._kept.dtype != dtype or self._kept.device != self.values.device:
                self._kept = self._normalised(slice(None), dtype)
            yield slice(0, self.n_features), self._kept
            return
        step = max(1, CHUNK // self.values.shape[1])
        for start in range(0, self.n_features, step):
            which = slice(start, min(start + step, self.n_features))
            yield which, self._normalised(which, dtype)

    def convolve(self, weight: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Convolve P with `weight` (K, NC, k, k), zeros around it: (K, H, W). The products are made in `dtype`."""
        dtype = dtype or weight.dtype
        hidden, _, kernel, _ = weight.shape
        stacked = weight.permute(2, 3, 0, 1).reshape(-1, self.n_features).to(dtype)  # (k k K, NC)
        summed = torch.promote_types(dtype, torch.float32)
        products = torch.zeros(len(stacked), self.values.shape[1], dtype=summed, device=weight.device)
        for which, part in self.rows(dtype):
            if dtype == summed:
                products.addmm_(stacked[:, which], part)
            else:
                products += stacked[:, which] @ part
        output = torch.zeros(hidden, *self.size, dtype=summed, device=weight.device)
        for product, (there, here) in zip(products.view(-1, hidden, *self.size), self._shifts(kernel), strict=True):
            output[(..., *here)] += product[(..., *there)]
        return output

    def correlate(self, gradient: Tensor, kernel: int, dtype: torch.dtype | None = None) -> Tensor:
        """Give the adjoint of `convolve`: for (K, H, W) the gradient of the weight, (K, NC, k, k)."""
        dtype = dtype or gradient.dtype
        hidden = len(gradient)
        shifted = torch.zeros(kernel * kernel, hidden, *self.size, dtype=dtype, device=gradient.device)
        for one, (there, here) in zip(shifted, self._shifts(kernel), strict=True):
            one[(..., *there)] = gradient[(..., *here)].to(dtype)
        shifted = shifted.view(-1, self.values.shape[1])  # (k k K, HW)
        summed = torch.promote_types(dtype, torch.float32)
        stacked = torch.empty(len(shifted), self.n_features, dtype=summed, device=gradient.device)
        for which, part in self.rows(dtype):
            stacked[:, which] = shifted @ part.T
        return stacked.view(kernel, kernel, hidden, -1).permute(2, 3, 0, 1).contiguous()

    def gram(self, kernel: int) -> Tensor:
        """Give A^T A (HW, HW) in float64, A (k k NC, HW) the neighbourhoods: a sum over images, read once."""
        n_pixels = self.values.shape[1]
        of_pixels = torch.zeros(n_pixels, n_pixels, dtype=torch.float64, device=self.values.device)
        for _, part in self.rows(torch.float64):
            of_pixels.addmm_(part.T, part)
        of_pixels = of_pixels.view(*self.size, *self.size)
        gram = torch.zeros_like(of_pixels)
        for there, here in self._shifts(kernel):  # a neighbour's products, at the place of the pixel
            gram[(*here, *here)] += of_pixels[(*there, *there)]
        return gram.view(n_pixels, n_pixels)

    def energy(self, kernel: int) -> float:
        """Give the squared Frobenius norm of A, the neighbourhoods (k k NC, HW)."""
        squares = sum(part.double().square().sum(0) for _, part in self.rows(torch.float32)).view(self.size)
        return float(sum(squares[there].sum() for there, _ in self._shifts(kernel)))

    def extra_repr(self) -> str:
        return f"{self.n_images} images of {self.channels} channels, size={self.size}"

    def _normalised(self, which: slice, dtype: torch.dtype) -> Tensor:
        exact = torch.promote_types(dtype, torch.float32)
        factor, offset = self.factor[which].to(exact), self.offset[which].to(exact)
        return torch.addcmul(offset, self.values[which].to(exact), factor).to(dtype)

    def _shifts(self, kernel: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """For each offset of the kernel: where its neighbours lie, and the pixels whose neighbours they are."""
        for dy in range(-(kernel // 2), kernel // 2 + 1):
            for dx in range(-(kernel // 2), kernel // 2 + 1):
                pairs = [
                    (slice(max(0, d), max(0, side + min(0, d))), slice(max(0, -d), max(0, side - max(0, d))))
                    for d, side in zip((dy, dx), self.size, strict=True)
                ]
                yield (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, pixels: PixelRepresentation, dtype: torch.dtype) -> Tensor:
        ctx.pixels, ctx.kernel, ctx.dtype = pixels, weight.shape[-1], dtype
        return pixels.convolve(weight, dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.pixels.correlate(gradient, ctx.kernel, ctx.dtype), None, None


def convolve_pixels(layer: nn.Conv2d, pixels: PixelRepresentation) -> Tensor:
    """Apply a convolution (stride 1, odd kernel, zero padding of half its size) to the pixels: (1, K, H, W)."""
    device = layer.weight.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else layer.weight.dtype
    output = _Convolution.apply(layer.weight, pixels, dtype)
    return (output + layer.bias.to(output.dtype)[:, None, None])[None]
