"""Losses of a batch of latents: alignment, disentanglement, isotropy, stability, and their weighted sum."""

from isospan.guided.losses._alignment import alignment_loss
from isospan.guided.losses._combined import combined_loss
from isospan.guided.losses._disentanglement import disentanglement_loss
from isospan.guided.losses._isotropy import isotropy_loss
from isospan.guided.losses._stability import stability_loss

__all__ = [
    "alignment_loss",
    "combined_loss",
    "disentanglement_loss",
    "isotropy_loss",
    "stability_loss",
]
