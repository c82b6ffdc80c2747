"""Quantities of a sample, pooled."""

from isospan.compat.spacelearn._keywords import renamed
from isospan.guided.pooling import pool as _pool
from isospan.guided.quantities import ensure_dim, input_to_quantity, to_device

pool = renamed(_pool, x="chunks")

__all__ = ["ensure_dim", "input_to_quantity", "pool", "to_device"]
