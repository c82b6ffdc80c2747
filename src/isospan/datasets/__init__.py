"""Example data, simulated, and readers for the fields of a user."""

from isospan.datasets.cahn_hilliard import cahn_hilliard

__all__ = ["cahn_hilliard"]
