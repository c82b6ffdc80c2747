"""Functions and pooling under one call, and pooling of one layout."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from isospan import quantities
from isospan._core.checks import as_floating
from isospan.errors import ShapeError
from isospan.quantities import PoolingMode


def input_to_quantity(
    n_bins: int | Mapping[str, int], mode: PoolingMode, *functions: Callable[..., Any], **named: Callable[..., Any]
) -> Callable[..., dict[str, Tensor]]:
    """Return ``combine(*functions, **named).pooled(n_bins, mode=mode)``: see :func:`isospan.quantities.combine`."""
    return quantities.combine(*functions, **named).pooled(n_bins, mode=mode)


def pool(chunks: Tensor, n_bins: int, mode: PoolingMode = "avg") -> Tensor:
    """Return :func:`isospan.quantities.pool`."""
    return quantities.pool(chunks, n_bins, mode=mode)


def spatial_pool_targets(x: Tensor, n_bins: int, mode: PoolingMode = "avg") -> Tensor:
    """Pool fields (B, C, H, W) to (B, C, n, n); the 4-D case of :func:`isospan.quantities.pool`, with its errors.

    Example:
        >>> import torch
        >>> spatial_pool_targets(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten()
        tensor([ 2.5000,  4.5000, 10.5000, 12.5000])
    """
    return pool(_of_dim(x, 4, "(B, C, H, W)"), n_bins, mode)


def pool_targets(x: Tensor, n_bins: int, mode: PoolingMode = "avg") -> Tensor:
    """Pool series (B, S) to (B, n); the 2-D case of :func:`isospan.quantities.pool`, with its errors.

    Example:
        >>> import torch
        >>> pool_targets(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2, "max")
        tensor([[3., 7.]])
    """
    return pool(_of_dim(x, 2, "(B, S)"), n_bins, mode)


def _of_dim(x: Tensor, dim: int, layout: str) -> Tensor:
    x = as_floating(x, what="A field to pool")
    if x.dim() != dim:
        raise ShapeError(f"Invalid number of dimensions: {x.dim()} (shape {tuple(x.shape)}). Expected {dim}, {layout}.")
    return x
