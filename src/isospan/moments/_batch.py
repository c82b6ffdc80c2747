"""Adding a batch, or the moments of other processes, to the buffers of moments."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import frexp

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.processes import Ranks
from isospan.linalg import add_gram_, mirror_

SINGLE = torch.finfo(torch.float32)
CACHED = 2**16
"""Entries that are centred at a time, of the latents or of small quantities; as float64 they take 512 KiB.

A batch of at most as many entries is added by few operations."""


def add_batch_(
    state: Mapping[str, Tensor], z: Tensor, y: Mapping[str, Tensor], *, precision: torch.dtype = torch.float64
) -> None:
    r"""Add latents z (B, D) and flattened quantities {name: (B, P)} to the buffers of :class:`Moments`, in place.

    Sums are float64. The products of latents and quantities are computed in ``precision`` from centred data, in units
    in which float32 neither overflows nor underflows. The latents are centred in float64, so a remainder r of the mean
    of the quantities cancels: :math:`Z_c^\top (Y_c + 1 r^\top) = Z_c^\top Y_c`.
    """
    if precision == torch.float64 and z.numel() + sum(q.numel() for q in y.values()) <= CACHED:
        return add_rows_(state, torch.cat([z, *y.values()], 1).double())
    rows = _rows(z)
    parts, unit = z.split(rows), _unit(z, precision)
    z_mean = torch.stack([part.sum(0, dtype=torch.float64) for part in parts]).sum(0) / len(z)
    zc = z.new_empty(z.shape, dtype=precision)
    for part, out in zip(parts, zc.split(rows), strict=True):
        centred = part - z_mean
        add_gram_(state["scatter_zz"], centred)
        out.copy_(_in_units(centred, unit))
    squares, start, means = state["scatter_yy"], 0, []
    for together in [list(y.values())] if squares.dim() == 2 else _chunks(y.values()):
        columns = slice(start, start + sum(q.shape[1] for q in together))
        means.append(_add_quantities_(state["scatter_zy"][:, columns], squares[columns], zc, unit, together))
        start = columns.stop
    add_means_(state, z_mean, torch.cat(means), float(len(z)))


def add_rows_(state: Mapping[str, Tensor], rows: Tensor) -> None:
    r"""Add samples (B, D + ΣP), latents beside all quantities in float64, to the buffers of :class:`Moments`, in place.

    Of a small batch the calls take longer than their arithmetic, so they are few. The samples are centred about the
    running mean and then about their own. Chan's term of the difference of both means (:func:`add_means_`) is the
    product of one more row,

    .. math:: \sqrt{\frac{n_a n_b}{n_a + n_b}}\, (m_b - m_a) .
    """
    zz, yy, D, n = state["scatter_zz"], state["scatter_yy"], len(state["z_mean"]), len(rows)
    if before := float(state["count"]):
        x = rows - torch.cat([state["z_mean"], state["target_mean"]])
        step = x.mean(0)
        x = torch.cat([x.sub_(step), step.mul((before * n / (before + n)) ** 0.5).unsqueeze(0)])
        step.mul_(n / (before + n))
    else:
        state["z_mean"].zero_()
        state["target_mean"].zero_()
        step = rows.mean(0)
        x = rows - step
        rounding = x.mean(0)
        step += rounding
        x -= rounding
    zc, yc = x[:, :D], x[:, D:]
    zcT = zc.mT
    _add_square_(zz, zcT @ zc)
    state["scatter_zy"].addmm_(zcT, yc)
    _add_square_(yy, yc.mT @ yc) if yy.dim() == 2 else yy.add_(yc.square().sum(0))
    state["z_mean"].add_(step[:D])
    state["target_mean"].add_(step[D:])
    state["count"].add_(n)


def _add_square_(S: Tensor, G: Tensor) -> None:
    """Add G (P, P), symmetric up to rounding, such that S stays symmetric to the last bit."""
    S.add_(G + G.mT, alpha=0.5)


def _add_quantities_(cross: Tensor, squares: Tensor, zc: Tensor, unit_z: float, y: Sequence[Tensor]) -> Tensor:
    """Add some quantities (B, P) to the columns of both scatters that are theirs; return their means (ΣP,)."""
    units, widths, count = [_unit(q, zc.dtype) for q in y], [q.shape[1] for q in y], len(zc)
    yc, shift = _centred([_in_units(q, unit) for q, unit in zip(y, units, strict=True)], zc.dtype)
    rest = yc.sum(0).double() / count
    if squares.dim() == 2:
        add_gram_(squares, yc)
        squares.addr_(rest, rest, alpha=-count)
    if zc.dtype == torch.float64:
        cross.addmm_(zc.mT, yc)
    else:
        with full_precision(zc):
            product = zc.mT @ yc
        for block, part, unit in zip(cross.split(widths, 1), product.split(widths, 1), units, strict=True):
            block.add_(part, alpha=unit_z * unit)
    in_units = torch.cat([rest.new_full((P,), unit) for P, unit in zip(widths, units, strict=True)])
    if squares.dim() == 1:
        squares += (yc.square_().sum(0) - count * rest**2) * in_units**2
    return (shift + rest) * in_units


def add_means_(state: Mapping[str, Tensor], z_mean: Tensor, y_mean: Tensor, count: float) -> None:
    r"""Complete a merge of scatters by Chan's formula, in place.

    .. math:: S = S_a + S_b + \frac{n_a n_b}{n_a + n_b} (m_b - m_a)(m_b - m_a)^\top

    The sum :math:`S_a + S_b` is in ``state`` already; of square matrices, its upper triangle. The arguments are the
    means and the count of b.
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


