"""What counts as constant."""

import torch
from torch import Tensor

ROUNDING = 64 * torch.finfo(torch.float64).eps
"""Standard deviation, relative to the mean, that the rounding of a float64 mean may leave of what is constant."""


def varies(variance: Tensor, mean: Tensor) -> bool:
    """Whether any entry varies by more than the rounding of its mean, both in float64.

    Example:
        >>> import torch
        >>> mean = torch.tensor(273.15, dtype=torch.float64)
        >>> varies(mean * 1e-32, mean), varies(mean * 1e-12, mean)
        (False, True)
    """
    return bool((variance > ROUNDING**2 * mean.square()).any())
