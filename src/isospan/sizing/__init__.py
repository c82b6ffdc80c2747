"""Sizes of a guided latent space: bins n, directions k and dimension D, from the variance of the quantities."""

from isospan.sizing._dims import k_per_q, optimal_bins, solve_dims
from isospan.sizing._latent_dim import minimal_latent_dim
from isospan.sizing._sweep import ThresholdSweep, threshold_sweep

__all__ = ["ThresholdSweep", "k_per_q", "minimal_latent_dim", "optimal_bins", "solve_dims", "threshold_sweep"]
