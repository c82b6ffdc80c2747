r"""Real irreps of any finite group, computed.

The commutant of the regular representation is that of right multiplications. A symmetric element of it,

.. math:: M_{xy} = a(x^{-1} y), \qquad a(x) = a(x^{-1}),

has eigenspaces that the group maps to themselves; for almost all a they are irreducible, since a symmetric matrix over
R, C or H has distinct eigenvalues almost surely. Every irrep of dimension d and type s turns up d/s times.

Source: Serre, Linear Representations of Finite Groups, 1977, sections 2.4 and 13.2.
"""

from __future__ import annotations

import numpy as np

from isospan.errors import GroupError
from isospan.groups.canonical_basis import canonical_basis, snapped
from isospan.groups.cayley_graph import CayleyGraph
from isospan.groups.endomorphisms import endomorphism_basis, standard_basis
from isospan.representations.division_algebras import endomorphisms

ATTEMPTS = 5
SEPARATED = 1e-8
"""Gap of eigenvalues, relative to their range, that separates irreps."""
DISTINCT = 1e-6
"""Difference of characters that belong to different irreps."""


def real_irreps(group: CayleyGraph, *, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Matrices of the generators (k, d, d) and endomorphism basis (s, d, d) of every irrep.

    Sorted: trivial first, then by dimension, then by the characters of the classes, descending. Random numbers are
    drawn from a fixed generator and bases do not depend on those that an eigensolver returns, so the list is the same
    to rounding on every machine.

    Raises:
        GroupError: no draw separated the eigenspaces.
    """
    rng = np.random.default_rng(0)
    classes = group.classes
    first, sizes = np.array([c[0] for c in classes]), np.array([len(c) for c in classes])
    for _ in range(ATTEMPTS):
        kinds = _distinct(group, _eigenspaces(group, rng), first)
        types = [round((sizes * character**2).sum() / group.order) for _, character in kinds]
        if sum(U.shape[1] ** 2 / s for (U, _), s in zip(kinds, types, strict=True)) == group.order:
            break
    else:
        raise GroupError(f"The irreps of {name} could not be separated numerically. Its order may be too large.")
    ordered = sorted(zip(kinds, types, strict=True), key=lambda kind: sort_key(kind[0][1], kind[0][0].shape[1]))
    irreps = []
    for (U, _), s in ordered:
        matrices = canonical_basis(group.tree, _matrices(group, U), U[group.root])
        if s > 1:
            Q = standard_basis(endomorphism_basis(group.tree.evaluate(matrices), s))
            matrices = snapped(Q.T @ matrices @ Q)
        irreps.append((matrices, endomorphisms(matrices.shape[-1], s)))
    return irreps


def _eigenspaces(group: CayleyGraph, rng: np.random.Generator) -> list[np.ndarray]:
    """Orthonormal bases (order, d) of the eigenspaces of a random symmetric element of the commutant."""
    inverses = group.inverses
    a = rng.standard_normal(group.order)
    M = (a + a[inverses])[group.columns.T[inverses]]
    eigenvalues, vectors = np.linalg.eigh(M)
    gaps = np.diff(eigenvalues) > SEPARATED * max(eigenvalues[-1] - eigenvalues[0], 1e-300)
    return np.split(vectors, np.flatnonzero(gaps) + 1, axis=1)


def _distinct(group: CayleyGraph, spaces: list[np.ndarray], first: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """One space and its character on the class representatives for every irrep."""
    moved = group.columns.T[first]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for U in spaces:
        character = np.array([(U[images] * U).sum() for images in moved])
        if all(abs(known - character).max() > DISTINCT for _, known in found):
            found.append((U, character))
    return found


def sort_key(character: np.ndarray, d: int) -> tuple[bool, int, tuple[float, ...]]:
    """Trivial first, then by dimension, then by the character on the classes, descending."""
    rounded = np.round(character, 6)
    return not (rounded == 1).all(), d, tuple((-rounded).tolist())


def _matrices(group: CayleyGraph, U: np.ndarray) -> np.ndarray:
    """σ(g) = Uᵀ L(g) U of the generators, where L(g) sends e_x to e_gx; orthogonal to rounding by its polar factor."""
    return _polar(np.stack([U[left].T @ U for left in group.left]))


def _polar(matrices: np.ndarray) -> np.ndarray:
    U, _, Vh = np.linalg.svd(matrices)
    return U @ Vh
