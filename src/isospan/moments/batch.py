"""Taking one batch, held in memory, into running moments."""

from collections.abc import Mapping
from math import frexp

import torch
from torch import Tensor

from isospan.linalg import add_gram_, mirror_

SINGLE = torch.finfo(torch.float32)


def add_batch_(
    state: Mapping[str, Tensor],
    z: Tensor,
    y: Mapping[str, Tensor],
    *,
    target_covariance: bool,
    precision: torch.dtype = torch.float64,
) -> None:
    r"""Add latents z (B, D) and flattened quantities {name: (B, P)} to the buffers of :class:`Moments`, in place.

    Sums are float64. The products of latents and quantities are taken in ``precision``, of centred data, each in a unit
    in which float32 neither overflows nor underflows: since the latents are centred in float64, a rest r of the mean in
    the quantities does no harm, :math:`Z_c^\top (Y_c + 1 r^\top) = Z_c^\top Y_c`. One quantity is converted at a time,
    in the same room.
    """
    z_mean, unit_z = z.mean(0, dtype=torch.float64), _unit(z, precision)
    zc = z - z_mean
    factor, means, squares = _in_units(zc, unit_z).to(precision), [], []
    room = z.new_empty(max(q.numel() for q in y.values()), dtype=precision)
    columns = state["scatter_zy"].split([q.shape[1] for q in y.values()], dim=1)
    for q, cross in zip(y.values(), columns, strict=True):
        unit = _unit(q, precision)
        yc, shift, rest = _centred(_in_units(q, unit), out=room[: q.numel()].view_as(q))
        if precision == torch.float64:
            cross.addmm_(factor.mT, yc, alpha=unit_z * unit)
        else:
            cross.add_(factor.mT @ yc, alpha=unit_z * unit)
        if not target_covariance:
            squares.append((yc.square_().sum(0).double() - len(q) * rest**2) * unit**2)
        means.append((shift + rest) * unit)
    y_mean = torch.cat(means)
    if target_covariance:
        add_gram_(state["scatter_yy"], torch.cat([q.double() for q in y.values()], 1) - y_mean)
    else:
        state["scatter_yy"].add_(torch.cat(squares))
    add_gram_(state["scatter_zz"], zc)
    add_means_(state, z_mean, y_mean, float(len(z)))


def add_means_(state: Mapping[str, Tensor], z_mean: Tensor, y_mean: Tensor, count: float) -> None:
    """Finish a sum of scatters by Chan's formula: that of a union is that of its parts plus that of their means.

    The scatter of the part, of which these are the means and the count, is in ``state`` already; of square matrices
    the upper triangle is enough.
    """
    before = float(state["count"])
    share = count / (before + count)
    dz, dy, between = z_mean - state["z_mean"], y_mean - state["target_mean"], before * share
    zz, yy = state["scatter_zz"], state["scatter_yy"]
    if between:
        zz.addr_(dz, dz, alpha=between)
        state["scatter_zy"].addr_(dz, dy, alpha=between)
        yy.addr_(dy, dy, alpha=between) if yy.dim() == 2 else yy.addcmul_(dy, dy, value=between)
    for square in (zz, yy) if yy.dim() == 2 else (zz,):
        mirror_(square)
    state["z_mean"].add_(dz, alpha=share)
    state["target_mean"].add_(dy, alpha=share)
    state["count"].add_(count)


def _centred(y: Tensor, *, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Y minus its mean to rounding, and the mean as that shift plus a rest: so an offset costs no digits."""
    shift = y.mean(0)
    yc = torch.sub(y, shift.to(torch.promote_types(y.dtype, out.dtype)), out=out)
    return yc, shift.double(), yc.mean(0).double()


def _unit(x: Tensor, precision: torch.dtype) -> float:
    """A power of two near the largest entry of X, where squares of what varies may leave the range of float32; else 1.

    Dividing by it is exact. What varies is at least eps of the largest entry; sums of 2⁴⁰ squares of it shall fit.
    """
    if x.dtype == precision == torch.float64:
        return 1.0
    largest = max(abs(float(bound)) for bound in x.aminmax())
    fits = SINGLE.tiny**0.5 / torch.finfo(x.dtype).eps < largest < (SINGLE.max / 2**40) ** 0.5
    return 1.0 if fits or largest == 0 else 2.0 ** frexp(largest)[1]


def _in_units(x: Tensor, unit: float) -> Tensor:
    return x if unit == 1 else x.double() / unit
