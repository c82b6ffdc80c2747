"""Equivariant maps between permutation representations: every row is another one, reordered."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from torch import Tensor

from isospan.nn._constants import Constants, full_precision
from isospan.nn._linear_function import joined, linear_function
from isospan.representations import HomBasis, Representation
from isospan.representations.blocks import Block

Order = Tensor | None


class Shape(NamedTuple):
    """Copies of every block of the output and of the input."""

    copies_out: tuple[int, ...]
    copies_in: tuple[int, ...]


class Orbit(NamedTuple):
    """A block of the output: its copies, those of the blocks of the input, and what takes first rows to all."""

    copies: int
    copies_in: tuple[int, ...]
    moved_from: Tensor  # which entry of the first row stands at each place of each row, (n n_in,)
    moved: Tensor  # at which place of each row the entries of the first stand, (n, n_in)
    starts: Tensor  # of the rows, (n, 1)
    factors: Sequence[Tensor]


class PermutedMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), where the group permutes both sides.

    Since :math:`W_{gi, gj} = W_{ij}`, one row for each orbit of the output determines all the others. These rows are
    the product of the coefficients with one small matrix for each pair of orbits, F (dimension of the maps between
    both, coordinates of the orbit of the input). Then each row is another one with its entries moved: two tables say
    where, from and to, for all copies of an orbit at once. Nothing is scattered, in the gradient either. W is laid out
    in memory with the leading axes last, as the weight of a convolution is.

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

    order: Order
    rows: Order
    rows_back: Order

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        targets, sources = basis.rep_out.blocks, basis.rep_in.blocks
        copies = [tuple(block.copies for block in blocks) for blocks in (targets, sources)]
        self._sizes, self._shape = (basis.rep_out.size, basis.rep_in.size), Shape(*copies)
        orders = [_coefficients(basis, o, i).ravel() for o in range(len(targets)) for i in range(len(sources))]
        self.register_order("order", np.concatenate(orders))
        rows = _coordinates(basis.rep_out)
        self.register_order("rows", np.argsort(rows))
        self.register_order("rows_back", rows)
        coordinates, moves = _coordinates(basis.rep_in), _moves(basis.rep_in)
        short = np.int16 if basis.rep_in.size < 2**15 else np.int32  # indices of 32 bits would outweigh small maps
        self._names: list[str] = []
        for o, block in enumerate(targets):
            moved = np.ascontiguousarray(_moved(block, moves)[:, coordinates])
            constants = {"moved_from": np.argsort(moved, axis=1).ravel().astype(short), "moved": moved.astype(short)}
            constants["starts"] = np.arange(0, moved.size, basis.rep_in.size, dtype=np.int32)[:, None]
            constants |= {f"factor_{i}": _factor(basis, o, i) for i in range(len(sources))}
            for name, values in constants.items():
                self.register_constant(f"{name}_of_{o}", values)
            self._names += [f"{name}_of_{o}" for name in constants]

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        is_flat = coefficients.dim() == 2
        taps = coefficients if is_flat else coefficients.reshape(-1, coefficients.shape[-1])
        tensors = [getattr(self, name) for name in self._names]
        tensors = [t.to(taps.dtype) if t.is_floating_point() else t for t in tensors]
        orders = self.order, self.rows, self.rows_back
        with full_precision(taps):
            W = linear_function(taps, _maps, _maps_back, self._shape, *orders, *tensors)
        return W if is_flat else W.view(*coefficients.shape[:-1], *self._sizes)


def _maps(c: Tensor, shape: Shape, order: Order, rows: Order, rows_back: Order, *tensors: Tensor) -> Tensor:
    """W (N, n_out, n_in) of coefficients (N, dimension)."""
    c = c if order is None else c.index_select(1, order)
    orbits = _by_orbit(shape, tensors)
    parts = _split(c, [sum(map(prod, _sizes(orbit))) for orbit in orbits], dim=1)
    W = joined([_rows(part, orbit) for part, orbit in zip(parts, orbits, strict=True)], dim=0)
    return (W if rows is None else W.index_select(0, rows)).permute(2, 0, 1)


def _maps_back(W: Tensor, shape: Shape, order: Order, rows: Order, rows_back: Order, *tensors: Tensor) -> Tensor:
    """The coefficients (N, dimension) that the adjoint makes of W (N, n_out, n_in)."""
    W = W.permute(1, 2, 0)
    W = W if rows_back is None else W.index_select(0, rows_back)
    orbits = _by_orbit(shape, tensors)
    parts = _split(W, [orbit.copies * len(orbit.moved) for orbit in orbits], dim=0)
    c = joined([_rows_back(part, orbit) for part, orbit in zip(parts, orbits, strict=True)], dim=1)
    return c if order is None else c.index_copy(1, order.long(), c)


def _by_orbit(shape: Shape, tensors: Sequence[Tensor]) -> list[Orbit]:
    size = len(tensors) // len(shape.copies_out)
    parts = [tensors[start : start + size] for start in range(0, len(tensors), size)]
    return [
        Orbit(copies, shape.copies_in, part[0], part[1], part[2], part[3:])
        for copies, part in zip(shape.copies_out, parts, strict=True)
    ]


def _sizes(orbit: Orbit) -> list[tuple[int, int, int]]:
    """Of the coefficients (c_o, c_i, k) of the maps from every block."""
    return [(orbit.copies, n, len(F)) for n, F in zip(orbit.copies_in, orbit.factors, strict=True)]


def _rows(c: Tensor, orbit: Orbit) -> Tensor:
    """Rows (c_o n, n_in, N) of all copies of an orbit, of its coefficients (N, m)."""
    parts = _split(c, [prod(size) for size in _sizes(orbit)], dim=1)
    products = [part.reshape(-1, len(F)) @ F for part, F in zip(parts, orbit.factors, strict=True)]
    first = joined([product.view(len(c), orbit.copies, -1) for product in products], dim=2)
    rows = first.permute(1, 2, 0).index_select(1, orbit.moved_from.int())
    return rows.view(-1, first.shape[2], len(c))


def _rows_back(W: Tensor, orbit: Orbit) -> Tensor:
    """The adjoint: coefficients (N, m) of rows (c_o n, n_in, N)."""
    entries = W.reshape(orbit.copies, orbit.moved.numel(), -1).index_select(1, (orbit.moved + orbit.starts).view(-1))
    first = entries.view(orbit.copies, *orbit.moved.shape, -1).sum(1).permute(2, 0, 1)
    parts = _split(first, [n * F.shape[1] for n, F in zip(orbit.copies_in, orbit.factors, strict=True)], dim=2)
    products = [part.reshape(-1, F.shape[1]) @ F.mT for part, F in zip(parts, orbit.factors, strict=True)]
    return joined([product.view(len(first), -1) for product in products], dim=1)


def _split(x: Tensor, sizes: Sequence[int], *, dim: int) -> Sequence[Tensor]:
    return [x] if len(sizes) == 1 else x.split(list(sizes), dim)


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
            shape = rep.blocks[source.block].copies, source.multiplicity
            if source.block == number:
                numbers[component.irrep.key] = start + np.arange(shape[0] * shape[1]).reshape(shape)
            start += shape[0] * shape[1]
    return numbers


def _factor(basis: HomBasis, o: int, i: int) -> np.ndarray:
    r"""F (k, n_i): the first row of the maps between one copy of each of two blocks, for every coefficient."""
    target, source = basis.rep_out.blocks[o], basis.rep_in.blocks[i]
    first, Q = _by_irrep(target, target.basis[:1]), _by_irrep(source, source.basis)
    found = [
        np.einsum("pa,sab,jqb->pqsj", first[key][0], block.units, Q[key]).reshape(-1, source.size)
        for block in basis.blocks
        if (key := block.irrep.key) in first and key in Q
    ]
    return np.concatenate(found)


def _by_irrep(block: Block, rows: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """Columns (rows, p, d) of a block's basis by the key of their irrep."""
    return {p.irrep.key: rows[:, p.columns].reshape(len(rows), p.multiplicity, p.irrep.size) for p in block.parts}


def _coordinates(rep: Representation) -> np.ndarray:
    """The coordinates (D,) of all blocks, copy by copy."""
    return np.concatenate([block.indices.ravel() for block in rep.blocks])


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
