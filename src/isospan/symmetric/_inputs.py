"""What every function of this room checks first, and the precision it computes in."""

import torch
from torch import Tensor

from isospan._checks import check_finite, check_floating, working_dtype
from isospan.errors import DegenerateDataError, DeviceMismatchError, GroupMismatchError, ShapeError
from isospan.representations import Representation


def samples(x: Tensor, rep: Representation, *, what: str = "x") -> Tensor:
    """Samples of one signal as rows (N, D), from (N, D) or (N, D, T), float32 or float64."""
    check_floating(x, what=what)
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
    """Samples of two signals of one group, one precision and one device, as rows."""
    check_same_group(rep_x, rep_y)
    rows_x, rows_y = samples(x, rep_x), samples(y, rep_y, what="y")
    if len(rows_x) != len(rows_y):
        raise ShapeError(f"x and y must have as many samples, got {tuple(x.shape)} and {tuple(y.shape)}.")
    if x.device != y.device:
        raise DeviceMismatchError(f"x is on {x.device} and y on {y.device}. Move one of them with .to(device).")
    dtype = torch.promote_types(rows_x.dtype, rows_y.dtype)
    return rows_x.to(dtype), rows_y.to(dtype)


def check_same_group(rep_x: Representation, rep_y: Representation) -> None:
    """Require representations of one group."""
    if rep_x.group != rep_y.group:
        raise GroupMismatchError(
            f"Both representations must be of one group, got {rep_x.group.name} for {rep_x.name!r} and "
            f"{rep_y.group.name} for {rep_y.name!r}. Restrict them to a common subgroup."
        )
