"""Sizes of the latent space, decoders, and the change of a subspace."""

from isospan.compat.spacelearn._sizes import k_per_q, optimal_bins
from isospan.compat.spacelearn._solve import fit_decoders
from isospan.sizing import minimal_latent_dim
from isospan.subspaces import subspace_change

__all__ = ["fit_decoders", "k_per_q", "minimal_latent_dim", "optimal_bins", "subspace_change"]
