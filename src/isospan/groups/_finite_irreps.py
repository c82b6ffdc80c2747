r"""Real irreps of any finite group, in bases that depend on the irrep only.

Right multiplications span the commutant of the regular representation. A symmetric element of it,

.. math:: M_{xy} = a(x^{-1} y), \qquad a(x) = a(x^{-1}),

has eigenspaces that are invariant under the group; for almost all a they are irreducible, since a symmetric matrix over
ℝ, ℂ or ℍ has distinct eigenvalues almost surely. An irrep of dimension d, with an endomorphism algebra of dimension s,
has the multiplicity d/s.

Source: Serre, Linear Representations of Finite Groups, 1977, sections 2.4 and 13.2.
"""

import numpy as np

from isospan.errors import GroupError
from isospan.groups._cayley import CayleyGraph
from isospan.groups._endomorphisms import endomorphism_basis, standard_basis
from isospan.representations import WordTree, endomorphisms

ATTEMPTS = 5
SEPARATED = 1e-8
"""Least gap, relative to the range of eigenvalues, between those of different eigenspaces."""
DISTINCT = 1e-6
"""Least difference of the characters of different irreps."""
ALMOST = 1e-13
"""Largest difference from a multiple of 1/2 that counts as rounding."""


def real_irreps(group: CayleyGraph, *, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the matrices of the generators (k, d, d) and the endomorphism basis (s, d, d) of every irrep.

    The trivial irrep is first. The others are sorted by dimension, then by the characters of the classes, descending.
    The seed is fixed and the bases do not depend on those of an eigensolver. So the list is the same to rounding on
    every machine.

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
    """Return orthonormal bases (order, d) of the eigenspaces of a random symmetric element of the commutant."""
    inverses = group.inverses
    a = rng.standard_normal(group.order)
    M = (a + a[inverses])[group.columns.T[inverses]]
    eigenvalues, vectors = np.linalg.eigh(M)
    gaps = np.diff(eigenvalues) > SEPARATED * max(eigenvalues[-1] - eigenvalues[0], 1e-300)
    return np.split(vectors, np.flatnonzero(gaps) + 1, axis=1)


def _distinct(group: CayleyGraph, spaces: list[np.ndarray], first: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return one space for every irrep, with its character on representatives of the classes."""
    images_of_first = group.columns.T[first]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for U in spaces:
        character = np.array([(U[images] * U).sum() for images in images_of_first])
        if all(abs(known - character).max() > DISTINCT for _, known in found):
            found.append((U, character))
    return found


def sort_key(character: np.ndarray, d: int) -> tuple[bool, int, tuple[float, ...]]:
    """Return a key that sorts by triviality (first), dimension, and character on the classes, descending."""
    rounded = np.round(character, 6)
    return not (rounded == 1).all(), d, tuple((-rounded).tolist())


def _matrices(group: CayleyGraph, U: np.ndarray) -> np.ndarray:
    """Return the polar factors of σ(g) = Uᵀ L(g) U for the generators, where L(g) maps e_x to e_gx."""
    return _polar(np.stack([U[left].T @ U for left in group.left]))


def _polar(matrices: np.ndarray) -> np.ndarray:
    U, _, Vh = np.linalg.svd(matrices)
    return U @ Vh


def canonical_basis(tree: WordTree, matrices: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the matrices (k, d, d) of the generators in a basis of the irrep that depends on the irrep only.

    The basis is the orbit of one vector, orthonormalised in the order of the words. The vector is ``start``, projected
    on the eigenspace of the largest eigenvalue of the last generator's symmetric part, so that a reflection becomes
    diagonal.

    Args:
        tree: words of the group's elements.
        matrices: orthogonal (k, d, d), in any basis.
        start: coordinates (d,) in that basis of a vector that does not depend on the basis.
    """
    values, vectors = np.linalg.eigh((matrices[-1] + matrices[-1].T) / 2)
    top = vectors[:, values > values[-1] - 1e-6]
    projected = top @ (top.T @ start)
    v = projected if np.linalg.norm(projected) > 1e-3 * np.linalg.norm(start) else start
    basis = _orthonormal(_orbit(tree, matrices, v / np.linalg.norm(v)))
    return snapped(basis.T @ matrices @ basis)


def _orbit(tree: WordTree, matrices: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return σ(x) v (order, d) for all x, which are the reversed words in the order of their lengths."""
    orbit = tree.pull_back(matrices.transpose(0, 2, 1), v[:, None])[..., 0]
    return orbit[np.concatenate([[tree.root], *(children for _, children, _ in tree.layers)])]


def _orthonormal(orbit: np.ndarray) -> np.ndarray:
    """Return orthonormal columns by Gram-Schmidt on vectors whose rest exceeds a bound, which falls until they span."""
    d = orbit.shape[1]
    frame, bound = np.empty((d, 0)), 0.3
    while frame.shape[1] < d:
        for w in orbit:
            rest = w - frame @ (frame.T @ w)
            rest = rest - frame @ (frame.T @ rest)
            length = np.linalg.norm(rest)
            if length > bound:
                frame = np.column_stack([frame, rest / length])
            if frame.shape[1] == d:
                break
        bound /= 4
    return frame


def snapped(matrices: np.ndarray) -> np.ndarray:
    """Return the matrices with entries that differ by rounding from multiples of 1/2 replaced by these."""
    halves = np.round(2 * matrices) / 2
    return np.where(abs(matrices - halves) < ALMOST, halves, matrices) + 0.0
