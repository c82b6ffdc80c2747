"""Sizes for a grid of thresholds, so that thresholds are chosen by looking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isospan._core.checks import as_number, check_count, check_flag
from isospan.errors import OptionError
from isospan.quantities import PoolingMode
from isospan.sizing._dims import check_threshold, count_modes, own_or_largest, resolution
from isospan.sizing._latent_dim import minimal_latent_dim
from isospan.sizing._spectra import Quantities, spectra_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ThresholdSweep:
    """Sizes (n, k, D) at every pair of thresholds; index i is a threshold of n, index j one of k.

    Attributes:
        n_thresholds: explained variances from which n follows.
        k_thresholds: explained variances of the pooled quantity from which k follows.
        n: pooled resolution, ``n[name][i]``.
        k: subspace dimension, ``k[name][i][j]``.
        D: least latent dimension for all quantities together, ``D[i][j]``.
    """

    n_thresholds: tuple[float, ...]
    k_thresholds: tuple[float, ...]
    n: Mapping[str, tuple[int, ...]]
    k: Mapping[str, tuple[tuple[int, ...], ...]]
    D: tuple[tuple[int, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the quantities."""
        return tuple(self.n)

    def table(self) -> list[dict[str, float | int | str]]:
        """Return one row for each pair of thresholds and quantity, as dicts that pandas or csv take."""
        return [
            {
                "n_threshold": n_threshold,
                "k_threshold": k_threshold,
                "quantity": name,
                "n": self.n[name][i],
                "k": self.k[name][i][j],
                "D": self.D[i][j],
            }
            for i, n_threshold in enumerate(self.n_thresholds)
            for j, k_threshold in enumerate(self.k_thresholds)
            for name in self.names
        ]

    def plot(self) -> Figure:
        """Draw D over both thresholds, and k of each quantity beside it, as heat maps (matplotlib loads here)."""
        from isospan.plotting import plot_threshold_sweep

        return plot_threshold_sweep(self)


def threshold_sweep(
    y: Quantities,
    *,
    n_thresholds: Sequence[float],
    k_thresholds: Sequence[float],
    max_n: int = 16,
    mode: PoolingMode = "avg",
    n_per_quantity: bool = False,
    free_frac: float = 0.30,
    num_heads: int | None = None,
) -> ThresholdSweep:
    """Return (n, k, D) for every pair of thresholds, from one spectrum of each quantity and one for each n that occurs.

    At each pair n and k are those of :func:`solve_dims`, and D is the :func:`minimal_latent_dim` of all k together.

    Args:
        y: {name: (N, S), (N, C, H, W) or (N, C, D, H, W)}, or an iterable of such batches, which is read once.
        n_thresholds: explained variances from which n follows.
        k_thresholds: explained variances of the pooled quantity from which k follows.
        max_n: the largest n, at least 2.
        mode: ``"avg"`` or ``"max"``, how cells are pooled.
        n_per_quantity: give each quantity its own n instead of the largest.
        free_frac: fraction of the latent space outside all subspaces, in [0, 1).
        num_heads: a number that has to divide D.

    Raises:
        Those of :func:`solve_dims` and :func:`minimal_latent_dim`, and :class:`~isospan.errors.OptionError` where there
        is no threshold.

    Example:
        >>> import torch
        >>> waves = torch.randn(200, 9) @ torch.randn(9, 256)
        >>> y = {"waves": waves.reshape(200, 1, 16, 16)}
        >>> sweep = threshold_sweep(y, n_thresholds=[0.5, 1.0], k_thresholds=[0.9, 1.0])
        >>> sweep.table()[-1]
        {'n_threshold': 1.0, 'k_threshold': 1.0, 'quantity': 'waves', 'n': 3, 'k': 9, 'D': 13}
    """
    check_count(max_n, what="max_n", least=2)
    check_flag(n_per_quantity, what="n_per_quantity")
    n_etas = _fractions(n_thresholds, "n_thresholds")
    k_etas = _fractions(k_thresholds, "k_thresholds")
    minimal_latent_dim(1, Q=1, free_frac=free_frac, num_heads=num_heads)  # checks before the data are read
    spectra = spectra_of(y, mode=mode, resolutions=range(2, max_n + 1))

    full = {name: s.full() for name, s in spectra.items()}
    rows = [
        own_or_largest({name: resolution(count_modes(s, eta), max_n) for name, s in full.items()}, n_per_quantity)
        for eta in n_etas
    ]
    pooled = {name: s.pooled({row[name] for row in rows}) for name, s in spectra.items()}
    k = {
        name: tuple(tuple(count_modes(pooled[name][row[name]], eta) for eta in k_etas) for row in rows)
        for name in spectra
    }
    D = tuple(
        tuple(
            minimal_latent_dim({name: k[name][i][j] for name in k}, free_frac=free_frac, num_heads=num_heads)
            for j in range(len(k_etas))
        )
        for i in range(len(n_etas))
    )
    n = {name: tuple(row[name] for row in rows) for name in spectra}
    return ThresholdSweep(n_thresholds=n_etas, k_thresholds=k_etas, n=n, k=k, D=D)


def _fractions(thresholds: Sequence[float], what: str) -> tuple[float, ...]:
    if not isinstance(thresholds, Iterable) or isinstance(thresholds, str) or getattr(thresholds, "ndim", 1) == 0:
        raise OptionError(f"{what} must be a list of fractions of the variance, got {thresholds!r:.80}.")
    fractions = tuple(thresholds)
    if not fractions:
        raise OptionError(f"{what} must hold at least one fraction of the variance, got none.")
    for eta in fractions:
        check_threshold(eta, what=f"Each of {what}")
    return tuple(as_number(eta) for eta in fractions)
