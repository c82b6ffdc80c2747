"""Sizes of the latent space, decoders, and how far a subspace moved."""

from isospan.guided.change import subspace_change
from isospan.guided.decoders import fit_decoders
from isospan.guided.sizing import k_per_q, minimal_latent_dim, optimal_bins

__all__ = ["fit_decoders", "k_per_q", "minimal_latent_dim", "optimal_bins", "subspace_change"]
