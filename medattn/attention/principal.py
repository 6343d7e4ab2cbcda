"""The pixel CNN in principal coordinates: the same functions, at a cost that does not grow with the images.

Source: this project. P never changes, so the first convolution only ever sees A (k k NC, HW), P's neighbourhoods, and
A = U S V^T: W A = (W U)(S V^T). Training B = W U (K, r) on the r <= min(k k NC, HW) features S V^T is the same model.
SGD, with momentum and weight decay, follows the same path, as U is orthonormal; Adam does not, as it is not
rotation-invariant: it is then another optimiser of the same model. Keeping the leading r features is an approximation
whose error is the energy left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medattn.attention.pixels import PixelRepresentation

LARGEST_GRAM = 64 * 64  # pixels: the Gram matrix then takes 134 MB
SMALLEST = 1e-6  # of the largest singular value: below it float64 has no digits left of what the Gram matrix squares
OVERSAMPLING, PASSES = 16, 3  # of the randomised decomposition (Halko et al. 2011)


@dataclass(frozen=True)
class Principal:
    """The principal features of a set's pixels.

    Shape: `features` (r, H, W), row i the i-th right singular vector of A times its singular value; `singular` (r,).
    `energy` is the share of A's squared norm that they keep: 1 where all were taken.
    """

    features: Tensor
    singular: Tensor
    energy: float


def principal_features(
    pixels: PixelRepresentation, kernel: int = 3, rank: int | None = None, seed: int = 0
) -> Principal:
    """Decompose the neighbourhoods of all pixels; with `rank`, keep only so many features.

    All of them need the HW x HW Gram matrix, so images of at most 64 x 64; larger ones take a randomised
    decomposition (by `seed`), and a rank. Raises ValueError where that is missing, or larger than there are features.
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
            f"all principal features of {pixels.size[0]} x {pixels.size[1]} pixels need a Gram matrix of "
            f"{8e-9 * n_pixels**2:.0f} GB: say rank= (such as 256), or use images of at most 64 x 64"
        )
    else:
        squared, vectors = _randomised(pixels, kernel, min(rank + OVERSAMPLING, most), seed)
        total = pixels.energy(kernel)
    kept = squared.sqrt() > SMALLEST * squared[0].sqrt()
    squared, vectors = squared[kept][:rank], vectors[:, kept][:, :rank]
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()  # one of two, always the same
    features = (vectors * squared.sqrt()).T.reshape(-1, *pixels.size)
    energy = 1.0 if rank is None else min(1.0, float(squared.sum()) / total)
    return Principal(features, squared.sqrt(), energy)


def principal_layer(principal: Principal, hidden: int, n_inputs: int) -> nn.Conv2d:
    """Build the first layer on principal features, (1, r, H, W) -> (1, K, H, W), at random.

    Its weights B = W U are drawn with the mean and variance that they have where W has `n_inputs` = k k NC inputs and
    PyTorch's usual start, uniform within 1 / sqrt(n_inputs).
    """
    layer = nn.Conv2d(len(principal.features), hidden, kernel_size=1)
    nn.init.normal_(layer.weight, std=(3 * n_inputs) ** -0.5)
    nn.init.uniform_(layer.bias, -(n_inputs**-0.5), n_inputs**-0.5)
    return layer


def rotated(weight: Tensor, pixels: PixelRepresentation, principal: Principal) -> Tensor:
    """Give B = W U for the weight W (K, NC, k, k) of a direct form, as a layer's weight (K, r, 1, 1)."""
    product = pixels.convolve(weight).double().flatten(1)  # W A = B S V^T, and S V^T are the features
    turned = product @ principal.features.flatten(1).T / principal.singular**2
    return turned[:, :, None, None].to(weight.dtype)


def _randomised(pixels: PixelRepresentation, kernel: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Give the leading `width` squared singular values, falling, and right singular vectors (HW, width) of A."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(width, *pixels.size, generator=generator).to(pixels.values.device)
    for _ in range(PASSES):  # A^T A times the subspace, made orthonormal again
        basis = torch.linalg.qr(start.flatten(1).T)[0]
        start = pixels.convolve(pixels.correlate(basis.T.reshape(-1, *pixels.size).contiguous(), kernel))
    basis = torch.linalg.qr(start.flatten(1).T)[0]  # (HW, width)
    image = pixels.correlate(basis.T.reshape(-1, *pixels.size).contiguous(), kernel).flatten(1).double()  # (A Q)^T
    squared, turn = torch.linalg.eigh(image @ image.T)
    return squared.flip(0).clamp(min=0), basis.double() @ turn.flip(1)
