"""Mean, variance and covariance of signals on which a group acts."""

from typing import overload

import torch
from torch import Tensor

from isospan._core.checks import check_number
from isospan.errors import DegenerateDataError, MissingArgumentError
from isospan.linalg import power_of_two
from isospan.representations import HomBasis, Representation
from isospan.representations.blocks import Block
from isospan.symmetric._constants import Constants, constants
from isospan.symmetric._inputs import paired_samples, samples
from isospan.symmetric._projections import equivariant_maps
from isospan.symmetric._second_moments import cross_moments, shared_components

MEMORY = 32
"""Multiplications that take as long as moving one number to memory and back."""


def mean(x: Tensor, rep_x: Representation) -> Tensor:
    r"""Return the mean (D,) over samples and group: the invariant part of the sample mean.

    .. math:: \mu = \frac1N \sum_n \int \rho(g) x_n \, dg

    Args:
        x: samples (N, D), or (N, D, T) for T steps of N signals, all of which count.
        rep_x: how the group acts on D.

    Raises:
        ShapeError, DegenerateDataError, NonFiniteError, DtypeError, RepresentationError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> mean(torch.tensor([[1.0, 2.0, 6.0]]), CyclicGroup(3).regular_representation).round(decimals=4)
        tensor([3., 3., 3.])
    """
    return _mean(samples(x, rep_x), rep_x)


def _mean(rows: Tensor, rep: Representation) -> Tensor:
    basis = constants(rep, rows.dtype, rows.device).invariant
    return basis @ (basis.mT @ rows.mean(0))


def var(x: Tensor, rep_x: Representation, *, correction: int = 1) -> Tensor:
    """Return the variance (D,) over samples and group; see :func:`var_mean`."""
    return var_mean(x, rep_x, correction=correction)[0]


def var_mean(x: Tensor, rep_x: Representation, *, correction: int = 1) -> tuple[Tensor, Tensor]:
    r"""Return variance and mean (D,) over samples and group.

    .. math:: \sigma_i^2 = \frac{1}{N - c} \sum_n \int \bigl( \rho(g) x_n - \mu \bigr)_i^2 \, dg

    the diagonal of :func:`cov`. For a finite group the integral is the mean over its elements, so this is the variance
    of the augmented samples, normalised by the order times (N - c).

    Args:
        x: samples (N, D) or (N, D, T).
        rep_x: how the group acts on D.
        correction: c; as in :func:`torch.var`, 1 by default. It must be at least 0 and less than N.

    Raises:
        DegenerateDataError: N is not above the correction.
        ShapeError, NonFiniteError, DtypeError, OptionError, RepresentationError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> variance, mu = var_mean(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), CyclicGroup(2).regular_representation)
        >>> variance.round(decimals=4), mu.round(decimals=4)
        (tensor([10., 10.]), tensor([4., 4.]))
    """
    rows = samples(x, rep_x)
    scale = power_of_two(rows)
    rows = rows / scale
    degrees, mu = _degrees(len(rows), correction), _mean(rows, rep_x)
    centred, made = rows - mu, constants(rep_x, rows.dtype, rows.device)
    sums = [_squares(centred, made, i, block).flatten() for i, block in enumerate(rep_x.blocks)]
    return torch.cat(sums)[made.block_position] / degrees * scale * scale, mu * scale


def _squares(x: Tensor, made: Constants, i: int, block: Block) -> Tensor:
    """Sum over samples of the squares of every coordinate (c, n) of a block's copies, averaged over the group."""
    columns, basis = made.blocks[i]
    z = x[:, columns].unflatten(1, (-1, len(basis))) @ basis
    total = torch.zeros_like(z[0])
    for part in block.parts:
        d, E = part.irrep.size, made.endomorphisms[part.irrep.key]
        z_part, Q = z[..., part.columns].unflatten(-1, (part.multiplicity, d)), basis[:, part.columns]
        Ez = torch.einsum("sab,ncqb->ncsqa", E, z_part)
        K = torch.einsum("ncpa,ncsqa->cspq", z_part, Ez) / d
        moment = torch.einsum("cspq,sab->cpaqb", K, E).flatten(3).flatten(1, 2)
        total = total + torch.einsum("ij,cjk,ik->ci", Q, moment, Q)
    return total


@overload
def cov(x: Tensor, y: Representation, *, correction: int = 1) -> Tensor: ...
@overload
def cov(x: Tensor, *, rep_x: Representation, correction: int = 1) -> Tensor: ...
@overload
def cov(x: Tensor, y: Tensor, rep_x: Representation, rep_y: Representation, *, correction: int = 1) -> Tensor: ...


