"""Sizes of the latent space, decoders, and how far a subspace moved."""

from collections.abc import Callable

from torch import Tensor

from isospan.compat.spacelearn._keywords import renamed as _renamed
from isospan.sizing import k_per_q as _k_per_q
from isospan.sizing import minimal_latent_dim
from isospan.sizing import optimal_bins as _optimal_bins
from isospan.subspaces._change import subspace_change
from isospan.subspaces._decoders import fit_decoders as _fit_decoders

fit_decoders: Callable[..., dict[str, Tensor]] = _renamed(_fit_decoders, targets="pooled_global")
k_per_q: Callable[..., int | dict[str, int]] = _renamed(_k_per_q, pooled="pooled_global")
optimal_bins: Callable[..., int | dict[str, int]] = _renamed(_optimal_bins, targets="pooled_targets_coarse")

__all__ = ["fit_decoders", "k_per_q", "minimal_latent_dim", "optimal_bins", "subspace_change"]
