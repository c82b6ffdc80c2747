"""What the simulations share: the symbol of the Laplacian, how many fields advance together, and who hears of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from isospan.guided.fields.grid import wave_numbers

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``, in samples, each time more of them are ready."""

CACHE_SIZED_BYTES = 1 << 18
"""Fields advanced together, in bytes: as many as the caches of one core hold, the fastest batch for the transforms."""


def chunk_length(size: int) -> int:
    """Number of float64 fields of ``size`` x ``size`` that are advanced together."""
    return max(1, CACHE_SIZED_BYTES // (8 * size * size))


def squared_wave_number(size: int, spacing: float) -> Tensor:
    """k^2 = kx^2 + ky^2, the symbol of minus the Laplacian on a square grid, of shape (size, size // 2 + 1)."""
    ky, kx = wave_numbers(torch.empty(size, size), spacing)
    return kx**2 + ky**2
