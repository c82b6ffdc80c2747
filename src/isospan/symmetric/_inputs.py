"""Checks of data and representations, and the precision of a computation."""

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from isospan._core.checks import as_floating, check_finite, working_dtype
from isospan.errors import DegenerateDataError, DeviceMismatchError, ShapeError
from isospan.representations import Representation, check_representation, check_same_group


def samples(x: Tensor, rep: Representation, *, what: str = "x") -> Tensor:
    """Return samples (N, D) or (N, D, T) as rows (N, D) or (N·T, D), in float32 or float64."""
    check_representation(rep, what=f"The representation of {what}")
    x = as_floating(x, what=what)
    if x.dim() not in (2, 3) or x.shape[1] != rep.size:
        raise ShapeError(
            f"{what} must have shape (N, D) or (N, D, T) with D = {rep.size}, the size of {rep.name!r}, got "
            f"{tuple(x.shape)}."
        )
    rows = x if x.dim() == 2 else x.movedim(1, 2).flatten(0, 1)
    if len(rows) == 0:
        raise DegenerateDataError(f"{what} has no samples, shape {tuple(x.shape)}. Pass at least one.")
    check_finite(rows, what=what)
    return rows.to(working_dtype(x))


def paired_samples(x: Tensor, y: Tensor, rep_x: Representation, rep_y: Representation) -> tuple[Tensor, Tensor]:
    """Return samples of x and y as rows, of one group, in one precision and on one device."""
    x, y = as_floating(x, what="x"), as_floating(y, what="y")
    rows_x, rows_y = samples(x, rep_x), samples(y, rep_y, what="y")
    check_same_group(rep_x, rep_y)
    if (x.shape[0], *x.shape[2:]) != (y.shape[0], *y.shape[2:]):
        raise ShapeError(
            f"x and y must have as many samples, (N, D_x) and (N, D_y) or (N, D_x, T) and (N, D_y, T), got "
            f"{tuple(x.shape)} and {tuple(y.shape)}. Pair every sample and step of x with one of y."
        )
    if x.device != y.device:
        raise DeviceMismatchError(f"x is on {x.device} and y on {y.device}. Move one of them with .to(device).")
    dtype = torch.promote_types(rows_x.dtype, rows_y.dtype)
    return rows_x.to(dtype), rows_y.to(dtype)


def hidden(x: Tensor) -> bool:
    """Whether the values of a tensor cannot decide a branch: it is on the meta device, or batched by torch.func."""
    if torch.compiler.is_compiling():
        return x.is_meta
    return x.is_meta or is_functorch_wrapped_tensor(x)
