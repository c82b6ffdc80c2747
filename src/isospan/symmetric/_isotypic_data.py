"""Data in isotypic coordinates."""

import torch
from torch import Tensor

from isospan.errors import RepresentationError
from isospan.representations import Representation
from isospan.symmetric._constants import constants
from isospan.symmetric._inputs import samples


def isotypic_data(x: Tensor, rep: Representation) -> list[Tensor]:
    r"""Return the coordinates of samples in every isotypic component, a tensor (m, d, N) each.

    Components and copies are those of ``rep.isotypic``. Entry (i, a, n) is coordinate a of copy i in sample n. The
    samples are last: then a sum over samples and dimensions is one matrix product, and memory is copied in long runs.
    The change of basis multiplies each copy of a block by the small basis of the block.

    Args:
        x: rows (N, D), as :func:`samples` returns them.
        rep: representation of x.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> even, odd = isotypic_data(torch.tensor([[3.0, 1.0]]), CyclicGroup(2).regular_representation)
        >>> (even * 2**0.5).round(), (odd.abs() * 2**0.5).round()
        (tensor([[[4.]]]), tensor([[[2.]]]))
    """
    blocks = [_in_basis(x[:, columns], basis) for columns, basis in constants(rep, x.dtype, x.device).blocks]
    components = []
    for component in rep.isotypic:
        shape = (-1, component.irrep.size, len(x))
        parts = [blocks[source.block][:, source.columns].reshape(shape) for source in component.sources]
        components.append(parts[0] if len(parts) == 1 else torch.cat(parts))
    return components


def irrep_coordinates(x: Tensor, rep_x: Representation) -> Tensor:
    r"""Return the coordinates (N·d, m) of samples in a representation of m copies of one irrep of dimension d.

    Row n·d + a has coordinate a of every copy in sample n. A column is a copy, with N·d samples of one scalar. Least
    squares or a covariance of the columns is that of the irrep.

    Args:
        x: samples (N, m·d), or (N, m·d, T).
        rep_x: m copies of one irrep, in any basis.

    Raises:
        RepresentationError: ``rep_x`` contains several irreps, or is no representation.
        ShapeError: x has another shape.
        DegenerateDataError: there are no samples.
        NonFiniteError: x contains NaN or infinity.
        DtypeError: x is not real floating point.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> rotation = CyclicGroup(3).irreps()[1]
        >>> irrep_coordinates(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2 * rotation)
        tensor([[1., 3.],
                [2., 4.]])
    """
    rows = samples(x, rep_x)
    if len(rep_x.isotypic) != 1:
        raise RepresentationError(
            f"The representation must consist of copies of one irrep, got {rep_x.name!r} with "
            f"{len(rep_x.isotypic)}: {[c.irrep.name for c in rep_x.isotypic]}. Pass one isotypic component at a time."
        )
    (data,) = isotypic_data(rows, rep_x)
    return data.permute(2, 1, 0).flatten(0, 1)


def _in_basis(x: Tensor, basis: Tensor) -> Tensor:
    """Return the coordinates (copies, n, N) of the copies x (N, copies·n) of a block in its basis."""
    return basis.mT @ x.unflatten(1, (-1, len(basis))).permute(1, 2, 0)
