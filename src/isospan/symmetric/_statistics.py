"""Mean, variance and covariance over samples and group."""

from typing import overload

import torch
from torch import Tensor

from isospan._core.checks import check_number
from isospan.errors import DegenerateDataError, MissingArgumentError
from isospan.linalg import power_of_two
from isospan.representations import HomBasis, Representation
from isospan.symmetric._constants import constants
from isospan.symmetric._inputs import paired_samples, samples
from isospan.symmetric._second_moments import cross_moments, shared_components

MEMORY = 32
"""Number of multiplications that take as long as reading and writing one entry."""


def mean(x: Tensor, rep_x: Representation) -> Tensor:
    r"""Return the mean (D,) over samples and group: the invariant part of the sample mean.

    .. math:: \mu = \frac1N \sum_n \int \rho(g) x_n \, dg

    Args:
        x: samples (N, D), or (N, D, T) for N signals of T steps; every step counts as a sample.
        rep_x: representation of x.

    Raises:
        ShapeError: x has another shape.
        DegenerateDataError: there are no samples.
        NonFiniteError: x contains NaN or infinity.
        DtypeError: x is not real floating point.
        RepresentationError: ``rep_x`` is something else.

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

    This is the diagonal of :func:`cov`. For a finite group the integral is the mean over its elements, so it is the
    variance of the augmented samples, normalised by the order times (N - c).

    Args:
        x: samples (N, D) or (N, D, T).
        rep_x: representation of x.
        correction: c, at least 0 and less than N; 1 by default, as in :func:`torch.var`.

    Raises:
        ShapeError: x has another shape.
        DegenerateDataError: N is not above the correction.
        NonFiniteError: x contains NaN or infinity.
        DtypeError: x is not real floating point.
        OptionError: the correction is not a number of at least 0.
        RepresentationError: ``rep_x`` is something else.

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
    centred, cached = rows - mu, constants(rep_x, rows.dtype, rows.device)
    sums = [_squares(centred[:, index], maps).flatten() for index, maps in cached.copies]
    return torch.cat(sums)[cached.block_index] / degrees * scale * scale, mu * scale


def _squares(x: Tensor, maps: HomBasis) -> Tensor:
    """Sum the squares of copies (N, c, n) of a block over samples, and average over the group."""
    moments = torch.einsum("nci,ncj->cij", x, x)
    return maps.project(moments).diagonal(dim1=1, dim2=2)


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
    r"""Return the covariance (D_y, D_x) over samples and group, an equivariant map with y on the rows.

    .. math:: C = \frac{1}{N - c} \sum_n \int
              \bigl( \rho_y(g) y_n - \mu_y \bigr) \bigl( \rho_x(g) x_n - \mu_x \bigr)^\top dg

    For a finite group it is the covariance of the augmented data set, where each g acts on x and y together, normalised
    by the order times (N - c). In isotypic coordinates it has one block for every irrep that x and y share,

    .. math:: C_{ji} = \sum_s \Bigl( \frac{1}{d (N - c)} \sum_n \langle y_{nj}, E_s x_{ni} \rangle \Bigr) E_s ,

    and only the trivial irrep has a mean. If the blocks take more operations than the dense product of the data, that
    product is projected on the equivariant maps, with the same result.

    Args:
        x: samples (N, D_x) or (N, D_x, T).
        y: samples (N, D_y) or (N, D_y, T). Without y, as ``cov(x, rep_x=rep)`` or ``cov(x, rep)``, the result is the
            covariance of x with itself.
        rep_x: representation of x.
        rep_y: representation of y.
        correction: c, at least 0 and less than N; 1 by default, as in :func:`torch.cov`.

    Raises:
        MissingArgumentError: a representation is missing, or there is one of y but no y.
        GroupMismatchError: the representations are of two groups.
        ShapeError: x or y has another shape, or they have different numbers of samples.
        DegenerateDataError: N is not above the correction.
        NonFiniteError: x or y contains NaN or infinity.
        DtypeError: x or y is not real floating point.
        DeviceMismatchError: x and y are on two devices.
        OptionError: the correction is not a number of at least 0.
        RepresentationError: ``rep_x`` or ``rep_y`` is something else.

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
    return scatter(scaled_x, scaled_y, HomBasis(rep_x, rep_y)) / degrees * unit_x * unit_y


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
    """Whether the change of basis and the products of blocks take less time than the dense product.

    The unit is a multiplication; an entry that is read and written takes ``MEMORY`` of them.
    """
    m_y = {component.irrep.key: component.multiplicity for component in rep_y.isotypic}
    shared = [(c.size * m_y.get(c.irrep.key, 0), len(c.irrep.endomorphism_basis)) for c in rep_x.isotypic]
    change_x, change_y = (sum(b.indices.size * b.size for b in rep.blocks) for rep in (rep_x, rep_y))
    dense, project = rep_x.size * rep_y.size, rep_y.size * change_x + rep_x.size * change_y
    change = change_x + MEMORY * rep_x.size + (0 if rep_x is rep_y else change_y + MEMORY * rep_y.size)
    return N * (sum(count * s for count, s in shared) + change) < N * dense + project


def _degrees(N: int, correction: float) -> float:
    correction = check_number(correction, what="correction", remedy="It is subtracted from the number of samples.")
    if N <= correction:
        raise DegenerateDataError(
            f"Variances of {N} samples with correction {correction:g} are undefined. Pass more, or correction=0."
        )
    return N - correction
