"""Singular value decompositions."""

from isospan.compat.spacelearn._svd import full, left, right, singular_values

__all__ = ["full", "left", "right", "singular_values"]
