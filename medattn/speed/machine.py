"""What the machine itself can do: how fast it copies memory and multiplies matrices, with the threads torch has now."""

import torch

from medattn.timing import alternate

COPY_BYTES = 2**28  # read and written: far more than any cache holds
MATRIX_SIDE = 2048


def limits(device: str | torch.device = "cpu", rounds: int = 5) -> dict[str, float]:
    """Measure copy bandwidth, bytes read and written a second, and float32 matrix products, operations a second.

    Keys: `bytes_a_second`, `operations_a_second`. The largest of the rounds: what is possible, not what is usual.
    """
    source = torch.zeros(COPY_BYTES // 8, device=device)
    target, a = torch.empty_like(source), torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device)
    sides = {"copy": lambda: target.copy_(source), "product": lambda: a @ a}
    seconds = alternate(sides, rounds, device).min()
    return {
        "bytes_a_second": COPY_BYTES / seconds["copy"],
        "operations_a_second": 2 * MATRIX_SIDE**3 / seconds["product"],
    }
