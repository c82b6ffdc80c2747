"""Quantities of a sample, pooled."""

from isospan.compat.spacelearn._decorators import ensure_dim, to_device
from isospan.compat.spacelearn._pooling import input_to_quantity, pool, pool_targets, spatial_pool_targets
from isospan.quantities import combine as compute_Q

__all__ = ["compute_Q", "ensure_dim", "input_to_quantity", "pool", "pool_targets", "spatial_pool_targets", "to_device"]
