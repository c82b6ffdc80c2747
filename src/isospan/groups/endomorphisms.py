"""The matrices that commute with an irrep: R, C or H, and the basis in which they look so."""

import numpy as np

LARGE = 0.9
"""Part of the mean, over d directions, that one must reach to be used: one of them reaches the mean itself."""


def endomorphism_basis(table: np.ndarray, s: int) -> np.ndarray:
    r"""Orthogonal basis (s, d, d) of the commutant of an irrep, s = 1, 2 or 4: the identity, i, j and k = i j.

    The antisymmetric matrices :math:`e_n e_0^\top - e_0 e_n^\top` are averaged over the group; within the commutant
    they are the imaginary units, up to a factor, whose squares are negative multiples of the identity.

    Args:
        table: the irrep's matrices (order, d, d) of all elements.
        s: dimension of the commutant.
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
    """The orthogonal matrix Q (d, d) for which Qᵀ E_s Q = 1 ⊗ L_s, where L (s, s, s) are the units of R, C or H.

    Its columns are the images E_s v of one vector v after another; it is the identity where E is so already.
    """
    d = E.shape[-1]
    frame = np.empty((d, 0))
    while frame.shape[1] < d:
        rest = np.eye(d) - frame @ frame.T
        n = int(np.argmax(rest.diagonal() > LARGE * (1 - frame.shape[1] / d)))
        v = rest[n] - frame @ (frame.T @ rest[n])
        frame = np.column_stack([frame, (E @ (v / np.linalg.norm(v))).T])
    return frame
