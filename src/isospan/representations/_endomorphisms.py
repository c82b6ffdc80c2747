"""Endomorphism algebras ℝ, ℂ and ℍ of irreps: scalars as real matrices of left multiplication."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from isospan.errors import DimensionError

QUATERNION = np.array([[1, -2, -3, -4], [2, 1, -4, 3], [3, 4, 1, -2], [4, -3, 2, 1]])
"""Matrix of x ↦ q x for a quaternion q: entry n is coordinate n of q over 1, i, j, k, and entry -n is its negative.

The leading 2 x 2 entries are the matrix of a complex number.
"""

ENTRIES: dict[int, list[int]] = {s: QUATERNION[:s, :s].ravel().tolist() for s in (1, 2, 4)}
"""The leading s x s entries row by row, as plain integers, so that functions of them can be traced."""


def endomorphisms(d: int, s: int) -> np.ndarray:
    r"""Return the matrices of left multiplication by the first s of 1, i, j and k on d / s scalars, (s, d, d).

    .. math:: E_n = 1_{d/s} \otimes L_n

    The scalars are real (s = 1), complex (s = 2) or quaternions (s = 4). Every irrep of dimension d has this basis of
    its endomorphism algebra.

    Raises:
        DimensionError: s is not 1, 2 or 4, or d is not a positive multiple of s.

    Example:
        >>> endomorphisms(2, 2)[1]
        array([[ 0., -1.],
               [ 1.,  0.]])
    """
    if s not in ENTRIES or d < s or d % s:
        raise DimensionError(f"s must be 1, 2 or 4 and d a positive multiple of it, got d = {d} and s = {s}.")
    entries = QUATERNION[:s, :s]
    L = np.stack([np.sign(entries) * (abs(entries) == n) for n in range(1, s + 1)])
    return np.kron(np.eye(d // s), L)


def left_multiplication(coordinates: Sequence[Tensor]) -> Tensor:
    """Return the real matrices (s, s, ...) of x ↦ q x for scalars q with s coordinates of shape (...).

    The scalars are real (s = 1), complex (s = 2) or quaternions (s = 4).

    Raises:
        DimensionError: there are not 1, 2 or 4 coordinates.

    Example:
        >>> left_multiplication([torch.tensor(1.0), torch.tensor(2.0)])
        tensor([[ 1., -2.],
                [ 2.,  1.]])
    """
    s = len(coordinates)
    if s not in ENTRIES:
        raise DimensionError(f"A scalar must have 1, 2 or 4 real coordinates, got {s}.")
    minus = [-q for q in coordinates[1:]]
    return torch.stack([coordinates[n - 1] if n > 0 else minus[-n - 2] for n in ENTRIES[s]]).unflatten(0, (s, s))


def left_multiplication_adjoint(M: Tensor) -> list[Tensor]:
    """Return the adjoint of :func:`left_multiplication`: s sums of entries of matrices (s, s, ...)."""
    s = len(M)
    signed = [entry if n > 0 else -entry for entry, n in zip(M.flatten(0, 1).unbind(), ENTRIES[s], strict=True)]
    positions = [[i for i, n in enumerate(ENTRIES[s]) if abs(n) == part] for part in range(1, s + 1)]
    return [torch.stack([signed[i] for i in of_part]).sum(0) for of_part in positions]
