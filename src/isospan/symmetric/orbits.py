"""Orbits: all that a group makes of a vector."""

import torch
from torch import Tensor

from isospan._checks import check_floating
from isospan.errors import GroupError, ShapeError
from isospan.representations import Representation
from isospan.symmetric.projections import invariant_basis


def orbit(x: Tensor, rep: Representation) -> Tensor:
    r"""Return :math:`\rho(g) x` for every element g of a finite group, in the order of ``group.elements``.

    Args:
        x: vectors (..., D).
        rep: how the group acts.

    Returns:
        (order, ..., D).

    Raises:
        GroupError: the group is infinite.
        ShapeError, DtypeError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> orbit(torch.tensor([1.0, 2.0, 3.0]), CyclicGroup(3).regular_representation)
        tensor([[1., 2., 3.],
                [3., 1., 2.],
                [2., 3., 1.]])
    """
    _check_vectors(x, rep)
    if rep.group.order() is None:
        raise GroupError(f"{rep.group.name} has infinitely many elements, so its orbits have too. Use orbit_mean.")
    out = x.new_empty(rep.group.order(), *x.shape)
    for block in rep.blocks:
        index = torch.as_tensor(block.indices, device=x.device)
        matrices = torch.as_tensor(rep.group.tree.evaluate(block.action.generators)).to(x)
        out[..., index] = torch.einsum("gij,...cj->g...ci", matrices, x[..., index])
    return out


def orbit_mean(x: Tensor, rep: Representation) -> Tensor:
    r"""Return the mean of the orbit (..., D): the projection :math:`\int \rho(g) x \, dg` on the invariant vectors.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> orbit_mean(torch.tensor([1.0, 2.0, 3.0]), CyclicGroup(3).regular_representation).round(decimals=4)
        tensor([2., 2., 2.])
    """
    _check_vectors(x, rep)
    basis = invariant_basis(rep, x.dtype, x.device)
    return (x @ basis) @ basis.mT


def _check_vectors(x: Tensor, rep: Representation) -> None:
    check_floating(x, what="x")
    if x.dim() == 0 or x.shape[-1] != rep.size:
        raise ShapeError(
            f"x must have shape (..., D) with D = {rep.size}, the size of {rep.name!r}, got {tuple(x.shape)}."
        )
