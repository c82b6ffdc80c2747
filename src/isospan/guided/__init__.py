"""Subspaces of a latent space that hold known quantities: solve, guide, use and evaluate them."""

from isospan.guided.change import subspace_change
from isospan.guided.decoders import decoders_from_moments, fit_decoders
from isospan.guided.losses import (
    alignment_loss,
    combined_loss,
    disentanglement_loss,
    disentanglement_loss_original,
    isotropy_loss,
    stability_loss,
)
from isospan.guided.subspaces import Space, principal_directions, solve_from_moments, solve_subspaces, subspaces

__all__ = [
    "Space",
    "alignment_loss",
    "combined_loss",
    "decoders_from_moments",
    "disentanglement_loss",
    "disentanglement_loss_original",
    "fit_decoders",
    "isotropy_loss",
    "principal_directions",
    "solve_from_moments",
    "solve_subspaces",
    "stability_loss",
    "subspace_change",
    "subspaces",
]
