"""The matrices that commute with an irrep: R, C or H."""

import numpy as np

LARGE = 0.3
"""Norm, in units of the expected one, below which a random draw is not used."""


def endomorphism_basis(table: np.ndarray, s: int) -> np.ndarray:
    """Orthogonal basis (s, d, d) of the commutant of an irrep, s = 1, 2 or 4: the identity, i, j and k = i j.

    Random antisymmetric matrices are averaged over the group; within the commutant they are the imaginary units, up to
    a factor, whose squares are negative multiples of the identity.

    Args:
        table: the irrep's matrices (order, d, d) of all elements.
        s: dimension of the commutant.
    """
    d = table.shape[-1]
    units: list[np.ndarray] = []
    rng = np.random.default_rng(0)
    while len(units) < min(s - 1, 2):
        X = rng.standard_normal((d, d))
        E = np.einsum("gij,jk,glk->il", table, X, table, optimize=True) / len(table)
        E = (E - E.T) / 2
        for unit in units:
            E = E - unit * ((unit * E).sum() / d)
        length = np.linalg.norm(E) / np.sqrt(d)
        if length * np.sqrt(d) > LARGE:
            units.append(_oriented(E / length))
    if s == 4:
        units.append(units[0] @ units[1])
    return np.stack([np.eye(d), *units])


def _oriented(E: np.ndarray) -> np.ndarray:
    """The sign for which the first column's first large entry is positive."""
    column = E[:, 0]
    return E * np.sign(column[abs(column) > 0.5 / np.sqrt(len(E))][0])
