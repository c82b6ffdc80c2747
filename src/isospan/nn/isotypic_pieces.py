"""Signals cut into the irreps of their channels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.nn._constants import Constants
from isospan.nn._linear_function import joined, reordered
from isospan.representations import Representation, Source


class Rows(NamedTuple):
    """Coordinates ``start`` to ``stop`` of a block: those of one irrep, its dimensions before its copies."""

    block: int
    start: int
    stop: int
    dim: int
    copies: int


class IsotypicPieces(Constants):
    r"""Signals (B, D, T) as one tensor (d, m, B, T) for every irrep of dimension d that occurs m times, and back.

    It takes one product with the orthogonal basis of each block, for all copies of the block, samples and times at
    once; the pieces are contiguous in memory. :attr:`copies` numbers the copies of an irrep.

    Args:
        rep: how the group acts on the D channels.

    Attributes:
        copies: for every irrep, the places (m,) in ``rep.isotypic`` of the copies in the order of the pieces.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> pieces = IsotypicPieces(2 * CyclicGroup(3).regular_representation)
        >>> [tuple(piece.shape) for piece in pieces(torch.zeros(5, 6, 10))]
        [(1, 2, 5, 10), (2, 2, 5, 10)]
    """

    order: Tensor | None
    order_back: Tensor | None

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        order = np.concatenate([block.indices.T.ravel() for block in rep.blocks])
        self.register_order("order", order)
        self.register_order("order_back", np.argsort(order))
        self._sizes = [(block.size, block.copies) for block in rep.blocks]
        columns: list[list[np.ndarray]] = [[] for _ in rep.blocks]
        self._rows: list[list[Rows]] = []
        for component in rep.isotypic:
            self._rows.append([])
            for source in component.sources:
                start = sum(map(len, columns[source.block]))
                columns[source.block].append(_dimensions_first(source, component.irrep.size))
                stop = sum(map(len, columns[source.block]))
                copies = source.multiplicity * rep.blocks[source.block].copies
                self._rows[-1].append(Rows(source.block, start, stop, component.irrep.size, copies))
        for number, (block, chosen) in enumerate(zip(rep.blocks, columns, strict=True)):
            self.register_constant(f"basis_{number}", block.basis[:, np.concatenate(chosen)])
        self.copies = [_copies([(rep.blocks[s.block].copies, s.multiplicity) for s in c.sources]) for c in rep.isotypic]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the pieces (d, m, B, T), in the order of ``rep.isotypic``."""
        samples, _, length = x.shape
        h = reordered(x.transpose(0, 1), self.order, self.order_back)
        parts = h.split([n * c for n, c in self._sizes])
        z = [
            self._basis(number, x).mT @ part.reshape(n, c * samples * length)
            for number, (part, (n, c)) in enumerate(zip(parts, self._sizes, strict=True))
        ]
        return [
            joined([z[r.block][r.start : r.stop].view(r.dim, r.copies, samples, length) for r in rows], dim=1)
            for rows in self._rows
        ]

    def inverse(self, pieces: Sequence[Tensor]) -> Tensor:
        """Return the signals (B, D, T) of their pieces."""
        samples, length = pieces[0].shape[2:]
        parts: list[list[Tensor]] = [[] for _ in self._sizes]
        for piece, rows in zip(pieces, self._rows, strict=True):
            for r, part in zip(rows, piece.split([r.copies for r in rows], dim=1), strict=True):
                columns = self._sizes[r.block][1] * samples * length
                parts[r.block].append(part.reshape(r.stop - r.start, columns))
        h = [self._basis(number, part[0]) @ torch.cat(part) for number, part in enumerate(parts)]
        h = joined([part.view(n * c, samples, length) for part, (n, c) in zip(h, self._sizes, strict=True)], dim=0)
        return reordered(h, self.order_back, self.order).transpose(0, 1).contiguous()

    def _basis(self, number: int, like: Tensor) -> Tensor:
        return getattr(self, f"basis_{number}").to(like.dtype)


def _dimensions_first(source: Source, dim: int) -> np.ndarray:
    """The columns of a block's basis that belong to an irrep, the first dimension of all copies first."""
    return np.arange(source.columns.start, source.columns.stop).reshape(source.multiplicity, dim).T.ravel()


def _copies(shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Numbers of copies that stand (c, p) in every block, those of one p after another."""
    numbers = np.arange(sum(c * p for c, p in shapes))
    parts = np.split(numbers, np.cumsum([c * p for c, p in shapes])[:-1])
    return np.concatenate([part.reshape(shape).T.ravel() for part, shape in zip(parts, shapes, strict=True)])
