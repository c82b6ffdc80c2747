"""Equivariant and invariant networks."""

from isospan.models.emlp import EMLP, IMLP

__all__ = ["EMLP", "IMLP"]
