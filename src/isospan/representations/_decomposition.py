r"""Decomposition of orthogonal matrices of a group into irreps, in any basis.

Every copy of an irrep σ in a representation ρ is the image of an isometry A that intertwines them, ρ(g) A = A σ(g). A
linear map T becomes an intertwiner when it is averaged,

.. math:: A = \frac{1}{|G|} \sum_g \rho(g)^\top T \sigma(g),

By Schur's lemma :math:`A^\top A` is a multiple of the identity, since it is symmetric and commutes with σ. Each image
that was found is projected out. Averages of the rest give further images, until the dimensions add up to that of ρ.

Source: Serre, Linear Representations of Finite Groups, 1977, sections 2.2, 2.7 and 13.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from isospan._core.immutable import read_only
from isospan._core.matrices import snapped
from isospan.errors import RepresentationError
from isospan.representations._symmetry import SymmetryGroup
from isospan.representations._words import WordTree

IrrepT = TypeVar("IrrepT", bound=Any)
"""Type of irreps. It cannot be imported here: an irrep is a representation, and representations import this file."""

ACCEPTED = 0.05
"""Least norm at which a random intertwiner is normalised: it is about 1 on average, and a small one costs digits."""
PRESENT = 1e-6
"""Norm of an intertwiner above which the representation contains the irrep."""
MAX_ROUNDS = 40
LARGEST_BATCH = 1 << 23
"""Largest number of entries of the images of random vectors in memory."""


@dataclass(frozen=True, eq=False)
class Part(Generic[IrrepT]):
    """An irrep in a block: its copies take ``columns`` of the block's basis, one after another."""

    irrep: IrrepT
    multiplicity: int
    columns: slice


def decompose(group: SymmetryGroup, algebra: np.ndarray, generators: np.ndarray) -> tuple[np.ndarray, tuple[Part, ...]]:
    """Return an orthogonal basis (n, n) in which the matrices are a direct sum of irreps, and the irreps by columns.

    Raises:
        RepresentationError: the dimensions found do not add up to n, because the matrices are not a representation.
    """
    irreps = list(group.irreps_in(algebra, generators))
    if group.tree is not None:
        found = _by_averaging(group.tree, generators, irreps)
    else:
        found = _by_null_spaces(algebra, generators, irreps)
    return _assemble(irreps, found, size=(generators if len(generators) else algebra).shape[-1], name=group.name)


def _assemble(
    irreps: Sequence[Any], found: list[list[np.ndarray]], *, size: int, name: str
) -> tuple[np.ndarray, tuple[Part, ...]]:
    columns, parts, start = [], [], 0
    for irrep, copies in zip(irreps, found, strict=True):
        if copies:
            stop = start + irrep.size * len(copies)
            parts.append(Part(irrep, len(copies), slice(start, stop)))
            columns, start = columns + copies, stop
    if start != size:
        raise RepresentationError(
            f"The irreps found in a block of size {size} have {start} dimensions together: its matrices are not a "
            f"representation of {name} to rounding. Compute them in float64."
        )
    return read_only(snapped(np.concatenate(columns, axis=1))), tuple(parts)


