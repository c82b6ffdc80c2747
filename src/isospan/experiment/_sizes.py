"""Pooled resolution n and subspace dimension k of each quantity, and the latent dimension D."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten

import torch
from torch import Tensor

from isospan._core.missing import Missing
from isospan.errors import DimensionError
from isospan.experiment._targets import Targets
from isospan.experiment.samples import Samples
from isospan.experiment.samples._samples import concatenate
from isospan.experiment.training import can_shift, shifted
from isospan.sizing import ThresholdSweep, minimal_latent_dim, subspace_dims, threshold_sweep

BIN_GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999)
K_GRID = (0.8, 0.9, 0.95, 0.99, 0.999)
SAMPLES = 2048
BYTES = 2**28
BLOCKS = 16


@dataclass(frozen=True, eq=False)
class Sizes:
    """Pooled resolution n and subspace dimension k of each quantity, and the latent dimension D.

    Attributes:
        dims: {name: (n, k)}; n is None for a quantity that is not pooled.
        latent_dim: D, from the data or as given.
        least_latent_dim: the least D for the quantities and the free fraction.
        sweep: (n, k, D) over a grid of thresholds that includes the chosen ones; None where nothing is pooled.
    """

    dims: Mapping[str, tuple[int | None, int]]
    latent_dim: int
    least_latent_dim: int
    sweep: ThresholdSweep | None = None

    def __repr__(self) -> str:
        dims = shorten(str(dict(self.dims)), 120, placeholder=" …}")
        return f"Sizes({dims}, latent_dim={self.latent_dim}, least_latent_dim={self.least_latent_dim})"

    @property
    def n(self) -> dict[str, int | None]:
        """{name: n}."""
        return {name: n for name, (n, _) in self.dims.items()}

    @property
    def k(self) -> dict[str, int]:
        """{name: k}."""
        return {name: k for name, (_, k) in self.dims.items()}


def solve_sizes(
    samples: Samples,
    targets: Targets,
    *,
    bin_threshold: float = 0.95,
    k_threshold: float = 0.90,
    max_bins: int = 16,
    free_frac: float = 0.30,
    latent_dim: int | None = None,
    longest: int | None = None,
    augment: bool = False,
    seed: int = 0,
    missing: Missing = "raise",
) -> Sizes:
    """Choose n and k of every quantity, and D, from at most 2048 of the samples to train on.

    Numbers, and series of at most ``longest`` values, are not pooled. With ``augment`` the sizes are those of the
    shifted fields, which the network is trained on.

    Args:
        samples: the samples to train on.
        targets: the quantities.
        bin_threshold: explained variance from which n follows.
        k_threshold: explained variance of the pooled quantity from which k follows.
        max_bins: the largest n.
        free_frac: fraction of the latent space outside all subspaces.
        latent_dim: D; by default the least that the quantities need.
        longest: series of more values are pooled; by default ``max_bins``.
        augment: shift and flip the fields at random.
        seed: seed of the shifts and flips.
        missing: ``"skip"`` leaves out the samples whose quantity has NaN, quantity by quantity.

    Raises:
        DimensionError: a k is above the given latent dimension.

    Example:
        >>> from isospan.experiment import parse_quantities
        >>> samples = Samples(torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        >>> solve_sizes(samples, Targets(parse_quantities({"local_mean": ""})), max_bins=3).dims
        {'local_mean': (3, 4)}
    """
    y = targets.unpooled(_sizing_samples(samples, targets, augment=augment, seed=seed))
    if missing == "skip":
        y = {name: _without_missing(values) for name, values in y.items()}
    longest = max_bins if longest is None else longest
    fields = {name: values for name, values in y.items() if values.dim() > 2 or values.shape[1] > longest}
    rest = {name: values for name, values in y.items() if name not in fields}
    sweep, dims = None, dict[str, tuple[int | None, int]]()
    if fields:
        n_grid, k_grid = sorted({*BIN_GRID, bin_threshold}), sorted({*K_GRID, k_threshold})
        sweep = threshold_sweep(
            fields,
            n_thresholds=n_grid,
            k_thresholds=k_grid,
            max_n=max_bins,
            n_per_quantity=True,
            free_frac=free_frac,
        )
        i, j = n_grid.index(bin_threshold), k_grid.index(k_threshold)
        dims |= {name: (sweep.n[name][i], sweep.k[name][i][j]) for name in fields}
    dims |= {name: (None, k) for name, k in (subspace_dims(rest, threshold=k_threshold) if rest else {}).items()}
    dims = {name: dims[name] for name in y}
    least = minimal_latent_dim({name: k for name, (_, k) in dims.items()}, free_frac=free_frac)
    sizes = Sizes(dims, latent_dim or least, least, sweep)
    _check_latent_dim(sizes)
    return sizes


def _without_missing(values: Tensor) -> Tensor:
    """Return the mean for the samples with NaN: the fractions of the variance are those of the other samples."""
    rows = ~values.flatten(1).isnan().any(1)
    mean = values[rows].mean(0) if rows.any() else torch.zeros_like(values[0])
    return torch.where(rows.reshape(-1, *[1] * (values.dim() - 1)), values, mean)


def _check_latent_dim(sizes: Sizes) -> None:
    """Require that D is at least the largest k. An orthogonal partition needs the sum, which is checked later."""
    above = {name: k for name, k in sizes.k.items() if k > sizes.latent_dim}
    if above:
        raise DimensionError(
            f"The latent dimension must be at least the k of every quantity, got D = {sizes.latent_dim} with k = "
            f"{above}. Pass latent='auto', which is {sizes.least_latent_dim}, or lower k with a lower k_threshold."
        )


def _sizing_samples(samples: Samples, targets: Targets, *, augment: bool, seed: int) -> Samples:
    """All samples, or 16 blocks at equal distances."""
    first = samples[0:1]
    entries = max(first.tensors()[0].numel(), *(y.numel() for y in targets.unpooled(first).values()))
    limit = min(SAMPLES, max(128, BYTES // (4 * entries)))
    chosen = samples[0 : len(samples)] if len(samples) <= limit else _spread(samples, limit)
    if augment and can_shift(chosen):
        return shifted(chosen, generator=torch.Generator().manual_seed(seed))
    return chosen


def _spread(samples: Samples, count: int) -> Samples:
    block = max(1, count // BLOCKS)
    firsts = torch.linspace(0, len(samples) - block, BLOCKS).long().tolist()
    return concatenate([samples[first : first + block] for first in firsts])
