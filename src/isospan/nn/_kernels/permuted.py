"""Equivariant maps between permutation representations: every row is another one, reordered."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._base.layer import Constants, joined
from isospan.representations import Block, HomBasis, HomBlock, Representation


class Orbit(NamedTuple):
    """A block of the output: its copies, and the coefficients and the factor of each block of the input."""

    multiplicity: int
    counts: list[int]
    moved: str
    factors: list[str]


class PermutedMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), where the group permutes both sides.

    Since :math:`W_{gi, gj} = W_{ij}`, one row for each orbit of the output determines all the others. These rows are
    the product of the coefficients with one small matrix for each pair of orbits, F (dimension of the maps between
    both, coordinates of the orbit of the input). Then each row is another one with its entries moved: one table for all
    copies of an orbit says where from. W is laid out in memory as (n_out, ..., n_in): leading axes follow the rows.

    Args:
        basis: of maps between permutation representations.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> PermutedMaps(HomBasis(regular, regular))(torch.tensor([1.0, 1.0])).round(decimals=4)
        tensor([[1., 0.],
                [0., 1.]])
    """

    order: Tensor | None
    rows: Tensor | None

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        targets, sources = basis.rep_out.blocks, basis.rep_in.blocks
        self._sizes = basis.rep_out.size, basis.rep_in.size
        orders = [_coefficients(basis, o, i) for o in range(len(targets)) for i in range(len(sources))]
        counts = [order.size for order in orders]
        self.register_order("order", np.concatenate([order.ravel() for order in orders]))
        self.register_order("rows", np.argsort(np.concatenate([_sorted(block).ravel() for block in targets])))
        coordinates, moves = np.concatenate([block.indices.ravel() for block in sources]), _moves(basis.rep_in)
        self._orbits: list[Orbit] = []
        for o, block in enumerate(targets):
            names = [f"factor_{i}_of_{o}" for i in range(len(sources))]
            for i, name in enumerate(names):
                self.register_constant(name, _factor(basis, o, i))
            moved = _moved(block, moves)[np.argsort(block.indices[0])][:, coordinates]
            self.register_indices(f"moved_of_{o}", np.argsort(moved, axis=1)[:, None])
            ours = counts[o * len(sources) : (o + 1) * len(sources)]
            self._orbits.append(Orbit(block.multiplicity, ours, f"moved_of_{o}", names))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        positions = coefficients if coefficients.dim() == 2 else coefficients.reshape(-1, coefficients.shape[-1])
        with full_precision(positions):
            c = positions if self.order is None else positions.gather(1, self.order.long().expand_as(positions))
            parts = _split(c, [sum(orbit.counts) for orbit in self._orbits])
            W = joined([self._rows(part, orbit) for part, orbit in zip(parts, self._orbits, strict=True)], dim=0)
            W = W if self.rows is None else W.index_select(0, self.rows)
        W = W.transpose(0, 1)
        return W if coefficients.dim() == 2 else W.view(*coefficients.shape[:-1], *self._sizes)

    def _rows(self, c: Tensor, orbit: Orbit) -> Tensor:
        """Rows (c_o n, N, n_in) of all copies of an orbit, of its coefficients (N, m): the first ones, moved."""
        buffers: dict[str, Any] = self._buffers  # attribute access looks here last
        factors = [buffers[name].to(c.dtype) for name in orbit.factors]
        products = [part.reshape(-1, len(F)) @ F for part, F in zip(_split(c, orbit.counts), factors, strict=True)]
        first = joined([product.view(len(c), orbit.multiplicity, 1, -1) for product in products], dim=3)
        moved = buffers[orbit.moved].long()
        shape = orbit.multiplicity, len(moved), len(c), moved.shape[2]
        return first.permute(1, 2, 0, 3).expand(shape).gather(3, moved.expand(shape)).flatten(0, 1)


def _split(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    return [x] if len(sizes) == 1 else x.split(list(sizes), 1)


def _sorted(block: Block) -> np.ndarray:
    """The coordinates (c, n) of the copies of a block, in the order in which those of the first are sorted."""
    return block.indices[:, np.argsort(block.indices[0])]


def _coefficients(basis: HomBasis, o: int, i: int) -> np.ndarray:
    """Numbers (c_o, c_i, k) of the coefficients of the maps between the copies of two blocks, k for each pair."""
    numbers = np.arange(basis.dimension)
    rows, columns = _copies(basis.rep_out, o), _copies(basis.rep_in, i)
    found = []
    for block in basis.blocks:
        if block.irrep.key in rows and block.irrep.key in columns:
            part = numbers[block.slice].reshape(block.shape)
            places = part[rows[block.irrep.key][:, :, None, None], columns[block.irrep.key]]  # (c_o, p_o, c_i, p_i, s)
            found.append(places.transpose(0, 2, 1, 3, 4).reshape(*places.shape[:3:2], -1))
    return np.concatenate(found, axis=-1)


def _copies(rep: Representation, number: int) -> dict[tuple[int, ...], np.ndarray]:
    """By the key of an irrep: the numbers (c, p) of its copies that come from a block."""
    numbers = {}
    for component in rep.isotypic:
        start = 0
        for source in component.sources:
            shape = rep.blocks[source.block].multiplicity, source.multiplicity
            if source.block == number:
                numbers[component.irrep.key] = start + np.arange(shape[0] * shape[1]).reshape(shape)
            start += shape[0] * shape[1]
    return numbers


def _factor(basis: HomBasis, o: int, i: int) -> np.ndarray:
    r"""F (k, n_i): the first row of the maps between one copy of each of two blocks, for every coefficient."""
    target, source = basis.rep_out.blocks[o], basis.rep_in.blocks[i]
    first, Q = _by_irrep(target, target.basis[:1]), _by_irrep(source, source.basis)
    found = [
        np.einsum("pa,sab,jqb->pqsj", first[key][0], _units(block), Q[key]).reshape(-1, source.size)
        for block in basis.blocks
        if (key := block.irrep.key) in first and key in Q
    ]
    return np.concatenate(found)


def _units(block: HomBlock) -> np.ndarray:
    """E_s / √d (s, d, d), of norm 1."""
    return block.irrep.endomorphism_basis / np.sqrt(block.irrep.size)


def _by_irrep(block: Block, rows: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """Columns (rows, p, d) of a block's basis by the key of their irrep."""
    return {p.irrep.key: rows[:, p.columns].reshape(len(rows), p.multiplicity, p.irrep.size) for p in block.parts}


def _moves(rep: Representation) -> np.ndarray:
    """Where the generators move each coordinate, (k, D)."""
    moves = np.empty((len(rep.blocks[0].action.generators), rep.size), dtype=np.int64)
    for block in rep.blocks:
        moves[:, block.indices] = block.indices[:, block.action.generators.argmax(axis=1)].transpose(1, 0, 2)
    return moves


def _moved(block: Block, moves: np.ndarray) -> np.ndarray:
    """Where an element that moves a block's first coordinate to each of them moves all those of the input, (n, D)."""
    ours = block.action.generators.argmax(axis=1)
    moved = {0: np.arange(moves.shape[1])}
    reached = [0]
    for i in reached:
        for generator, to in enumerate(ours[:, i]):
            if to not in moved:
                moved[to] = moves[generator][moved[i]]
                reached.append(to)
    return np.stack([moved[i] for i in range(block.size)])
