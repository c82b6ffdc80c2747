"""Sums and products of representations, block by block, so that equal blocks stay one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isospan.representations.blocks import Action, Block, merge, split
from isospan.representations.entries import Entries
from isospan.representations.symmetry import SymmetryGroup

Matrices = tuple[list[Entries], list[Entries]]
"""The matrices of the algebra and of the generators."""
Space = tuple[tuple[Block, ...], int]
"""Blocks of a representation and its size."""


def direct_sum(spaces: Sequence[Space]) -> tuple[Block, ...]:
    """Blocks of the direct sum: coordinates follow one another."""
    offsets = np.cumsum([0, *(size for _, size in spaces)])
    moved = [
        Block(block.action, block.indices + offset)
        for (blocks, _), offset in zip(spaces, offsets[:-1], strict=True)
        for block in blocks
    ]
    return merge(moved)


def repeated(space: Space, copies: int) -> tuple[Block, ...]:
    """Blocks of the direct sum of copies of one representation."""
    blocks, size = space
    offsets = size * np.arange(copies)[:, None, None]
    return merge([Block(block.action, (block.indices + offsets).reshape(-1, block.size)) for block in blocks])


def tensor(group: SymmetryGroup, left: Space, right: Space) -> tuple[Block, ...]:
    """Blocks of the tensor product: e_i ⊗ e_j is coordinate i * size_right + j."""
    placed = []
    for a in left[0]:
        for b in right[0]:
            grid = a.indices[:, None, :, None] * right[1] + b.indices[None, :, None, :]
            placed += _place(group, _kronecker(a.action, b.action), grid.reshape(a.copies * b.copies, -1))
    return merge(placed)


def symmetric_square(group: SymmetryGroup, space: Space) -> tuple[Block, ...]:
    """Blocks of the symmetric square: the upper triangle row by row, off-diagonal entries times √2."""
    blocks, size = space
    position = np.zeros((size, size), dtype=np.int64)
    upper = np.triu_indices(size)
    position[upper] = position.T[upper] = np.arange(len(upper[0]))
    placed = []
    for i, a in enumerate(blocks):
        inner = np.triu_indices(a.size)
        placed += _place(group, _symmetric(a.action), position[a.indices[:, inner[0]], a.indices[:, inner[1]]])
        for j, b in enumerate(blocks[i:], start=i):
            pairs = [(p, q) for p in a.indices for q in b.indices] if i != j else _pairs(a.indices)
            if pairs:
                grid = np.stack([position[np.ix_(p, q)].ravel() for p, q in pairs])
                placed += _place(group, _kronecker(a.action, b.action), grid)
    return merge(placed)


def _pairs(rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rows[p], rows[q]) for p in range(len(rows)) for q in range(p + 1, len(rows))]


def _place(group: SymmetryGroup, matrices: Matrices, grid: np.ndarray) -> list[Block]:
    """Split one product of blocks, and put every part at its copies' coordinates: grid (copies, n)."""
    return [Block(part.action, grid[:, part.indices].reshape(-1, part.size)) for part in split(group, *matrices)]


def _kronecker(a: Action, b: Action) -> Matrices:
    """dρ ⊗ 1 + 1 ⊗ dσ for the algebra, ρ ⊗ σ for the generators."""
    (algebra_a, generators_a), (algebra_b, generators_b) = _entries(a), _entries(b)
    left, right = Entries.of(np.eye(a.size)), Entries.of(np.eye(b.size))
    algebra = [X.kron(right) + left.kron(Y) for X, Y in zip(algebra_a, algebra_b, strict=True)]
    return algebra, [M.kron(N) for M, N in zip(generators_a, generators_b, strict=True)]


def _entries(a: Action) -> Matrices:
    return [Entries.of(X) for X in a.algebra], [Entries.of(M) for M in a.generators]


def _symmetric(a: Action) -> Matrices:
    """The same, within the orthonormal basis of symmetric matrices.

    The coordinate of an entry and its mirror image is their sum times √½, that of a diagonal entry itself. Scaled as a
    whole, and not from both sides, permutations keep entries that are exactly one.
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
