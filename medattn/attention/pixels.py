"""The pixels of a set of images as features over all images, and a convolution of them.

Paper: Xu et al., "A Novel Global Spatial Attention Mechanism", 2020, Definition 3 and section 3.2.
Differs from the paper, in the arithmetic only: P is stored as uint8 and normalised when it is read.
The first convolution is k x k matrix products that are shifted and added, so no neighbourhood is
copied. It computes no gradient for the images. Under autocast the products run in bf16.
"""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor, nn

KEPT_BYTES = 2**30
CHUNK = 5_000_000  # pixel values normalised at a time


class PixelRepresentation(nn.Module):
    """P (NC, H, W): the feature of a pixel is its value in all channels of all images (Def. 3).

    `images` (N, C, H, W) are floats, or uint8, which is divided by 255. They are standardised by
    `mean` and `std` of each channel, and are in no state dict. The result is cached if it needs at
    most `kept_bytes`, or else computed in chunks. Raises ValueError for other shapes and types.
    """

    def __init__(
        self,
        images: Tensor,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        kept_bytes: int = KEPT_BYTES,
    ):
        super().__init__()
        shape, is_bytes = tuple(images.shape), images.dtype == torch.uint8
        if len(shape) != 4 or shape[0] == 0 or not (is_bytes or images.is_floating_point()):
            raise ValueError(f"images {images.dtype} {shape} must be uint8 or floats (N, C, H, W)")
        n, channels, height, width = shape
        if len(mean) not in (1, channels) or len(std) != len(mean) or min(std) <= 0:
            raise ValueError(f"mean={mean} and std={std} (> 0) need 1 or {channels} values each")
        self.n_images, self.channels, self.size = n, channels, (height, width)
        full = 255.0 if is_bytes else 1.0
        exact = torch.promote_types(images.dtype, torch.float32)
        both = torch.tensor([mean, std], dtype=exact, device=images.device)
        means, stds = both.expand(2, channels)
        values = images.detach().reshape(n * channels, height * width)
        self.values = nn.Buffer(values, persistent=False)  # (NC, HW)
        self.factor = nn.Buffer((1 / (full * stds)).repeat(n)[:, None], persistent=False)
        self.offset = nn.Buffer((-means / stds).repeat(n)[:, None], persistent=False)
        self.kept_bytes = kept_bytes
        self._kept: Tensor | None = None

    @property
    def n_features(self) -> int:
        """The number of features of a pixel, NC."""
        return len(self.values)

    def forward(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return all of P, (1, NC, H, W), as a plain `nn.Conv2d` takes it."""
        return self._normalised(slice(None), dtype).view(1, self.n_features, *self.size)

    def rows(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """Yield P in chunks of features: which features, and their values (features, HW)."""
        if self.values.numel() * dtype.itemsize <= self.kept_bytes:
            kept = self._kept
            if kept is None or kept.dtype != dtype or kept.device != self.values.device:
                self._kept = kept = self._normalised(slice(None), dtype)
            yield slice(0, self.n_features), kept
            return
        step = max(1, CHUNK // self.values.shape[1])
        for start in range(0, self.n_features, step):
            chunk = slice(start, start + step)
            yield chunk, self._normalised(chunk, dtype)

    def convolve(self, weight: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Convolve zero-padded P with `weight` (K, NC, k, k) in `dtype`, and return (K, H, W)."""
        dtype = dtype or weight.dtype
        hidden, _, kernel, _ = weight.shape
        stacked = weight.permute(2, 3, 0, 1).reshape(-1, self.n_features).to(dtype)  # (k k K, NC)
        exact = torch.promote_types(dtype, torch.float32)
        products = weight.new_zeros(len(stacked), self.values.shape[1], dtype=exact)
        for which, part in self.rows(dtype):
            if dtype == exact:
                products.addmm_(stacked[:, which], part)
            else:
                products += stacked[:, which] @ part
        output = weight.new_zeros(hidden, *self.size, dtype=exact)
        shifted = products.view(-1, hidden, *self.size)
        for plane, (source, target) in zip(shifted, self._shifts(kernel), strict=True):
            output[(..., *target)] += plane[(..., *source)]
        return output

    def correlate(self, gradient: Tensor, kernel: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return the adjoint of `convolve`: (K, H, W) -> the weight's gradient (K, NC, k, k)."""
        dtype, hidden = dtype or gradient.dtype, len(gradient)
        shifted = gradient.new_zeros(kernel * kernel, hidden, *self.size, dtype=dtype)
        for plane, (source, target) in zip(shifted, self._shifts(kernel), strict=True):
            plane[(..., *source)] = gradient[(..., *target)].to(dtype)
        shifted = shifted.view(-1, self.values.shape[1])  # (k k K, HW)
        exact = torch.promote_types(dtype, torch.float32)
        stacked = gradient.new_empty(len(shifted), self.n_features, dtype=exact)
        for which, part in self.rows(dtype):
            stacked[:, which] = shifted @ part.T
        return stacked.view(kernel, kernel, hidden, -1).permute(2, 3, 0, 1).contiguous()

    def gram(self, kernel: int) -> Tensor:
        """Return A^T A (HW, HW) in float64; A (k k NC, HW) are the neighbourhoods."""
        n_pixels = self.values.shape[1]
        of_pixels = self.values.new_zeros(n_pixels, n_pixels, dtype=torch.float64)
        for _, part in self.rows(torch.float64):
            of_pixels.addmm_(part.T, part)
        of_pixels = of_pixels.view(*self.size, *self.size)
        gram = torch.zeros_like(of_pixels)
        for source, target in self._shifts(kernel):  # a neighbour's products, at the pixel's place
            gram[(*target, *target)] += of_pixels[(*source, *source)]
        return gram.view(n_pixels, n_pixels)

    def energy(self, kernel: int, power: int = 2) -> float:
        """Return the sum of |a|^power over the neighbourhoods A (k k NC, HW)."""
        sums = self.values.new_zeros(self.size, dtype=torch.float64)
        for _, part in self.rows(torch.float32):
            sums += part.double().abs().pow(power).sum(0).view(self.size)
        return float(sum(sums[source].sum() for source, _ in self._shifts(kernel)))

    def _normalised(self, which: slice, dtype: torch.dtype) -> Tensor:
        exact = torch.promote_types(dtype, torch.float32)
        factor, offset = self.factor[which].to(exact), self.offset[which].to(exact)
        return torch.addcmul(offset, self.values[which].to(exact), factor).to(dtype)

    def _shifts(self, kernel: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """Yield, for each kernel offset, (rows, columns) of the neighbours and of their pixels."""
        height, width = self.size
        for dy, dx in product(range(-(kernel // 2), kernel // 2 + 1), repeat=2):
            (rows, own_rows), (columns, own_columns) = _shift(dy, height), _shift(dx, width)
            yield (rows, columns), (own_rows, own_columns)


def _shift(offset: int, side: int) -> tuple[slice, slice]:
    source = slice(max(0, offset), max(0, side + min(0, offset)))
    return source, slice(max(0, -offset), max(0, side - max(0, offset)))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, pixels: PixelRepresentation, dtype: torch.dtype) -> Tensor:
        ctx.pixels, ctx.kernel, ctx.dtype = pixels, weight.shape[-1], dtype
        return pixels.convolve(weight, dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.pixels.correlate(gradient, ctx.kernel, ctx.dtype), None, None


def convolve_pixels(layer: nn.Conv2d, pixels: PixelRepresentation | Tensor) -> Tensor:
    """Apply a convolution (stride 1, odd kernel, zero padding of half its size): (1, K, H, W)."""
    if isinstance(pixels, Tensor):
        return layer(pixels)
    weight, device = layer.weight, layer.weight.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
    output = _Convolution.apply(weight, pixels, dtype)
    if layer.bias is not None:
        output = output + layer.bias.to(output.dtype)[:, None, None]
    return output[None]
