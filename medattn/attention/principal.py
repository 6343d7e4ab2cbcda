"""The pixel CNN in principal coordinates: the same model at a cost that is independent of N.

Source: this project. The first convolution only sees A = U S V^T (k k NC, HW), the constant
neighbourhoods of P. As W A = (W U)(S V^T), training B = W U (K, r) on the r <= min(k k NC, HW)
features S V^T trains the same model. U is orthonormal, so SGD follows the same path, also with
momentum and weight decay; Adam does not. With the leading features only, the model is approximate.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from medattn.attention.pixels import PixelRepresentation

LARGEST_GRAM = 64 * 64  # pixels: the Gram matrix then takes 134 MB
SMALLEST = 1e-6  # of the largest singular value: the Gram matrix squares it to float64's precision
OVERSAMPLING, PASSES = 16, 3  # of the randomised decomposition (Halko et al. 2011)


class Principal(NamedTuple):
    """The principal features of the pixels of a set of images."""

    features: Tensor  # (r, H, W): right singular vectors of A times their singular values
    singular: Tensor  # (r,)
    energy: float  # the share of A's squared norm that the features keep


def principal_features(
    pixels: PixelRepresentation, kernel: int = 3, rank: int | None = None, seed: int = 0
) -> Principal:
    """Decompose the neighbourhoods of all pixels, and keep `rank` features, or all.

    The decomposition is exact up to 64 x 64 pixels. Larger images take a randomised one, drawn by
    `seed`, and need a rank. Raises ValueError without it, or for one above the number of features.
    """
    n_pixels = pixels.values.shape[1]
    most = min(kernel * kernel * pixels.n_features, n_pixels)
    if rank is not None and not 1 <= rank <= most:
        raise ValueError(f"rank={rank} must be 1 to {most}, the smaller of k k NC and H W")
    if n_pixels <= LARGEST_GRAM:
        squared, vectors = torch.linalg.eigh(pixels.gram(kernel))
        squared, vectors = squared.flip(0).clamp(min=0), vectors.flip(1)
        total = float(squared.sum())
    elif rank is None:
        raise ValueError(
            f"without a rank, {pixels.size[0]} x {pixels.size[1]} pixels need a Gram matrix of "
            f"{8e-9 * n_pixels**2:.0f} GB: set rank (such as 256), or use at most 64 x 64 pixels"
        )
    else:
        squared, vectors = _randomised(pixels, kernel, min(rank + OVERSAMPLING, most), seed)
        total = pixels.energy(kernel)
    kept = squared.sqrt() > SMALLEST * squared[0].sqrt()
    squared, vectors = squared[kept][:rank], vectors[:, kept][:, :rank]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * largest.sign()  # of the two signs, always the same one
    features = (vectors * squared.sqrt()).T.reshape(-1, *pixels.size)
    energy = 1.0 if rank is None else min(1.0, float(squared.sum()) / total)
    return Principal(features, squared.sqrt(), energy)


def principal_layer(principal: Principal, hidden: int, n_inputs: int) -> nn.Conv2d:
    """Build the first layer on principal features, (1, r, H, W) -> (1, K, H, W)."""
    layer = nn.Conv2d(len(principal.features), hidden, kernel_size=1)
    # the mean and variance of B = W U for PyTorch's start of a W with n_inputs = k k NC
    nn.init.normal_(layer.weight, std=(3 * n_inputs) ** -0.5)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -(n_inputs**-0.5), n_inputs**-0.5)
    return layer


def rotated(weight: Tensor, pixels: PixelRepresentation, principal: Principal) -> Tensor:
    """Return B = W U for a weight W (K, NC, k, k), as a layer's weight (K, r, 1, 1)."""
    product = pixels.convolve(weight).double().flatten(1)  # W A = B S V^T; S V^T are the features
    b = product @ principal.features.flatten(1).T / principal.singular**2
    return b[:, :, None, None].to(weight.dtype)


def _randomised(
    pixels: PixelRepresentation, kernel: int, width: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return A's leading squared singular values (width,) and right vectors (HW, width)."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(width, *pixels.size, generator=generator).to(pixels.values.device)
    for step in range(PASSES + 1):
        basis = torch.linalg.qr(start.flatten(1).T)[0]  # (HW, width)
        product = pixels.correlate(basis.T.reshape(-1, *pixels.size).contiguous(), kernel)  # A Q
        if step < PASSES:
            start = pixels.convolve(product)  # A^T A Q
    image = product.flatten(1).double()  # (A Q)^T
    squared, turn = torch.linalg.eigh(image @ image.T)
    return squared.flip(0).clamp(min=0), basis.double() @ turn.flip(1)
