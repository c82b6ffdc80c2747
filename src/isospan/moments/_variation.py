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
    return bool(varying(variance, mean).any())


def varying(variance: Tensor, mean: Tensor) -> Tensor:
    """Where an entry varies by more than the rounding of its mean.

    Example:
        >>> varying(torch.tensor([1e-32, 1e-12], dtype=torch.float64), torch.ones(2, dtype=torch.float64))
        tensor([False,  True])
    """
    return variance > ROUNDING**2 * mean.square()
