"""Wave numbers and the Laplacian symbol of a square periodic grid."""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``, in samples, each time more of them are ready."""

CACHE_SIZED_BYTES = 1 << 18
"""Fields advanced together, in bytes: as many as the caches of one core hold, the fastest batch for the transforms."""


def chunk_length(size: int) -> int:
    """Number of float64 fields of ``size`` x ``size`` that are advanced together."""
    return max(1, CACHE_SIZED_BYTES // (8 * size * size))


def wave_numbers(size: int, spacing: float) -> tuple[Tensor, Tensor]:
    """Angular wave numbers (kx, ky) of `torch.fft.rfft2`, of shapes (1, size // 2 + 1) and (size, 1).

    x runs along the last axis and y along the one before it.
    """
    kx = 2 * pi * torch.fft.rfftfreq(size, d=spacing, dtype=torch.float64)
    ky = 2 * pi * torch.fft.fftfreq(size, d=spacing, dtype=torch.float64)
    return kx[None, :], ky[:, None]


def squared_wave_number(size: int, spacing: float) -> Tensor:
    """k^2 = kx^2 + ky^2, the symbol of minus the Laplacian, of shape (size, size // 2 + 1)."""
    kx, ky = wave_numbers(size, spacing)
    return kx**2 + ky**2