def sum_over_ranks_(state: Mapping[str, Tensor], ranks: Ranks, *, also: Sequence[Tensor] = ()) -> None:
    r"""Replace the buffers of :class:`Moments` on every process, in place, by those of the data of all processes.

    .. math:: n = \sum_r n_r, \qquad m = \tfrac1n \sum_r n_r m_r, \qquad
              S = \sum_r \bigl( S_r + n_r (m_r - m)(m_r - m)^\top \bigr)

    The first message sums the counts and weighted means, the second the scatters about the common mean, so an offset in
    the data costs no digits. A process without samples takes part with n = 0.

    Args:
        state: count, means and scatters.
        ranks: the processes.
        also: further float64 tensors to sum, in the first message.
    """
    count, z_mean, y_mean = state["count"], state["z_mean"], state["target_mean"]
    n, own_z, own_y = count.clone(), z_mean.clone(), y_mean.clone()
    z_mean.mul_(n)
    y_mean.mul_(n)
    ranks.sum_([count, z_mean, y_mean, *also])
    if not float(count) > 0:
        return
    dz, dy = own_z - z_mean.div_(count), own_y - y_mean.div_(count)
    zz, zy, yy = (state[name] for name in ("scatter_zz", "scatter_zy", "scatter_yy"))
    zz.add_(n * dz.outer(dz))
    zy.add_(n * dz.outer(dy))
    yy.add_(n * (dy.outer(dy) if yy.dim() == 2 else dy.square()))
    ranks.sum_([zz, zy, yy])
    for square in (zz, yy) if yy.dim() == 2 else (zz,):
        mirror_(square)


def _rows(x: Tensor) -> int:
    """Return how many rows are centred at a time: enough that adding their products takes little of the time."""
    return max(CACHED // x.shape[1], x.shape[1]) if x.device.type == "cpu" else len(x)


def _chunks(y: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Yield quantities in their order, with at most ``CACHED`` entries at a time, and at least one."""
    chunk: list[Tensor] = []
    size = 0
    for q in y:
        size += q.numel()
        if chunk and size > CACHED:
            yield chunk
            chunk, size = [], q.numel()
        chunk.append(q)
    yield chunk


def _centred(y: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return quantities side by side (B, ΣP) minus a shift, and the shift (ΣP,) in float64.

    The shift is their mean up to rounding, so an offset in the data costs no digits.
    """
    widths, in_float64 = [q.shape[1] for q in y], dtype == torch.float64
    yc, shifts = y[0].new_empty(len(y[0]), sum(widths), dtype=dtype), []
    for q, out in zip(y, yc.split(widths, 1), strict=True):
        shift = q.mean(0, dtype=dtype if in_float64 else None)  # a mean in float64 takes three times as long
        torch.sub(q, shift.to(torch.promote_types(q.dtype, dtype)), out=out)
        shifts.append(shift)
    return yc, torch.cat(shifts).double()


def _unit(x: Tensor, precision: torch.dtype) -> float:
    """Return 1, or a power of two near the largest entry of x if squares may leave the range of float32.

    Division by a power of two is exact. Deviations from the mean are at least eps times the largest entry; sums of 2⁴⁰
    of their squares must fit.
    """
    if precision == torch.float64:
        return 1.0
    largest = max(abs(float(bound)) for bound in x.aminmax())
    fits = SINGLE.tiny**0.5 / torch.finfo(x.dtype).eps < largest < (SINGLE.max / 2**40) ** 0.5
    return 1.0 if fits or largest == 0 else 2.0 ** frexp(largest)[1]


def _in_units(x: Tensor, unit: float) -> Tensor:
    return x if unit == 1 else x.double() / unit
