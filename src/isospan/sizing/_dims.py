"""The pooled resolution of each quantity, and the dimension of its subspace."""

import logging
import math
from collections.abc import Mapping

from torch import Tensor

from isospan._core.checks import as_number, check_count, check_flag, check_number
from isospan.errors import NameMismatchError
from isospan.quantities import PoolingMode
from isospan.sizing._spectra import Quantities, Spectra, spectra_of

logger = logging.getLogger("isospan")

Threshold = float | Mapping[str, float]
"""An explained variance in (0, 1], the same for all quantities or by name."""

N_THRESHOLD, K_THRESHOLD = 0.95, 0.90
"""Thresholds of the quantities that are not named."""

TOLERANCE = 1e-12
"""Explained variances are compared to within this. It is the size of the rounding in the spectrum of a float64 Gram
matrix of 4096 rows, 4096 eps: a value that equals the threshold but for rounding reaches it."""


def pooled_resolutions(
    y: Quantities, *, threshold: Threshold = N_THRESHOLD, max_n: int = 16, per_quantity: bool = False
) -> dict[str, int]:
    r"""Return the least n for which n × n cells are at least as many as the quantity has modes.

    .. math:: n = \lceil \sqrt{k} \rceil \in [2, n_\text{max}], \qquad
              k = \min \{k : \textstyle\sum_{i \le k} \lambda_i \ge \eta \sum_i \lambda_i\}

    λ are the variances along the principal components of the samples. The count is exact at every size of the data. A
    stream takes the memory of one (P, P) matrix a quantity, for P entries a sample, whatever the number of samples.

    Args:
        y: {name: (N, ...)}, or an iterable of such batches, which is read once.
        threshold: explained variance η in (0, 1], for all or by name; 0.95 for a quantity that is not named.
        max_n: the largest n, at least 2.
        per_quantity: give each quantity its own n instead of the largest.

    Returns:
        {name: n}.

    Raises:
        DegenerateDataError: a quantity is constant, or has fewer than 2 samples, or there is none.
        NonFiniteError: a quantity contains NaN or infinity.
        NameMismatchError: the threshold names a quantity that is not there, or batches differ in names.
        ShapeError: quantities differ in the number of samples, or batches in the shape of one.
        OptionError: η is outside (0, 1], or max_n below 2.

    Example:
        >>> import torch
        >>> waves = torch.randn(100, 9) @ torch.randn(9, 256)
        >>> pooled_resolutions({"waves": waves.reshape(100, 1, 16, 16)}, threshold=1.0)
        {'waves': 3}
    """
    check_count(max_n, what="max_n", least=2)
    check_flag(per_quantity, what="per_quantity")
    check_threshold(threshold, what="threshold")
    modes = _modes(spectra_of(y), threshold, N_THRESHOLD, what="threshold")
    n = own_or_largest({name: resolution(k, max_n) for name, k in modes.items()}, per_quantity)
    logger.info("Pooled resolutions: %s", n)
    return n


def subspace_dims(y: Quantities, *, threshold: Threshold = K_THRESHOLD, per_quantity: bool = True) -> dict[str, int]:
    r"""Return the least number k of principal components that explain a part of the variance, at most the rank.

    .. math:: k = \min \{k : \textstyle\sum_{i \le k} \lambda_i \ge \eta \sum_i \lambda_i\}

    Args:
        y: {name: (N, ...)}, pooled, or an iterable of such batches, which is read once.
        threshold: explained variance η in (0, 1], for all or by name; 0.90 for a quantity that is not named.
        per_quantity: give each quantity its own k instead of the largest.

    Returns:
        {name: k}.

    Raises:
        DegenerateDataError, NonFiniteError, NameMismatchError, ShapeError, OptionError: as in
            :func:`pooled_resolutions`.

    Example:
        >>> import torch
        >>> subspace_dims({"waves": torch.randn(100, 3) @ torch.randn(3, 36)}, threshold=1.0)
        {'waves': 3}
    """
    check_flag(per_quantity, what="per_quantity")
    check_threshold(threshold, what="threshold")
    k = own_or_largest(_modes(spectra_of(y), threshold, K_THRESHOLD, what="threshold"), per_quantity)
    logger.info("Subspace dimensions: %s", k)
    return k


