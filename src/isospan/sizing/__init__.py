"""Sizes of a guided latent space, from the variance of the quantities.

They are the pooled resolution n, the subspace dimension k and the latent dimension D.
"""

from isospan.sizing._dims import pooled_resolutions, solve_dims, subspace_dims
from isospan.sizing._latent_dim import minimal_latent_dim
from isospan.sizing._sweep import ThresholdSweep, threshold_sweep

__all__ = [
    "ThresholdSweep",
    "minimal_latent_dim",
    "pooled_resolutions",
    "solve_dims",
    "subspace_dims",
    "threshold_sweep",
]
