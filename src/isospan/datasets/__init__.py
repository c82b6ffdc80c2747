"""Simulated fields and dynamics, generated once and cached on disk."""

from isospan.datasets._ant import ant_representations, ant_steps
from isospan.datasets._cache import cache_folder, cached
from isospan.datasets._cahn_hilliard import cahn_hilliard
from isospan.datasets._navier_stokes import decaying_turbulence
from isospan.datasets._springs import spring_ring, spring_ring_representation

__all__ = [
    "ant_representations",
    "ant_steps",
    "cache_folder",
    "cached",
    "cahn_hilliard",
    "decaying_turbulence",
    "spring_ring",
    "spring_ring_representation",
]
