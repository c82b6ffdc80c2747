"""How many modes reach a fraction of the variance, and which fraction each quantity has to reach."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from isospan._core.checks import as_number, check_number
from isospan.errors import NameMismatchError

Threshold = float | Mapping[str, float]
"""A fraction of the variance in (0, 1], the same for all quantities or by name."""

SHARE_TOLERANCE = 1e-12
"""Shares of the variance are compared to within this. It is the size of the rounding in the spectrum of a float64 Gram
matrix of 4096 rows, 4096 eps: a share that equals the threshold but for rounding reaches it."""


def count_modes(spectrum: Tensor, threshold: float) -> int:
    r"""Least k with :math:`\sum_{i \le k} \lambda_i \ge \eta \sum_i \lambda_i`, never more than the rank.

    Shares are compared to within :data:`SHARE_TOLERANCE`. The rank counts the modes with :math:`\lambda_i` above that
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
    share = spectrum.double().cumsum(0) / spectrum.double().sum()
    rank = int((spectrum > SHARE_TOLERANCE * spectrum[0]).sum())
    return min(int((share < threshold - SHARE_TOLERANCE).sum()) + 1, rank)


def check_thresholds(threshold: Threshold, default: float | None, *, what: str) -> None:
    """Require every fraction to be in (0, 1]."""
    by_name = threshold if isinstance(threshold, Mapping) else {}
    given = {f"{what} of quantity {name!r}": value for name, value in by_name.items()}
    if not isinstance(threshold, Mapping):
        given[what] = threshold
    if default is not None:
        given[f"The default of {what}"] = default
    for label, value in given.items():
        check_number(value, what=label, above=0, most=1, must="a fraction of the variance in (0, 1]")


def resolve_thresholds(
    names: Iterable[str], threshold: Threshold, default: float | None, fallback: float, *, what: str
) -> dict[str, float]:
    """The fraction of each quantity: its own, else the default, else the fallback; one number holds for all.

    Raises:
        NameMismatchError: a fraction is given for a quantity that there is not.

    Example:
        >>> resolve_thresholds(["a", "b"], {"a": 0.99}, None, 0.9, what="threshold")
        {'a': 0.99, 'b': 0.9}
    """
    names = list(names)
    if not isinstance(threshold, Mapping):
        return dict.fromkeys(names, as_number(threshold))
    unknown = sorted(set(threshold) - set(names), key=str)
    if unknown:
        raise NameMismatchError(f"{what} must name quantities of the data, {sorted(names)}, got {unknown} too.")
    otherwise = fallback if default is None else default
    return {name: as_number(threshold.get(name, otherwise)) for name in names}
