"""Orbits of vectors and their averages."""

import torch
from torch import Tensor

from isospan._core.checks import as_floating, check_finite
from isospan.errors import GroupError, ShapeError
from isospan.representations import Representation, check_representation
from isospan.symmetric._constants import constants


def orbit(x: Tensor, rep: Representation) -> Tensor:
    r"""Return :math:`\rho(g) x` for every element g of a finite group, in the order of ``group.elements``.

    Args:
        x: vectors (..., D).
        rep: representation of x.

    Returns:
        (order, ..., D).

    Raises:
        GroupError: the group is infinite.
        ShapeError: x has another last dimension.
        NonFiniteError: x contains NaN or infinity.
        DtypeError: x is not real floating point.
        RepresentationError: ``rep`` is something else.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> orbit(torch.tensor([1.0, 2.0, 3.0]), CyclicGroup(3).regular_representation)
        tensor([[1., 2., 3.],
                [3., 1., 2.],
                [2., 3., 1.]])
    """
    x = _vectors(x, rep)
    if rep.group.order() is None:
        raise GroupError(
            f"{rep.group.name} has infinitely many elements, so an orbit cannot be listed. Use group_average."
        )
    out = x.new_empty(rep.group.order(), *x.shape)
    for index, matrices in constants(rep, x.dtype, x.device).elements:
        out[..., index] = torch.einsum("gij,...cj->g...ci", matrices, x[..., index])
    return out


def group_average(x: Tensor, rep: Representation) -> Tensor:
    r"""Return the group average :math:`\int \rho(g) x \, dg` (..., D), the nearest invariant vector.

    Args:
        x: vectors (..., D).
        rep: representation of x.

    Raises:
        ShapeError: x has another last dimension.
        NonFiniteError: x contains NaN or infinity.
        DtypeError: x is not real floating point.
        RepresentationError: ``rep`` is something else.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> group_average(torch.tensor([1.0, 2.0, 3.0]), CyclicGroup(3).regular_representation).round(decimals=4)
        tensor([2., 2., 2.])
    """
    x = _vectors(x, rep)
    basis = constants(rep, x.dtype, x.device).invariant
    return (x @ basis) @ basis.mT


def _vectors(x: Tensor, rep: Representation) -> Tensor:
    check_representation(rep)
    x = as_floating(x, what="x")
    if x.dim() == 0 or x.shape[-1] != rep.size:
        raise ShapeError(
            f"x must have shape (..., D) with D = {rep.size}, the size of {rep.name!r}, got {tuple(x.shape)}."
        )
    check_finite(x, what="x")
    return x
