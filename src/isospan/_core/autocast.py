"""Computation without autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast, for constants, statistics and losses in the precision of their tensors.

    Example:
        >>> x = torch.ones(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16), full_precision(x):
        ...     (x @ x).dtype
        torch.float32
    """
    device = like.device.type
    is_lowered = not like.is_meta and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if is_lowered else nullcontext()
