"""Pooling of quantities to a fixed resolution along each spatial axis."""

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional

from isospan._core.checks import as_floating, check_choice, check_count
from isospan.errors import ShapeError

PoolingMode = Literal["avg", "max"]

_SPATIAL_AXES = {2: 1, 4: 2, 5: 3}
"""Number of spatial axes by that of all axes."""


def pool(x: Tensor, n: int, *, mode: PoolingMode = "avg") -> Tensor:
    r"""Pool every spatial axis to n cells, by the mean or the maximum of each cell.

    Cell i of n on an axis of length L has the points :math:`\lfloor iL/n \rfloor` to
    :math:`\lceil (i+1)L/n \rceil - 1`. If n divides L, the cells have equal length. Otherwise they may overlap by one
    point, and if n > L, points are repeated.

    Args:
        x: series (B, S), fields (B, C, H, W) or volumes (B, C, D, H, W).
        n: pooled resolution n along each spatial axis, at least 1.
        mode: ``"avg"`` or ``"max"``.

    Returns:
        (B, n), (B, C, n, n) or (B, C, n, n, n), in the dtype and units of x.

    Raises:
        ShapeError: x has another number of dimensions, or an empty spatial axis.
        OptionError: another mode, or n is not a whole number of at least 1.
        DtypeError: x is not floating point.

    Example:
        >>> import torch
        >>> pool(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2)
        tensor([[2., 6.]])
        >>> pool(torch.zeros(8, 3, 64, 64), 6, mode="max").shape
        torch.Size([8, 3, 6, 6])
    """
    x = as_floating(x, what="A field to pool")
    if x.dim() not in _SPATIAL_AXES:
        raise ShapeError(
            f"Invalid number of dimensions: {x.dim()} (shape {tuple(x.shape)}). Expected (B, S), (B, C, H, W) or "
            "(B, C, D, H, W); add or flatten axes before pooling."
        )
    axes = _SPATIAL_AXES[x.dim()]
    check_choice(mode, get_args(PoolingMode), what="mode")
    n = check_count(n, what="n")
    if 0 in x.shape[-axes:]:
        raise ShapeError(f"Every spatial axis needs at least one point, got shape {tuple(x.shape)}.")
    adaptive_pool = getattr(functional, f"adaptive_{mode}_pool{axes}d")
    pooled = adaptive_pool(x.reshape(-1, 1, *x.shape[-axes:]), (n,) * axes)
    return pooled.reshape(*x.shape[:-axes], *(n,) * axes)
