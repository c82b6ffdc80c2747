"""Sizes of the latent space, decoders, and how far a subspace moved."""

from isospan.compat.spacelearn._keywords import fit_decoders, k_per_q, optimal_bins
from isospan.sizing import minimal_latent_dim
from isospan.subspaces import subspace_change

__all__ = ["fit_decoders", "k_per_q", "minimal_latent_dim", "optimal_bins", "subspace_change"]
