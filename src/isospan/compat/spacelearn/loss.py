"""The four terms of the loss."""

from isospan.compat.spacelearn._disentanglement import disentanglement_loss_original
from isospan.compat.spacelearn._keywords import alignment_loss, disentanglement_loss, isotropy_loss
from isospan.guided.losses import stability_loss

__all__ = ["alignment_loss", "disentanglement_loss", "disentanglement_loss_original", "isotropy_loss", "stability_loss"]
