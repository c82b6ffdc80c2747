"""Quantities of a sample, pooled."""

from isospan.guided.pooling import pool
from isospan.guided.quantities import ensure_dim, input_to_quantity, to_device

__all__ = ["ensure_dim", "input_to_quantity", "pool", "to_device"]
