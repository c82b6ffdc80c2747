"""Real numbers, complex numbers and quaternions as the real matrices by which they multiply."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

QUATERNION = np.array([[1, -2, -3, -4], [2, 1, -4, 3], [3, 4, 1, -2], [4, -3, 2, 1]])
"""The matrix of x ↦ q x for a quaternion q, whose n-th coordinate over 1, i, j, k stands at n, negative at -n. That of
a complex number has the leading 2 x 2 entries."""

ENTRIES: dict[int, list[int]] = {s: QUATERNION[:s, :s].ravel().tolist() for s in (1, 2, 4)}
"""The entries for numbers of s coordinates, row after row, as tracing takes them."""


def endomorphisms(d: int, s: int) -> np.ndarray:
    """The matrices (s, d, d) by which 1, i, j and k, the first s of them, act on d / s numbers, 1 ⊗ L_s.

    Numbers are real (s = 1), complex (2) or quaternions (4).
    """
    entries = QUATERNION[:s, :s]
    L = np.stack([np.sign(entries) * (abs(entries) == n) for n in range(1, s + 1)])
    return np.kron(np.eye(d // s), L)


def left_multiplication(coordinates: Sequence[Tensor]) -> Tensor:
    """Real matrices (s, s, ...) of x ↦ q x for numbers q, of which s coordinates (...) are given.

    Example:
        >>> left_multiplication([torch.tensor(1.0), torch.tensor(2.0)])
        tensor([[ 1., -2.],
                [ 2.,  1.]])
    """
    s = len(coordinates)
    minus = [-q for q in coordinates[1:]]
    return torch.stack([coordinates[n - 1] if n > 0 else minus[-n - 2] for n in ENTRIES[s]]).unflatten(0, (s, s))


def left_multiplication_adjoint(M: Tensor) -> list[Tensor]:
    """The adjoint of :func:`left_multiplication`: s sums of entries of matrices (s, s, ...)."""
    s = len(M)
    signed = [entry if n > 0 else -entry for entry, n in zip(M.flatten(0, 1).unbind(), ENTRIES[s], strict=True)]
    places = [[i for i, n in enumerate(ENTRIES[s]) if abs(n) == part] for part in range(1, s + 1)]
    return [torch.stack([signed[i] for i in place]).sum(0) for place in places]
