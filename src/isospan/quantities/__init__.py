"""Quantities of samples: functions that compute them, ready-made ones of fields, pooling."""

from isospan.quantities._decorators import ensure_dim, to_device
from isospan.quantities._functions import compute_Q, input_to_quantity
from isospan.quantities._pooling import pool, pool_targets, spatial_pool_targets

__all__ = [
    "compute_Q",
    "ensure_dim",
    "input_to_quantity",
    "pool",
    "pool_targets",
    "spatial_pool_targets",
    "to_device",
]