def _by_averaging(tree: WordTree, generators: np.ndarray, irreps: Sequence[Any]) -> list[list[np.ndarray]]:
    """Return isometries (n, d) of every irrep, from averages over a finite group.

    A random vector v gives the intertwiner of T = v eᵢᵀ for every row i of σ. A round computes the images of vectors
    under the group, and finds up to d/s copies for each vector.
    """
    size, order = generators.shape[-1], len(tree.parent)
    rng = np.random.default_rng(0)
    found: list[list[np.ndarray]] = [[] for _ in irreps]
    sought, missing, count = range(len(irreps)), size, 1
    for _ in range(MAX_ROUNDS):
        vectors = _outside(rng.standard_normal((size, count)), [A for copies in found for A in copies])
        images = tree.pull_back(generators, vectors).reshape(order, -1)
        seen = []
        for i in sought:
            maps = _averages(images, irreps[i].table, count)
            if np.sqrt((maps**2).sum((1, 2)).max() / irreps[i].size) > PRESENT:
                seen.append(i)
                found[i] += isometries(maps, found[i])
        sought = seen
        missing = size - sum(irreps[i].size * len(copies) for i, copies in enumerate(found))
        count = max(1, min(2 * count, missing, LARGEST_BATCH // (order * size)))
        if missing <= 0 or not sought:
            break
    return found


def _averages(images: np.ndarray, table: np.ndarray, count: int) -> np.ndarray:
    """Return d/|G| Σ_g ρ(g)ᵀ v eᵢᵀ σ(g) for every vector v and row i, (count * d, n, d)."""
    order, d, _ = table.shape
    sums = images.T @ table.reshape(order, d * d)
    return (sums * (d / order)).reshape(-1, count, d, d).transpose(1, 2, 0, 3).reshape(count * d, -1, d)


def _outside(vectors: np.ndarray, frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return the part of vectors that is orthogonal to the columns of all frames; twice, against rounding."""
    if frames:
        frame = np.concatenate(frames, axis=1)
        for _ in range(2):
            vectors = vectors - frame @ (frame.T @ vectors)
    return vectors


def isometries(maps: np.ndarray, known: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
    """Return isometries with orthogonal images, also to ``known``, from intertwiners (r, n, d), the longest first."""
    found: list[np.ndarray] = []
    while True:
        norms = np.sqrt((maps**2).sum((1, 2)) / maps.shape[-1])
        longest = int(norms.argmax())
        if norms[longest] < ACCEPTED:
            return found
        A = _outside(maps[longest] / norms[longest], [*known, *found])
        found.append(A / np.sqrt((A**2).sum() / A.shape[1]))
        maps = maps - found[-1] @ (found[-1].T @ maps)


def _by_null_spaces(algebra: np.ndarray, generators: np.ndarray, irreps: Sequence[Any]) -> list[list[np.ndarray]]:
    """Return isometries (n, d) of every irrep of a Lie group, from the maps that commute with its matrices.

    The Casimir element -Σ dρ(Xᵢ)² is a multiple of the identity on the copies of an irrep, so each irrep is sought in
    one eigenspace only.
    """
    eigenvalues, vectors = np.linalg.eigh(casimir(algebra))
    found = []
    for irrep in irreps:
        value = casimir(irrep.algebra)[0, 0]
        U = vectors[:, abs(eigenvalues - value) < 1e-6 * (1 + value)]
        maps = _commuting(U.T @ algebra @ U, U.T @ generators @ U, irrep)
        found.append(isometries(U @ maps) if len(maps) else [])
    return found


def casimir(algebra: np.ndarray) -> np.ndarray:
    """Return -Σ Xᵢ² of antisymmetric matrices (a, n, n), which commutes with all of them."""
    return -(algebra @ algebra).sum(0)


def _commuting(algebra: np.ndarray, generators: np.ndarray, irrep: Any) -> np.ndarray:
    """Return random maps T (r, p, d) with ρ T = T σ for every matrix: Gaussian ones of a fixed seed, projected.

    The projection on the null space does not depend on the basis of it that a library returns.
    """
    p, d = algebra.shape[-1], irrep.size
    ours, theirs = np.concatenate([algebra, generators]), np.concatenate([irrep.algebra, irrep.generators])
    defect = np.zeros((p * d, p * d))
    for M, N in zip(ours, theirs, strict=True):
        commutator = np.kron(M, np.eye(d)) - np.kron(np.eye(p), N.T)
        defect += commutator.T @ commutator
    if not p:
        return np.empty((0, p, d))
    eigenvalues, vectors = np.linalg.eigh(defect)
    null = vectors[:, eigenvalues < 1e-9 * (1 + eigenvalues[-1])]
    random = np.random.default_rng(0).standard_normal((p * d, 2 * null.shape[1] + 2))
    return np.sqrt(d) * (null @ (null.T @ random)).T.reshape(-1, p, d) if null.shape[1] else np.empty((0, p, d))
