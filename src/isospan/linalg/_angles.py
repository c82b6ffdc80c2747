"""Angles between subspaces."""

import torch
from torch import Tensor

from isospan._core.checks import as_floating, check_device, working_dtype
from isospan.errors import ShapeError
from isospan.linalg._bases import orthonormal_rows
from isospan.linalg._decompositions import svdvals


def principal_angles(W1: Tensor, W2: Tensor) -> Tensor:
    r"""Return the principal angles between the row spans of two bases.

    With orthonormal bases Q1, Q2: :math:`\cos\theta = \sigma(Q_1 Q_2^\top)`. Small angles are computed from the sine,
    :math:`\sin\theta = \sigma(Q_2 - Q_2 Q_1^\top Q_1)`, since the cosine loses half of the digits near 1. The angles
    are the same for every basis of a subspace.

    Args:
        W1: basis (k1, D), rows linearly independent.
        W2: basis (k2, D).

    Returns:
        min(k1, k2) angles in radians, ascending, in [0, π/2]; float64 if either basis is, else float32.

    Raises:
        ShapeError: the bases are not matrices of the same width D.
        DtypeError, NonFiniteError, DeviceMismatchError: a basis is not real, not finite, or on another device.

    Source: Björck and Golub, Numerical methods for computing angles between linear subspaces, 1973.

    Example:
        >>> import torch
        >>> e = torch.eye(3, dtype=torch.float64)
        >>> principal_angles(e[:2], e[1:]).rad2deg().round()
        tensor([ 0., 90.], dtype=torch.float64)
    """
    W1, W2 = (as_floating(W, what="A basis") for W in (W1, W2))
    check_device(W2, W1.device, what="A basis", against="the rows of the other")
    if W1.dim() != 2 or W2.dim() != 2 or W1.shape[1] != W2.shape[1]:
        raise ShapeError(
            f"Bases must be (k1, D) and (k2, D) of the same D, got {tuple(W1.shape)} and {tuple(W2.shape)}."
        )
    dtype = working_dtype(W1, W2)
    small, large = sorted((orthonormal_rows(W.to(dtype)) for W in (W1, W2)), key=len)
    cosine = svdvals(small @ large.mT).clamp(max=1)
    sine = svdvals(small - small @ large.mT @ large).flip(0).clamp(max=1)[: len(small)]
    return torch.where(cosine**2 < 0.5, torch.acos(cosine), torch.asin(sine))


def grassmann_distance(W1: Tensor, W2: Tensor) -> Tensor:
    r"""Return the geodesic distance on the Grassmannian, :math:`\|\theta\|_2` of the principal angles in radians.

    Example:
        >>> import torch
        >>> e = torch.eye(2)
        >>> grassmann_distance(e[:1], e[1:])
        tensor(1.5708)
    """
    return torch.linalg.vector_norm(principal_angles(W1, W2))
