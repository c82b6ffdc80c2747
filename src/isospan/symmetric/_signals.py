"""Signals cut into irreducible pieces."""

from torch import Tensor

from isospan.errors import RepresentationError
from isospan.representations import Representation
from isospan.symmetric._inputs import samples
from isospan.symmetric._isotypic_data import isotypic_data


def isotypic_signal2irreducible_subspaces(x: Tensor, rep_x: Representation) -> Tensor:
    r"""Return a signal of m copies of one irrep with every sample cut into its d coordinates, (N·d, m).

    Row n·d + a holds the a-th coordinate of all copies in sample n, so that the columns are m scalar signals with
    N·d samples each, of which a least squares fit or a covariance is that of the irrep.

    Args:
        x: samples (N, m·d), or (N, m·d, T).
        rep_x: m copies of one irrep, in any basis.

    Raises:
        RepresentationError: the representation contains several irreps.
        ShapeError, DegenerateDataError, NonFiniteError, DtypeError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> rotation = CyclicGroup(3).irreps()[1]
        >>> isotypic_signal2irreducible_subspaces(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2 * rotation)
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
