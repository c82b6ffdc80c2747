"""Linear subspaces of a latent space that hold known quantities: solve them from second moments, read, edit, erase."""

from isospan.subspaces._change import subspace_change
from isospan.subspaces._criteria import Method
from isospan.subspaces._decoders import decoders_from_moments, fit_decoders
from isospan.subspaces._fitting import space_from_moments
from isospan.subspaces._latent_space import LatentSpace
from isospan.subspaces._solve import principal_directions, solve_from_moments, solve_subspaces, subspaces
from isospan.subspaces._space import Space

__all__ = [
    "LatentSpace",
    "Method",
    "Space",
    "decoders_from_moments",
    "fit_decoders",
    "principal_directions",
    "solve_from_moments",
    "solve_subspaces",
    "space_from_moments",
    "subspace_change",
    "subspaces",
]
