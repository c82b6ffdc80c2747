"""Sizes of a guided latent space: bins n, directions k and dimension D, from the variance of the quantities."""

from isospan.guided.sizing.dims import k_per_q, optimal_bins, solve_dims
from isospan.guided.sizing.latent_dim import minimal_latent_dim
from isospan.guided.sizing.sweep import ThresholdSweep, threshold_sweep

__all__ = ["ThresholdSweep", "k_per_q", "minimal_latent_dim", "optimal_bins", "solve_dims", "threshold_sweep"]
