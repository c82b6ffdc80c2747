"""Projections on invariant vectors and on equivariant maps."""

import torch
from torch import Tensor

from isospan._core.checks import as_device, as_floating, check_dtype, check_finite
from isospan.representations import HomBasis, Representation, check_representation
from isospan.symmetric._constants import constants


def invariant_projector(
    rep: Representation, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Tensor:
    r"""Return the orthogonal projector (D, D) on the invariant vectors.

    .. math:: P = \int \rho(g) \, dg

    Args:
        rep: the representation.
        dtype: of the result, floating point.
        device: of the result.

    Raises:
        RepresentationError: ``rep`` is something else.
        DtypeError: ``dtype`` is not floating point.
        OptionError: ``device`` is no device.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> invariant_projector(CyclicGroup(2).regular_representation)
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    check_representation(rep)
    check_dtype(dtype, what="The projector's dtype")
    basis = constants(rep, dtype, as_device(device)).invariant
    return basis @ basis.mT


def equivariant_projection(A: Tensor, rep_x: Representation, rep_y: Representation) -> Tensor:
    r"""Return the equivariant map nearest to A (D_y, D_x) in the Frobenius norm.

    .. math:: \int \rho_y(g)^\top A \, \rho_x(g) \, dg

    Args:
        A: matrix (D_y, D_x).
        rep_x: representation of the inputs of A.
        rep_y: representation of its outputs.

    Raises:
        GroupMismatchError: the representations are of two groups.
        ShapeError: A has another shape.
        NonFiniteError: A contains NaN or infinity.
        DtypeError: A is not real floating point.
        RepresentationError: ``rep_x`` or ``rep_y`` is something else.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> equivariant_projection(torch.tensor([[1.0, 2.0], [4.0, 5.0]]), regular, regular).round(decimals=4)
        tensor([[3., 3.],
                [3., 3.]])
    """
    maps, A = HomBasis(rep_x, rep_y), as_floating(A, what="A")
    check_finite(A, what="A")
    return maps.project(A)
