"""Endomorphism algebras of irreps: a basis from the matrices of all elements, and coordinates for it."""

import numpy as np

LARGE = 0.9
"""Least share of the mean over d directions at which one direction is used; the largest reaches the mean itself."""


def endomorphism_basis(table: np.ndarray, s: int) -> np.ndarray:
    r"""Return an orthogonal basis (s, d, d) of the endomorphism algebra of an irrep: the first s of 1, i, j, k = i j.

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
    """Return the orthogonal Q (d, d) with Qᵀ E_n Q = 1 ⊗ L_n, as in :func:`isospan.representations.endomorphisms`.

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
