"""Sizes under the names, defaults and results of spacelearn."""

from collections.abc import Mapping

from torch import Tensor

from isospan import sizing
from isospan._core.checks import check_flag, check_not_empty
from isospan.quantities import PoolingMode

Quantities = Mapping[str, Tensor]
Threshold = float | Mapping[str, float]


def optimal_bins(
    pooled_targets_coarse: Quantities,
    max_bins: int = 16,
    variance_threshold: Threshold = 0.95,
    *,
    default_threshold: float | None = None,
    per_quantity: bool = False,
) -> int | dict[str, int]:
    """Return :func:`isospan.sizing.pooled_resolutions`, or the largest of them.

    Example:
        >>> import torch
        >>> optimal_bins({"waves": torch.randn(100, 9) @ torch.randn(9, 256)}, variance_threshold=1.0)
        3
    """
    threshold = _complete(pooled_targets_coarse, variance_threshold, default_threshold)
    n = sizing.pooled_resolutions(pooled_targets_coarse, threshold=threshold, max_n=max_bins, per_quantity=True)
    return n if check_flag(per_quantity, what="per_quantity") else max(n.values())


def k_per_q(
    pooled_global: Quantities,
    threshold: Threshold = 0.90,
    *,
    default_threshold: float | None = None,
    per_quantity: bool = True,
) -> int | dict[str, int]:
    """Return :func:`isospan.sizing.subspace_dims`, or the largest of them.

    Example:
        >>> import torch
        >>> k_per_q({"waves": torch.randn(100, 3) @ torch.randn(3, 36)}, threshold=1.0)
        {'waves': 3}
    """
    k = sizing.subspace_dims(pooled_global, threshold=_complete(pooled_global, threshold, default_threshold))
    return k if check_flag(per_quantity, what="per_quantity") else max(k.values())


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
    """Return :func:`isospan.sizing.solve_dims`.

    Example:
        >>> import torch
        >>> waves = torch.randn(100, 9) @ torch.randn(9, 256)
        >>> solve_dims({"waves": waves.reshape(100, 1, 16, 16)}, 16, 1.0, 1.0)
        {'waves': (3, 9)}
    """
    return sizing.solve_dims(
        Y,
        n_threshold=_complete(Y, bin_thresholds, bin_default_threshold),
        k_threshold=_complete(Y, k_thresholds, k_default_threshold),
        max_n=max_bins,
        mode=pooling_mode,
        n_per_quantity=pool_per_quantity,
        k_per_quantity=k_per_quantity,
    )


def _complete(Y: Quantities, threshold: Threshold, default: float | None) -> Threshold:
    """Return thresholds with the default for the quantities that are not named."""
    if default is None or not isinstance(threshold, Mapping):
        return threshold
    check_not_empty(Y, what="Quantities")
    return dict.fromkeys(Y, default) | dict(threshold)
