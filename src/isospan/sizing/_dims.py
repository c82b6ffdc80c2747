"""How finely to pool each quantity, and how many directions its subspace needs."""

import logging
import math

from isospan._core.checks import check_count, check_flag
from isospan.quantities import PoolingMode
from isospan.sizing._modes import Threshold, check_thresholds, count_modes, resolve_thresholds
from isospan.sizing._spectra import Quantities, spectra_of

logger = logging.getLogger("isospan")

BIN_FALLBACK = 0.95
K_FALLBACK = 0.90


def optimal_bins(
    targets: Quantities,
    max_bins: int = 16,
    variance_threshold: Threshold = BIN_FALLBACK,
    *,
    default_threshold: float | None = None,
    per_quantity: bool = False,
) -> int | dict[str, int]:
    r"""Least grid of n × n bins that has as many entries as the quantity has modes.

    .. math:: n = \lceil \sqrt{k} \rceil \in [2, n_\text{max}], \qquad
              k = \min \{k : \textstyle\sum_{i \le k} \lambda_i \ge \eta \sum_i \lambda_i\}

    λ are the variances along the principal components of the samples. The count is exact at every size of the data. A
    stream takes the memory of one (P, P) matrix a quantity, for P entries a sample, whatever the number of samples.

    Args:
        targets: {name: (N, ...)}, or an iterable of such batches, which is read once.
        max_bins: the largest n allowed, at least 2.
        variance_threshold: fraction η in (0, 1], for all or by name.
        default_threshold: η of the quantities that variance_threshold does not name; 0.95 where not given.
        per_quantity: return n for each quantity instead of the largest.

    Returns:
        n, or {name: n}.

    Raises:
        DegenerateDataError: a quantity is constant, or has fewer than 2 samples, or there is none.
        NonFiniteError: a quantity contains NaN or infinity.
        NameMismatchError: variance_threshold names a quantity that is not there, or batches differ in names.
        ShapeError: quantities differ in the number of samples, or batches in the shape of one.
        OptionError: η is outside (0, 1], or max_bins below 2.

    Example:
        >>> import torch
        >>> waves = torch.randn(100, 9) @ torch.randn(9, 256)
        >>> optimal_bins({"waves": waves.reshape(100, 1, 16, 16)}, variance_threshold=1.0)
        3
    """
    check_max_bins(max_bins)
    check_flag(per_quantity, what="per_quantity")
    check_thresholds(variance_threshold, default_threshold, what="variance_threshold")
    spectra = spectra_of(targets)
    fractions = resolve_thresholds(
        spectra, variance_threshold, default_threshold, BIN_FALLBACK, what="variance_threshold"
    )
    bins = {name: bins_for(count_modes(s.full(), fractions[name]), max_bins) for name, s in spectra.items()}
    logger.info("Bins along each axis: %s", bins)
    return bins if per_quantity else max(bins.values())


def k_per_q(
    pooled: Quantities,
    threshold: Threshold = K_FALLBACK,
    *,
    default_threshold: float | None = None,
    per_quantity: bool = True,
) -> int | dict[str, int]:
    r"""Least number k of principal components that hold a fraction of the variance, never more than the rank.

    .. math:: k = \min \{k : \textstyle\sum_{i \le k} \lambda_i \ge \eta \sum_i \lambda_i\}

    Args:
        pooled: {name: (N, ...)}, or an iterable of such batches, which is read once.
        threshold: fraction η in (0, 1], for all or by name.
        default_threshold: η of the quantities that threshold does not name; 0.90 where not given.
        per_quantity: return k for each quantity instead of the largest.

    Returns:
        {name: k}, or k.

    Raises:
        Those of :func:`optimal_bins`, for the same reasons.

    Example:
        >>> import torch
        >>> waves = torch.randn(100, 3) @ torch.randn(3, 36)
        >>> k_per_q({"waves": waves}, threshold=1.0)
        {'waves': 3}
    """
    check_flag(per_quantity, what="per_quantity")
    check_thresholds(threshold, default_threshold, what="threshold")
    spectra = spectra_of(pooled)
    fractions = resolve_thresholds(spectra, threshold, default_threshold, K_FALLBACK, what="threshold")
    k = {name: count_modes(s.full(), fractions[name]) for name, s in spectra.items()}
    logger.info("Directions: %s", k)
    return k if per_quantity else max(k.values())


