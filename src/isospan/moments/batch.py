"""Taking one batch, held in memory, into running moments."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan.linalg import add_gram_, mirror_


def add_batch_(
    state: Mapping[str, Tensor],
    z: Tensor,
    y: Mapping[str, Tensor],
    *,
    target_covariance: bool,
    precision: torch.dtype = torch.float64,
) -> None:
    r"""Add latents z (B, D) and flattened quantities {name: (B, P)} to the buffers of :class:`Moments`, in place.

    Chan's formula: the scatter of a union is that of its parts plus that of their means. Sums are float64. The products
    of latents and quantities are taken in ``precision``, of centred data: since the latents are centred in float64, a
    rest r of the mean in the quantities does no harm, :math:`Z_c^\top (Y_c + 1 r^\top) = Z_c^\top Y_c`. One quantity is
    converted at a time, in the same room.
    """
    before = float(state["count"])
    share = len(z) / (before + len(z))
    between = before * share
    z_mean = z.mean(0, dtype=torch.float64)
    zc, dz = z - z_mean, z_mean - state["z_mean"]
    factor, changes = zc.to(precision), []
    room = z.new_empty(max(q.numel() for q in y.values()), dtype=precision)
    for q, columns in zip(y.values(), _columns(y), strict=True):
        yc, shift, rest = _centred(q, out=room[: q.numel()].view_as(q))
        dy = shift + rest - state["target_mean"][columns]
        cross = state["scatter_zy"][:, columns]
        cross.addmm_(factor.mT, yc) if precision == torch.float64 else cross.add_(factor.mT @ yc)
        if between:
            cross.addr_(dz, dy, alpha=between)
        if not target_covariance:
            squares = yc.square_().sum(0).double()
            state["scatter_yy"][columns] += squares - len(q) * rest**2 + between * dy**2
        changes.append(dy)
    dy = torch.cat(changes)
    if target_covariance:
        yc = torch.cat([q.double() for q in y.values()], 1) - (state["target_mean"] + dy)
        _add_scatter_(state["scatter_yy"], yc, dy, between)
    _add_scatter_(state["scatter_zz"], zc, dz, between)
    state["z_mean"].add_(dz, alpha=share)
    state["target_mean"].add_(dy, alpha=share)
    state["count"].add_(len(z))


def _centred(y: Tensor, *, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Y minus its mean to rounding, and the mean as that shift plus a rest: so an offset costs no digits."""
    shift = y.mean(0)
    yc = torch.sub(y, shift.to(torch.promote_types(y.dtype, out.dtype)), out=out)
    return yc, shift.double(), yc.mean(0).double()


def _add_scatter_(scatter: Tensor, centred: Tensor, difference: Tensor, between: float) -> None:
    add_gram_(scatter, centred)
    if between:
        scatter.addr_(difference, difference, alpha=between)
    mirror_(scatter)


def _columns(y: Mapping[str, Tensor]) -> list[slice]:
    start, columns = 0, []
    for q in y.values():
        columns.append(slice(start, start + q.shape[1]))
        start += q.shape[1]
    return columns
