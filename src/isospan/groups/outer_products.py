r"""Direct products of groups, and their irreps from those of the factors.

The outer product σ ⊗ τ of two real irreps has the commutant E ⊗ F of theirs. It is irreducible unless both have
imaginary units: the product of two that square to -1 is a symmetric matrix of the commutant that squares to 1, and its
eigenspaces are invariant.

===========  ==========================================================================================
types        irreps in σ ⊗ τ
===========  ==========================================================================================
R ⊗ any      itself
C ⊗ C        two of complex type, the eigenspaces of i ⊗ i for 1 and -1
C ⊗ H        two copies of one of complex type, an eigenspace of i ⊗ i
H ⊗ H        four copies of one of real type, a common eigenspace of i ⊗ i and j ⊗ j
===========  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as pairs
from typing import TYPE_CHECKING, Any

import numpy as np

from isospan.errors import GroupError
from isospan.groups.canonical_basis import snapped
from isospan.groups.endomorphisms import standard_basis
from isospan.groups.finite_irreps import sort_key
from isospan.representations.division_algebras import endomorphisms

if TYPE_CHECKING:
    from isospan.groups.finite import FiniteGroup


def outer_subspaces(E: np.ndarray, F: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The irreps in the outer product of two irreps with endomorphism bases E (s, d, d) and F (t, e, e).

    Returns:
        For each irrep an isometry (d e, n) on its space and its endomorphism basis; an irrep that has several copies
        is there once.
    """
    s, t, d, e = len(E), len(F), E.shape[-1], F.shape[-1]
    whole = np.eye(d * e)
    if s == 1 or t == 1:  # coordinates of one number side by side
        order = np.arange(d * e).reshape(d // s, s, e).transpose(0, 2, 1).ravel()
        return [(whole[:, order], endomorphisms(d * e, s * t))]
    signs = (1, -1) if s == t == 2 else (1,)
    spaces = [(whole + sign * np.kron(E[1], F[1])) / 2 for sign in signs]
    if s == t == 4:
        spaces = [P @ (whole + np.kron(E[2], F[2])) / 2 for P in spaces]
        return [(A := _frame(P), endomorphisms(A.shape[1], 1)) for P in spaces]
    imaginary = np.kron(E[1], np.eye(e)) if s == 2 else np.kron(np.eye(d), F[1])
    found = []
    for A in map(_frame, spaces):
        A = A @ standard_basis(np.stack([np.eye(A.shape[1]), A.T @ imaginary @ A]))
        found.append((A, endomorphisms(A.shape[1], 2)))
    return found


def _frame(P: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the image of a projector, from its columns in their order."""
    frame = np.empty((len(P), 0))
    for column in P.T:
        rest = column - frame @ (frame.T @ column)
        length = np.linalg.norm(rest)
        if length > 1e-6:
            frame = np.column_stack([frame, rest / length])
    return frame


def outer_matrices(A: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrices Aᵀ (σ ⊗ τ) A on one irrep: of the left group's generators (k, d, d), then of the right one's."""
    d, e = left.shape[-1], right.shape[-1]
    whole = [np.kron(M, np.eye(e)) for M in left] + [np.kron(np.eye(d), M) for M in right]
    return snapped(np.stack([A.T @ M @ A for M in whole])) if whole else np.empty((0, A.shape[1], A.shape[1]))


def product_fields(groups: Sequence[FiniteGroup]) -> dict[str, Any]:
    """What defines the direct product: element (x, y) has the number x * order + y.

    Raises:
        GroupError: there is no factor.
    """
    if not groups:
        raise GroupError("A product of groups needs at least one, got none.")
    factors = [factor for group in groups for factor in (group.factors or (group,))]
    right, root = np.zeros((0, 1), dtype=np.int64), 0
    for factor in factors:
        n, m = right.shape[1], factor.order()
        first = (right[:, :, None] * m + np.arange(m)).reshape(-1, n * m)
        second = (np.arange(n)[:, None] * m + factor.graph.right[:, None, :]).reshape(-1, n * m)
        right, root = np.concatenate([first, second]), root * m + factor.graph.root
    names = [name for factor in factors for name in factor.generator_names]
    if len(set(names)) < len(names):
        names = [f"{name}{i}" for i, factor in enumerate(factors, start=1) for name in factor.generator_names]
    return {
        "right": right,
        "root": root,
        "name": " * ".join(factor.name for factor in factors),
        "generator_names": names,
        "factors": factors,
    }


def product_irreps(group: FiniteGroup) -> list[tuple[np.ndarray, np.ndarray]]:
    """Matrices of the generators (k, d, d) and endomorphism basis (s, d, d) of every irrep, sorted like any group's."""
    found = [(np.empty((0, 1, 1)), np.ones((1, 1, 1)))]
    for factor in group.factors:
        found = [
            (outer_matrices(A, matrices, irrep.action.generators), units)
            for (matrices, E), irrep in pairs(found, factor.irreps())
            for A, units in outer_subspaces(E, irrep.endomorphism_basis)
        ]
    first = [int(members[0]) for members in group.graph.classes]
    words = [group.tree.word(x) for x in first]
    return sorted(
        found, key=lambda irrep: sort_key(np.array([_trace(irrep[0], word) for word in words]), irrep[0].shape[-1])
    )


def _trace(matrices: np.ndarray, word: list[int]) -> float:
    matrix = np.eye(matrices.shape[-1])
    for j in word:
        matrix = matrix @ matrices[j]
    return float(np.trace(matrix))
