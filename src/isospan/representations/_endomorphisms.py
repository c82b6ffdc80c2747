"""Endomorphism algebras ℝ, ℂ and ℍ of irreps: their bases, and scalars as real matrices of left multiplication."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

QUATERNION = np.array([[1, -2, -3, -4], [2, 1, -4, 3], [3, 4, 1, -2], [4, -3, 2, 1]])
"""The matrix of x ↦ q x for a quaternion q: entry n is the n-th coordinate over 1, i, j, k, entry -n its negative. The
leading 2 x 2 entries are the matrix of a complex number."""

ENTRIES: dict[int, list[int]] = {s: QUATERNION[:s, :s].ravel().tolist() for s in (1, 2, 4)}
"""The leading s x s entries as a flat list, row after row; plain integers, so that functions of them can be traced."""
LARGE = 0.9
"""Least share of the mean over d directions at which one direction is used; the largest reaches the mean itself."""


def endomorphisms(d: int, s: int) -> np.ndarray:
    """Matrices 1 ⊗ L_n (s, d, d) of left multiplication by the first s of 1, i, j and k on d / s scalars.

    The scalars are real (s = 1), complex (s = 2) or quaternions (s = 4).
    """
    entries = QUATERNION[:s, :s]
    L = np.stack([np.sign(entries) * (abs(entries) == n) for n in range(1, s + 1)])
    return np.kron(np.eye(d // s), L)


def endomorphism_basis(table: np.ndarray, s: int) -> np.ndarray:
    r"""Orthogonal basis (s, d, d) of the endomorphism algebra of an irrep: the first s = 1, 2 or 4 of 1, i, j, k = i j.

    The group averages of the antisymmetric matrices :math:`e_n e_0^\top - e_0 e_n^\top` are multiples of imaginary
    units: their squares are negative multiples of the identity.

    Args:
        table: the irrep's matrices (order, d, d) of all elements.
        s: dimension of the endomorphism algebra.
    """
    d = table.shape[-1]
    found: list[np.ndarray] = [np.eye(d)]
    for n in range(1, d):
        if len(found) == min(s, 3):
            break
        E = np.einsum("gi,gj->ij", table[:, :, n], table[:, :, 0]) / len(table)
        E = E - E.T
        for unit in found:
            E = E - unit * ((unit * E).sum() / d)
        if E[n, 0] > LARGE * 2 / d**2:
            found.append(E / (np.linalg.norm(E) / np.sqrt(d)))
    if s == 4:
        found.append(found[1] @ found[2])
    return np.stack(found)


def standard_basis(E: np.ndarray) -> np.ndarray:
    """The orthogonal matrix Q (d, d) with Qᵀ E_n Q = 1 ⊗ L_n, see :func:`endomorphisms`.

    Its columns are the images E_n v of one vector v after another. It is the identity if E has this form already.
    """
    d = E.shape[-1]
    frame = np.empty((d, 0))
    while frame.shape[1] < d:
        rest = np.eye(d) - frame @ frame.T
        n = int(np.argmax(rest.diagonal() > LARGE * (1 - frame.shape[1] / d)))
        v = rest[n] - frame @ (frame.T @ rest[n])
        frame = np.column_stack([frame, (E @ (v / np.linalg.norm(v))).T])
    return frame


def left_multiplication(coordinates: Sequence[Tensor]) -> Tensor:
    """Real matrices (s, s, ...) of x ↦ q x for scalars q with s coordinates (...).

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
    positions = [[i for i, n in enumerate(ENTRIES[s]) if abs(n) == part] for part in range(1, s + 1)]
    return [torch.stack([signed[i] for i in of_part]).sum(0) for of_part in positions]