def cov(
    x: Tensor,
    y: Tensor | Representation | None = None,
    rep_x: Representation | None = None,
    rep_y: Representation | None = None,
    *,
    correction: int = 1,
) -> Tensor:
    r"""Return the covariance (D_y, D_x) over samples and group, with y on the rows; it commutes with the group.

    .. math:: C = \frac{1}{N - c} \sum_n \int
              \bigl( \rho_y(g) y_n - \mu_y \bigr) \bigl( \rho_x(g) x_n - \mu_x \bigr)^\top dg

    For a finite group it is the covariance of the samples of the augmented data set, where each g acts on x and y
    together, normalised by the order times (N - c). In isotypic coordinates it consists of one block for every irrep
    that x and y share,

    .. math:: C_{ji} = \sum_s \Bigl( \frac{1}{d (N - c)} \sum_n \langle y_{nj}, E_s x_{ni} \rangle \Bigr) E_s ,

    and only the trivial one has a mean. Where the blocks would take more operations than the plain product, that is
    formed and projected on the equivariant matrices, with the same result.

    Args:
        x: samples (N, D_x) or (N, D_x, T).
        y: samples (N, D_y) or (N, D_y, T). Without y, as ``cov(x, rep_x=rep)`` or ``cov(x, rep)``, the result is the
            covariance of x with itself.
        rep_x: representation of x.
        rep_y: representation of y.
        correction: c; as in :func:`torch.cov`, 1 by default. It must be at least 0 and less than N.

    Raises:
        MissingArgumentError: a representation is missing, or there is one of y but no y.
        GroupMismatchError: representations of two groups.
        DegenerateDataError: N is not above the correction.
        ShapeError, NonFiniteError, DtypeError, DeviceMismatchError, OptionError, RepresentationError: what the message
            says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> cov(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), CyclicGroup(2).regular_representation).round(decimals=4)
        tensor([[10.,  6.],
                [ 6., 10.]])
    """
    if isinstance(y, Representation) and rep_x is None:
        y, rep_x = None, y
    if y is None and rep_y is None:
        y, rep_y = x, rep_x
    if y is None or isinstance(y, Representation) or rep_x is None or rep_y is None:
        raise MissingArgumentError(
            "cov takes (x, rep_x), or (x, y, rep_x, rep_y). Pass x again for y where they are the same."
        )
    same = y is x and rep_y == rep_x
    rows_x, rows_y = (samples(x, rep_x),) * 2 if same else paired_samples(x, y, rep_x, rep_y)
    degrees = _degrees(len(rows_x), correction)
    unit_x, unit_y = power_of_two(rows_x), power_of_two(rows_y)
    scaled_x = rows_x / unit_x
    scaled_y = scaled_x if rows_y is rows_x else rows_y / unit_y
    scatter = _by_blocks if _blocks_pay(len(rows_x), rep_x, rep_y) else _by_projection
    return scatter(scaled_x, scaled_y, equivariant_maps(rep_x, rep_y)) / degrees * unit_x * unit_y


def _by_blocks(x: Tensor, y: Tensor, maps: HomBasis) -> Tensor:
    coefficients = [x.new_zeros(0)]
    for shared in shared_components(x, y, maps.rep_in, maps.rep_out):
        X, Y, d = shared.X, shared.Y, shared.irrep.size
        if shared.irrep.is_trivial:
            centred = X - X.mean(2, keepdim=True)
            X, Y = centred, centred if Y is X else Y - Y.mean(2, keepdim=True)
        moments = cross_moments(X, Y, shared.endomorphisms)
        coefficients.append(moments.permute(1, 2, 0).flatten() / d**0.5)
    return maps.synthesize(torch.cat(coefficients))


def _by_projection(x: Tensor, y: Tensor, maps: HomBasis) -> Tensor:
    xc = x - _mean(x, maps.rep_in)
    if y is x and maps.rep_in is maps.rep_out:
        return maps.project(xc.mT @ xc)
    return maps.project((y - _mean(y, maps.rep_out)).mT @ xc)


def _blocks_pay(N: int, rep_x: Representation, rep_y: Representation) -> bool:
    """Whether changing the basis of the data and taking block products takes less time than the plain product.

    Counted in multiplications; moving a number to memory and back takes the time of about ``MEMORY`` of them.
    """
    m_y = {component.irrep.key: component.multiplicity for component in rep_y.isotypic}
    shared = [(c.size * m_y.get(c.irrep.key, 0), len(c.irrep.endomorphism_basis)) for c in rep_x.isotypic]
    change_x, change_y = (sum(b.indices.size * b.size for b in rep.blocks) for rep in (rep_x, rep_y))
    plain, project = rep_x.size * rep_y.size, rep_y.size * change_x + rep_x.size * change_y
    change = change_x + MEMORY * rep_x.size + (0 if rep_x is rep_y else change_y + MEMORY * rep_y.size)
    return N * (sum(count * s for count, s in shared) + change) < N * plain + project


def _degrees(N: int, correction: float) -> float:
    correction = check_number(correction, what="correction", remedy="It is subtracted from the number of samples.")
    if N <= correction:
        raise DegenerateDataError(
            f"Variances of {N} samples with correction {correction:g} are undefined. Pass more, or correction=0."
        )
    return N - correction
