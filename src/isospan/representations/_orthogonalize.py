"""Orthogonal representations from those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isospan.errors import RepresentationError
from isospan.representations._matrices import Matrices, check_given, check_relations, read_matrices
from isospan.representations._representation import Representation
from isospan.representations._symmetry import SymmetryGroup

MAX_SWEEPS = 500
CONVERGED = 1e-14
ILL_CONDITIONED = 1e12
"""Condition number above which eigenvectors are dependent to rounding."""


def orthogonalize(
    group: SymmetryGroup, matrices: Matrices = (), *, algebra: Sequence[Any] | None = None, name: str | None = None
) -> tuple[Representation, np.ndarray]:
    r"""Return an orthogonal representation equivalent to a given one, and the map to it (Weyl's unitary trick).

    .. math:: S = \operatorname{mean}_g \, \rho(g)^\top \rho(g), \qquad T = S^{1/2}, \qquad
              g \mapsto T \rho(g) T^{-1}

    A vector x of the given space is T x in the new one. T is symmetric and positive definite; it is the identity if ρ
    is orthogonal.

    Args:
        group: the group.
        matrices: invertible matrices (n, n) of the generators in float64, given as for :class:`Representation`.
        algebra: matrices of the Lie algebra, for Lie groups; by default the derivatives of the function ``matrices``.
        name: name of the result.

    Returns:
        The representation and T (n, n).

    Raises:
        RepresentationError: the matrices are not a representation of the group.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> rep, T = orthogonalize(CyclicGroup(4), [[[0.0, -2.0], [0.5, 0.0]]])
        >>> rep.generators[0].round(6) + 0.0
        array([[ 0., -1.],
               [ 1.,  0.]])
    """
    a, k = read_matrices(group, matrices, algebra)
    if group.tree is None:
        S = _lie_metric(a, k)
    else:
        check_relations(group, a, k)
        table = group.tree.evaluate(k)
        S = np.einsum("gki,gkj->ij", table, table) / len(table)
    values, V = np.linalg.eigh(S / (np.trace(S) / len(S)))
    if not values[0] > 0:
        raise RepresentationError(f"The matrices must be invertible and a representation of {group.name}.")
    T, inverse = (V * np.sqrt(values)) @ V.T, (V / np.sqrt(values)) @ V.T
    rep = Representation(group, list(T @ k @ inverse), algebra=list(T @ a @ inverse), name=name)
    check_given(group, matrices, lambda g: inverse @ rep(g) @ T)
    return rep, T


def _lie_metric(algebra: np.ndarray, generators: np.ndarray) -> np.ndarray:
    """Return an invariant metric of a Lie group: the limit of averages over one-parameter and cyclic subgroups in turn.

    Source: von Neumann, Functional Operators II, 1950, theorem 13.7, on alternating projections.
    """
    S = np.eye((algebra if len(algebra) else generators).shape[-1])
    for _ in range(MAX_SWEEPS):
        previous = S
        for M in [*algebra, *generators]:
            S = _mean_over(S, M)
        if abs(S - previous).max() <= CONVERGED * abs(S).max():
            break
    return (S + S.T) / 2


def _mean_over(S: np.ndarray, M: np.ndarray) -> np.ndarray:
    """Return the mean of AᵀSA over A = exp(tM), or over the powers A of M: couplings of unequal eigenvalues vanish."""
    values, V = np.linalg.eig(M)
    if np.linalg.cond(V) > ILL_CONDITIONED:
        raise RepresentationError(
            "Matrices of a compact group and of its algebra are diagonalisable, got one that is not. Check them."
        )
    inverse = np.linalg.inv(V)
    equal = abs(values[:, None] - values) < 1e-6
    return np.real(inverse.conj().T @ (np.where(equal, V.conj().T @ S @ V, 0)) @ inverse)
