"""Sums and products of representations, block by block, so that equal blocks stay one."""

from collections.abc import Sequence

import numpy as np

from isospan.representations.blocks import Action, Block, merge, split
from isospan.representations.symmetry import SymmetryGroup

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
            placed += _place(group, *_kronecker(a.action, b.action), grid.reshape(a.copies * b.copies, -1))
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
        placed += _place(group, *_symmetric(a.action), position[a.indices[:, inner[0]], a.indices[:, inner[1]]])
        for j, b in enumerate(blocks[i:], start=i):
            pairs = [(p, q) for p in a.indices for q in b.indices] if i != j else _pairs(a.indices)
            if pairs:
                grid = np.stack([position[np.ix_(p, q)].ravel() for p, q in pairs])
                placed += _place(group, *_kronecker(a.action, b.action), grid)
    return merge(placed)


def _pairs(rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rows[p], rows[q]) for p in range(len(rows)) for q in range(p + 1, len(rows))]


def _place(group: SymmetryGroup, algebra: np.ndarray, generators: np.ndarray, grid: np.ndarray) -> list[Block]:
    """Split one product of blocks, and put every part at its copies' coordinates: grid (copies, n)."""
    return [
        Block(part.action, grid[:, part.indices].reshape(-1, part.size)) for part in split(group, algebra, generators)
    ]


def _kronecker(a: Action, b: Action) -> tuple[np.ndarray, np.ndarray]:
    """dρ ⊗ 1 + 1 ⊗ dσ for the algebra, ρ ⊗ σ for the generators."""
    left, right = np.eye(a.size), np.eye(b.size)
    algebra = [np.kron(X, right) + np.kron(left, Y) for X, Y in zip(a.algebra, b.algebra, strict=True)]
    generators = [np.kron(M, N) for M, N in zip(a.generators, b.generators, strict=True)]
    return _stack(algebra, a.size * b.size), _stack(generators, a.size * b.size)


def _symmetric(a: Action) -> tuple[np.ndarray, np.ndarray]:
    """The same, within the orthonormal basis of symmetric matrices."""
    S = symmetric_basis(a.size)
    algebra, generators = _kronecker(a, a)
    return S.T @ algebra @ S, S.T @ generators @ S


def symmetric_basis(n: int) -> np.ndarray:
    """Orthonormal basis of the symmetric (n, n) matrices, a column each, (n², n (n + 1) / 2)."""
    rows, columns = np.triu_indices(n)
    S = np.zeros((n, n, len(rows)))
    S[rows, columns, np.arange(len(rows))] = S[columns, rows, np.arange(len(rows))] = np.sqrt(0.5)
    S[rows[rows == columns], columns[rows == columns], np.flatnonzero(rows == columns)] = 1.0
    return S.reshape(n * n, -1)


def _stack(matrices: list[np.ndarray], size: int) -> np.ndarray:
    return np.stack(matrices) if matrices else np.empty((0, size, size))
