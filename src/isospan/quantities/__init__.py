"""Quantities of samples: functions that compute them, built-in ones of fields, and pooling."""

from isospan.quantities._functions import CombinedQuantities, combine
from isospan.quantities._pooling import PoolingMode, pool

__all__ = ["CombinedQuantities", "PoolingMode", "combine", "pool"]
