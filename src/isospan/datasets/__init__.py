"""Example data, simulated, and readers for the fields of a user."""

from isospan.datasets.ant import ant_representations, ant_steps
from isospan.datasets.arrays import as_array, open_arrays
from isospan.datasets.cache import cache_folder, cached
from isospan.datasets.cahn_hilliard import cahn_hilliard
from isospan.datasets.navier_stokes import decaying_turbulence
from isospan.datasets.readers import open_fields
from isospan.datasets.sources import Channels, FieldArray, FieldSource
from isospan.datasets.springs import spring_ring, spring_ring_representation

__all__ = [
    "Channels",
    "FieldArray",
    "FieldSource",
    "ant_representations",
    "ant_steps",
    "as_array",
    "cache_folder",
    "cached",
    "cahn_hilliard",
    "decaying_turbulence",
    "open_arrays",
    "open_fields",
    "spring_ring",
    "spring_ring_representation",
]
