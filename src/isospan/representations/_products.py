"""Direct sums and tensor products of representations, block by block, so that equal blocks share an action."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isospan.representations._blocks import Action, Block, merge, split
from isospan.representations._entries import Entries
from isospan.representations._symmetry import SymmetryGroup

Matrices = tuple[list[Entries], list[Entries]]
"""The matrices of the algebra and of the generators."""
Space = tuple[tuple[Block, ...], int]
"""The blocks of a representation, and its size."""


def direct_sum(spaces: Sequence[Space]) -> tuple[Block, ...]:
    """Return the blocks of the direct sum, whose coordinates follow one another."""
    offsets = np.cumsum([0, *(size for _, size in spaces)])
    shifted = [
        Block(block.action, block.indices + offset)
        for (blocks, _), offset in zip(spaces, offsets[:-1], strict=True)
        for block in blocks
    ]
    return merge(shifted)


def repeated(space: Space, copies: int) -> tuple[Block, ...]:
    """Return the blocks of the direct sum of copies of one representation."""
    blocks, size = space
    offsets = size * np.arange(copies)[:, None, None]
    return merge([Block(block.action, (block.indices + offsets).reshape(-1, block.size)) for block in blocks])


def tensor_product(group: SymmetryGroup, left: Space, right: Space) -> tuple[Block, ...]:
    """Return the blocks of the tensor product: e_i ⊗ e_j is coordinate i * size_right + j."""
    found = []
    for a in left[0]:
        for b in right[0]:
            grid = a.indices[:, None, :, None] * right[1] + b.indices[None, :, None, :]
            found += _split_copies(
                group, _kronecker(a.action, b.action), grid.reshape(a.multiplicity * b.multiplicity, -1)
            )
    return merge(found)


def symmetric_square(group: SymmetryGroup, space: Space) -> tuple[Block, ...]:
    """Return the blocks of the symmetric square: the upper triangle row by row, off-diagonal entries times √2."""
    blocks, size = space
    position = np.zeros((size, size), dtype=np.int64)
    upper = np.triu_indices(size)
    position[upper] = position.T[upper] = np.arange(len(upper[0]))
    found = []
    for i, a in enumerate(blocks):
        inner = np.triu_indices(a.size)
        found += _split_copies(group, _symmetric(a.action), position[a.indices[:, inner[0]], a.indices[:, inner[1]]])
        for j, b in enumerate(blocks[i:], start=i):
            pairs = [(p, q) for p in a.indices for q in b.indices] if i != j else _pairs(a.indices)
            if pairs:
                grid = np.stack([position[np.ix_(p, q)].ravel() for p, q in pairs])
                found += _split_copies(group, _kronecker(a.action, b.action), grid)
    return merge(found)


def _pairs(rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rows[p], rows[q]) for p in range(len(rows)) for q in range(p + 1, len(rows))]


def _split_copies(group: SymmetryGroup, matrices: Matrices, grid: np.ndarray) -> list[Block]:
    """Split one product of blocks; row c of grid (copies, n) has the coordinates of copy c."""
    return [Block(part.action, grid[:, part.indices].reshape(-1, part.size)) for part in split(group, *matrices)]


def _kronecker(a: Action, b: Action) -> Matrices:
    """Return dρ ⊗ 1 + 1 ⊗ dσ for the Lie algebra and ρ ⊗ σ for the generators."""
    (algebra_a, generators_a), (algebra_b, generators_b) = _entries(a), _entries(b)
    left, right = Entries.of(np.eye(a.size)), Entries.of(np.eye(b.size))
    algebra = [X.kron(right) + left.kron(Y) for X, Y in zip(algebra_a, algebra_b, strict=True)]
    return algebra, [M.kron(N) for M, N in zip(generators_a, generators_b, strict=True)]


def _entries(a: Action) -> Matrices:
    return [Entries.of(X) for X in a.algebra], [Entries.of(M) for M in a.generators]


def _symmetric(a: Action) -> Matrices:
    """Return the Kronecker product on symmetric matrices, in their orthonormal basis.

    An entry and its mirror image have one coordinate, their sum times √½; the coordinate of a diagonal entry is the
    entry. One scale is applied to every sum, so that permutations keep entries that are exactly one.
    """
    n = a.size
    upper = np.triu_indices(n)
    is_diagonal, coordinate = upper[0] == upper[1], np.empty((n, n), dtype=np.int64)
    coordinate[upper] = coordinate.T[upper] = np.arange(len(upper[0]))
    coordinate, scales = coordinate.ravel(), np.array([0.5, np.sqrt(0.5), 1.0])

    def within(K: Entries) -> Entries:
        sums = Entries.summed(coordinate[K.rows], coordinate[K.columns], K.values, len(is_diagonal))
        return replace(
            sums, values=sums.values * scales[is_diagonal[sums.rows].astype(int) + is_diagonal[sums.columns]]
        )

    algebra, generators = _kronecker(a, a)
    return [within(K) for K in algebra], [within(K) for K in generators]
