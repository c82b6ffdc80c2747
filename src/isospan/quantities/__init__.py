"""Quantities of samples: functions that compute them, ready-made ones of fields, pooling."""

from isospan.quantities._functions import CombinedQuantities, combine
from isospan.quantities._pooling import PoolingMode, pool

__all__ = ["CombinedQuantities", "PoolingMode", "combine", "pool"]
