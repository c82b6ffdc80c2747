"""Sizes of the latent space, decoders, and how far a subspace moved."""

from isospan.compat.spacelearn._keywords import renamed
from isospan.guided.change import subspace_change
from isospan.guided.decoders import fit_decoders as _fit_decoders
from isospan.guided.sizing import k_per_q as _k_per_q
from isospan.guided.sizing import minimal_latent_dim
from isospan.guided.sizing import optimal_bins as _optimal_bins

fit_decoders = renamed(_fit_decoders, targets="pooled_global")
k_per_q = renamed(_k_per_q, pooled="pooled_global")
optimal_bins = renamed(_optimal_bins, targets="pooled_targets_coarse")

__all__ = ["fit_decoders", "k_per_q", "minimal_latent_dim", "optimal_bins", "subspace_change"]
