"""Quantities of a sample, pooled."""

from collections.abc import Callable

from torch import Tensor

from isospan.compat.spacelearn._keywords import renamed
from isospan.quantities._functions import ensure_dim, input_to_quantity, to_device
from isospan.quantities._pooling import pool as _pool

pool: Callable[..., Tensor] = renamed(_pool, x="chunks")

__all__ = ["ensure_dim", "input_to_quantity", "pool", "to_device"]