def solve_dims(
    y: Quantities,
    *,
    n_threshold: Threshold = N_THRESHOLD,
    k_threshold: Threshold = K_THRESHOLD,
    max_n: int = 16,
    mode: PoolingMode = "avg",
    n_per_quantity: bool = False,
    k_per_quantity: bool = True,
) -> dict[str, tuple[int, int]]:
    r"""Return n of every quantity (:func:`pooled_resolutions`), and k of the pooled quantity (:func:`subspace_dims`).

    A stream is read once, and its memory does not depend on the number of samples. Averages are pooled from the scatter
    at full resolution, :math:`M S M^\top` with the averaging matrix M. For maxima, the scatter of every n up to max_n
    is kept as well, :math:`\sum_n n^4` numbers a quantity and channel pair (2 MB at max_n = 16).

    Args:
        y: {name: (N, S), (N, C, H, W) or (N, C, D, H, W)}, or an iterable of such batches.
        n_threshold: explained variance from which n follows, for all or by name; 0.95 for a quantity that is not named.
        k_threshold: explained variance of the pooled quantity from which k follows, for all or by name; 0.90 for a
            quantity that is not named.
        max_n: the largest n, at least 2.
        mode: ``"avg"`` or ``"max"``, how cells are pooled.
        n_per_quantity: give each quantity its own n instead of the largest.
        k_per_quantity: give each quantity its own k instead of the largest.

    Returns:
        {name: (n, k)}.

    Raises:
        DegenerateDataError, NonFiniteError, NameMismatchError, ShapeError, OptionError: as in
            :func:`pooled_resolutions` and :func:`~isospan.quantities.pool`, naming the quantity.

    Example:
        >>> import torch
        >>> waves = torch.randn(100, 9) @ torch.randn(9, 256)
        >>> solve_dims({"waves": waves.reshape(100, 1, 16, 16)}, n_threshold=1.0, k_threshold=1.0)
        {'waves': (3, 9)}
    """
    check_count(max_n, what="max_n", least=2)
    check_flag(n_per_quantity, what="n_per_quantity")
    check_flag(k_per_quantity, what="k_per_quantity")
    check_threshold(n_threshold, what="n_threshold")
    check_threshold(k_threshold, what="k_threshold")
    spectra = spectra_of(y, mode=mode, resolutions=range(2, max_n + 1))
    eta = _by_name(spectra, k_threshold, K_THRESHOLD, what="k_threshold")
    modes = _modes(spectra, n_threshold, N_THRESHOLD, what="n_threshold")
    n = own_or_largest({name: resolution(k, max_n) for name, k in modes.items()}, n_per_quantity)
    k = {name: count_modes(s.pooled([n[name]])[n[name]], eta[name]) for name, s in spectra.items()}
    k = own_or_largest(k, k_per_quantity)
    dims = {name: (n[name], k[name]) for name in spectra}
    logger.info("Pooled resolutions and subspace dimensions (n, k): %s", dims)
    return dims


def count_modes(spectrum: Tensor, threshold: float) -> int:
    r"""Return the least k with :math:`\sum_{i \le k} \lambda_i \ge \eta \sum_i \lambda_i`, at most the rank.

    Both sides are compared to within :data:`TOLERANCE`. The rank counts the modes with :math:`\lambda_i` above that
    fraction of the largest, singular values above a millionth of the largest.

    Args:
        spectrum: variances λ of the modes, descending, at least one above 0.
        threshold: η in (0, 1].

    Example:
        >>> import torch
        >>> spectrum = torch.tensor([5.0, 3.0, 2.0, 0.0])
        >>> [count_modes(spectrum, threshold) for threshold in (0.4, 0.5, 0.6, 0.8, 0.81, 1.0)]
        [1, 1, 2, 2, 3, 3]
    """
    explained = spectrum.double().cumsum(0) / spectrum.double().sum()
    rank = int((spectrum > TOLERANCE * spectrum[0]).sum())
    return min(int((explained < threshold - TOLERANCE).sum()) + 1, rank)


def resolution(modes: int, max_n: int) -> int:
    """Return ceil(sqrt(modes)) clamped to [2, max_n].

    Example:
        >>> [resolution(modes, 16) for modes in (1, 9, 10, 1000)]
        [2, 3, 4, 16]
    """
    return max(2, min(math.isqrt(modes - 1) + 1, max_n))


def check_threshold(threshold: Threshold, *, what: str) -> None:
    """Require every explained variance to be in (0, 1]."""
    if isinstance(threshold, Mapping):
        given = {f"{what} of quantity {name!r}": value for name, value in threshold.items()}
    else:
        given = {what: threshold}
    for label, value in given.items():
        check_number(value, what=label, above=0, most=1, must="a fraction of the variance in (0, 1]")


def _by_name(spectra: Mapping[str, Spectra], threshold: Threshold, default: float, *, what: str) -> dict[str, float]:
    """Return the threshold of each quantity; one number holds for all, and the default for those not named."""
    if not isinstance(threshold, Mapping):
        return dict.fromkeys(spectra, as_number(threshold))
    unknown = sorted(set(threshold) - set(spectra), key=str)
    if unknown:
        raise NameMismatchError(f"{what} must name quantities of the data, {sorted(spectra)}, got {unknown} too.")
    return {name: as_number(threshold.get(name, default)) for name in spectra}


def _modes(spectra: Mapping[str, Spectra], threshold: Threshold, default: float, *, what: str) -> dict[str, int]:
    """Return the number of modes of each quantity at full resolution that reach its threshold."""
    eta = _by_name(spectra, threshold, default, what=what)
    return {name: count_modes(s.full(), eta[name]) for name, s in spectra.items()}


def own_or_largest(sizes: dict[str, int], per_quantity: bool) -> dict[str, int]:
    """Return the sizes, or the largest of them for every quantity."""
    return sizes if per_quantity else dict.fromkeys(sizes, max(sizes.values()))
