"""Singular value decompositions."""

from isospan.linalg import full, left, right, singular_values

__all__ = ["full", "left", "right", "singular_values"]