def solve_dims(
    Y: Quantities,
    max_bins: int,
    bin_thresholds: Threshold,
    k_thresholds: Threshold,
    *,
    bin_default_threshold: float | None = None,
    k_default_threshold: float | None = None,
    pooling_mode: PoolingMode = "avg",
    pool_per_quantity: bool = False,
    k_per_quantity: bool = False,
) -> dict[str, tuple[int, int]]:
    r"""Bins n of every quantity (:func:`optimal_bins`), and the k of the quantity pooled to them (:func:`k_per_q`).

    A stream is read once, and its memory does not depend on the number of samples. Averages are pooled from the scatter
    at full resolution, :math:`M S M^\top` with the averaging matrix M; for maxima the scatter of every n up to max_bins
    is kept as well, :math:`\sum_n n^4` numbers a quantity and channel pair (2 MB at max_bins = 16).

    Args:
        Y: {name: (N, S), (N, C, H, W) or (N, C, D, H, W)}, or an iterable of such batches.
        max_bins: the largest n allowed, at least 2.
        bin_thresholds: fraction of the variance that decides n, for all or by name.
        k_thresholds: fraction of the variance of the pooled quantity that decides k, for all or by name.
        bin_default_threshold: for quantities that bin_thresholds does not name; 0.95 where not given.
        k_default_threshold: for quantities that k_thresholds does not name; 0.90 where not given.
        pooling_mode: ``"avg"`` or ``"max"``.
        pool_per_quantity: give each quantity its own n instead of the largest.
        k_per_quantity: give each quantity its own k instead of the largest.

    Returns:
        {name: (n, k)}.

    Raises:
        Those of :func:`optimal_bins` and of :func:`~isospan.quantities.pool`, naming the quantity.

    Example:
        >>> import torch
        >>> waves = torch.randn(100, 9) @ torch.randn(9, 256)
        >>> solve_dims({"waves": waves.reshape(100, 1, 16, 16)}, 16, 1.0, 1.0)
        {'waves': (3, 9)}
    """
    check_max_bins(max_bins)
    check_flag(pool_per_quantity, what="pool_per_quantity")
    check_flag(k_per_quantity, what="k_per_quantity")
    check_thresholds(bin_thresholds, bin_default_threshold, what="bin_thresholds")
    check_thresholds(k_thresholds, k_default_threshold, what="k_thresholds")
    spectra = spectra_of(Y, mode=pooling_mode, pool_bins=range(2, max_bins + 1))
    bin_eta = resolve_thresholds(spectra, bin_thresholds, bin_default_threshold, BIN_FALLBACK, what="bin_thresholds")
    k_eta = resolve_thresholds(spectra, k_thresholds, k_default_threshold, K_FALLBACK, what="k_thresholds")

    n = {name: bins_for(count_modes(s.full(), bin_eta[name]), max_bins) for name, s in spectra.items()}
    n = n if pool_per_quantity else shared_maximum(n)
    k = {name: count_modes(s.pooled([n[name]])[n[name]], k_eta[name]) for name, s in spectra.items()}
    k = k if k_per_quantity else shared_maximum(k)
    dims = {name: (n[name], k[name]) for name in spectra}
    logger.info("Bins and directions (n, k): %s", dims)
    return dims


def bins_for(modes: int, max_bins: int) -> int:
    """Return ceil(sqrt(modes)) clamped to [2, max_bins].

    Example:
        >>> [bins_for(modes, 16) for modes in (1, 9, 10, 1000)]
        [2, 3, 4, 16]
    """
    return max(2, min(math.isqrt(modes - 1) + 1, max_bins))


def shared_maximum(sizes: dict[str, int]) -> dict[str, int]:
    """Give every quantity the largest of the sizes."""
    return dict.fromkeys(sizes, max(sizes.values()))


def check_max_bins(max_bins: int) -> None:
    """Require a whole number of at least 2."""
    check_count(max_bins, what="max_bins", least=2)
