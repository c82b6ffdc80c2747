"""Which entries vary by more than rounding."""

import torch
from torch import Tensor

ROUNDING = 64 * torch.finfo(torch.float64).eps
"""Largest standard deviation of a constant, relative to its mean, from the rounding of a float64 mean."""


def varies(variance: Tensor, mean: Tensor) -> bool:
    """Whether any entry varies by more than rounding; see :func:`varying`.

    Example:
        >>> import torch
        >>> mean = torch.tensor(273.15, dtype=torch.float64)
        >>> varies(mean * 1e-32, mean), varies(mean * 1e-12, mean)
        (False, True)
    """
    return bool(varying(variance, mean).any())


def varying(variance: Tensor, mean: Tensor) -> Tensor:
    r"""Return which entries vary by more than the rounding of their mean, for a variance and a mean in float64.

    .. math:: \sigma^2 > (64\, \epsilon)^2\, \mu^2

    Example:
        >>> varying(torch.tensor([1e-32, 1e-12], dtype=torch.float64), torch.ones(2, dtype=torch.float64))
        tensor([False,  True])
    """
    return variance > ROUNDING**2 * mean.square()
