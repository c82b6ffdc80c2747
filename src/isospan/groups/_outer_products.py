r"""Irreps of direct products of groups, from those of the factors.

The outer product σ ⊗ τ of two real irreps has the endomorphism algebra E ⊗ F, where E and F are those of σ and τ. It is
irreducible unless both have imaginary units. The product of two units that square to -1 is a symmetric matrix of the
algebra that squares to 1, and its eigenspaces are invariant.

===========  ==========================================================================================
types        irreps in σ ⊗ τ
===========  ==========================================================================================
ℝ ⊗ any      σ ⊗ τ itself
ℂ ⊗ ℂ        two of complex type, the eigenspaces of i ⊗ i for 1 and -1
ℂ ⊗ ℍ        two copies of one of complex type, an eigenspace of i ⊗ i
ℍ ⊗ ℍ        four copies of one of real type, a common eigenspace of i ⊗ i and j ⊗ j
===========  ==========================================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product as pairs

import numpy as np

from isospan._core.immutable import Immutable
from isospan.groups._cayley import CayleyGraph, evaluate_word
from isospan.groups._endomorphisms import standard_basis
from isospan.groups._finite_irreps import snapped, sort_key
from isospan.representations import Irrep, endomorphisms


@dataclass(frozen=True, eq=False)
class FactorIrrep(Immutable):
    """Irrep of one factor: matrices (a, d, d) of the algebra, (k, d, d) of generators, endomorphism basis (s, d, d)."""

    key: tuple[int, ...]
    name: str
    algebra: np.ndarray
    generators: np.ndarray
    endomorphism_basis: np.ndarray

    def __repr__(self) -> str:
        return f"FactorIrrep({self.name}, dimension={self.endomorphism_basis.shape[-1]})"


def outer_irreps(lists: Sequence[Sequence[FactorIrrep | Irrep]]) -> Sequence[FactorIrrep | Irrep]:
    """Return the irreps in all outer products of one irrep of each list."""
    return reduce(_outer, lists)


def finite_product_irreps(graph: CayleyGraph, lists: Sequence[Sequence[Irrep]]) -> list[FactorIrrep | Irrep]:
    """Return the irreps of a direct product of finite groups, sorted as those of any finite group."""
    words = [graph.tree.word(int(members[0])) for members in graph.classes]

    def key(irrep: FactorIrrep | Irrep) -> tuple[bool, int, tuple[float, ...]]:
        matrices = irrep.generators
        return sort_key(np.array([np.trace(evaluate_word(w, matrices)) for w in words]), matrices.shape[-1])

    return sorted(outer_irreps(lists), key=key)


def _outer(left: Sequence[FactorIrrep | Irrep], right: Sequence[FactorIrrep | Irrep]) -> Sequence[FactorIrrep | Irrep]:
    return [
        FactorIrrep(
            (*a.key, *b.key, number),
            f"{a.name} & {b.name}" + ("" if number == 0 else " (conjugate)"),
            _outer_matrices(A, a.algebra, b.algebra),
            _outer_matrices(A, a.generators, b.generators),
            units,
        )
        for a, b in pairs(left, right)
        for number, (A, units) in enumerate(outer_subspaces(a.endomorphism_basis, b.endomorphism_basis))
    ]


def outer_subspaces(E: np.ndarray, F: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the irreps in the outer product of two irreps with endomorphism bases E (s, d, d) and F (t, e, e).

    Returns:
        An isometry (d e, n) onto one copy of each irrep, and the endomorphism basis of that copy.
    """
    s, t, d, e = len(E), len(F), E.shape[-1], F.shape[-1]
    whole = np.eye(d * e)
    if s == 1 or t == 1:  # the coordinates of each scalar are adjacent
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
    """Return orthonormal columns by Gram-Schmidt on the columns of a projector, in their order."""
    frame = np.empty((len(P), 0))
    for column in P.T:
        rest = column - frame @ (frame.T @ column)
        length = np.linalg.norm(rest)
        if length > 1e-6:
            frame = np.column_stack([frame, rest / length])
    return frame


def _outer_matrices(A: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return Aᵀ (σ ⊗ τ) A on one irrep, of the left group's matrices (k, d, d), then of the right group's (l, e, e)."""
    d, e = left.shape[-1], right.shape[-1]
    whole = [np.kron(M, np.eye(e)) for M in left] + [np.kron(np.eye(d), M) for M in right]
    return snapped(np.stack([A.T @ M @ A for M in whole])) if whole else np.empty((0, A.shape[1], A.shape[1]))
