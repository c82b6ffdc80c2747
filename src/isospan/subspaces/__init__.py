"""Linear subspaces of a latent space that hold quantities: solve them from second moments, read, edit, erase."""

from isospan.subspaces._change import subspace_change
from isospan.subspaces._criteria import Method
from isospan.subspaces._decoders import decoders_from_moments, fit_decoders
from isospan.subspaces._editor import Editor, Metric
from isospan.subspaces._eraser import Eraser, eraser
from isospan.subspaces._fitting import solve_from_moments, solve_subspaces
from isospan.subspaces._latent_space import LatentSpace

__all__ = [
    "Editor",
    "Eraser",
    "LatentSpace",
    "Method",
    "Metric",
    "decoders_from_moments",
    "eraser",
    "fit_decoders",
    "solve_from_moments",
    "solve_subspaces",
    "subspace_change",
]
