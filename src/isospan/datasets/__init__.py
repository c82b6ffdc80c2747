"""Example data, simulated, and readers for the fields of a user."""

from isospan.datasets.cache import cache_folder, cached
from isospan.datasets.cahn_hilliard import cahn_hilliard
from isospan.datasets.navier_stokes import decaying_turbulence
from isospan.datasets.readers import open_fields
from isospan.datasets.sources import Channels, FieldArray, FieldSource

__all__ = [
    "Channels",
    "FieldArray",
    "FieldSource",
    "cache_folder",
    "cached",
    "cahn_hilliard",
    "decaying_turbulence",
    "open_fields",
]
