"""Equivariant maps between permutation representations: every row is another one, reordered."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from isospan.nn._constants import Constants, full_precision
from isospan.nn._gather import gather
from isospan.representations import HomBasis, Representation
from isospan.representations.blocks import Block


class PermutedMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), where the group permutes both sides.

    Since :math:`W_{gi, gj} = W_{ij}`, one row for each orbit of the output determines all the others. These rows are
    the product of the coefficients with one small matrix for each pair of orbits, F (coordinates of the orbit of the
    input, dimension of the maps between both), and a gather reorders them: nothing is scattered, in the gradient
    either. W is laid out in memory with the leading axes last, as the weight of a convolution is.

    Args:
        basis: of maps between permutation representations.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> PermutedMaps(HomBasis(regular, regular))(torch.tensor([1.0, 1.0])).round(decimals=4)
        tensor([[1., 0.],
                [0., 1.]])
    """

    order: Tensor
    numbers: Tensor
    places: Tensor

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        targets, sources = basis.rep_out.blocks, basis.rep_in.blocks
        pairs = [(o, i) for o in range(len(targets)) for i in range(len(sources))]
        orders = [_coefficients(basis, *pair) for pair in pairs]
        for number, pair in enumerate(pairs):
            self.register_constant(f"factor_{number}", _factor(basis, *pair))
        self._shape = basis.rep_out.size, basis.rep_in.size
        places = [_places(basis.rep_in, block) for block in targets]
        self._runs = [part.shape for part in places]
        self.register_constant("order", np.concatenate([order.ravel() for order in orders]))
        self.register_constant("numbers", _numbers(places))
        self.register_constant("places", np.concatenate([part.ravel() for part in places]))
        self._sizes = [order.size for order in orders]

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        leading = coefficients.shape[:-1]
        parts = coefficients.reshape(-1, len(self.order)).index_select(1, self.order).split(self._sizes, dim=1)
        with full_precision(coefficients):
            rows = [self._rows(part, number) for number, part in enumerate(parts)]
        values = rows[0] if len(rows) == 1 else torch.cat(rows)
        return gather(values, self.numbers, self.places, self._runs).T.view(*leading, *self._shape)

    def _rows(self, coefficients: Tensor, number: int) -> Tensor:
        """Entries (n_i c_o c_i, N) of the first row of every copy, of coefficients (N, k c_o c_i) of a pair."""
        factor = getattr(self, f"factor_{number}").to(coefficients.dtype)
        k = factor.shape[1]
        columns = coefficients.unflatten(1, (k, -1)).permute(1, 2, 0).flatten(1)
        return (factor @ columns).view(-1, len(coefficients))


def _coefficients(basis: HomBasis, o: int, i: int) -> np.ndarray:
    """Numbers (k, c_o, c_i) of the coefficients of the maps between the copies of two blocks, k for each pair."""
    numbers = np.arange(basis.dimension)
    rows, columns = _copies(basis.rep_out, o), _copies(basis.rep_in, i)
    found = []
    for block in basis.blocks:
        if block.irrep.key in rows and block.irrep.key in columns:
            part = numbers[block.slice].reshape(block.shape)
            places = part[rows[block.irrep.key][:, :, None, None], columns[block.irrep.key]]  # (c_o, p_o, c_i, p_i, s)
            found.append(places.transpose(1, 3, 4, 0, 2).reshape(-1, *places.shape[:3:2]))
    return np.concatenate(found)


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
    r"""F (n_i, k): the first row of the maps between one copy of each of two blocks, for every coefficient."""
    target, source = basis.rep_out.blocks[o], basis.rep_in.blocks[i]
    first, Q = _by_irrep(target, target.basis[:1]), _by_irrep(source, source.basis)
    found = [
        np.einsum("pa,sab,jqb->jpqs", first[key][0], block.units, Q[key]).reshape(source.size, -1)
        for block in basis.blocks
        if (key := block.irrep.key) in first and key in Q
    ]
    return np.concatenate(found, axis=1)


def _by_irrep(block: Block, rows: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """Columns (rows, p, d) of a block's basis by the key of their irrep."""
    return {p.irrep.key: rows[:, p.columns].reshape(len(rows), p.multiplicity, p.irrep.size) for p in block.parts}


def _places(rep_in: Representation, block: Block) -> np.ndarray:
    """Places (n, c D_in) in the weight, flat, of the entries of the first row of every copy of a block."""
    rows = (block.indices.T * rep_in.size).astype(np.int32)[:, None, :, None]
    columns = _moved(block, _moves(rep_in)).astype(np.int32)
    parts = [rows + columns[:, other.indices.T][:, :, None, :] for other in rep_in.blocks]  # (n, n_i, c, c_i)
    return np.concatenate([part.reshape(block.size, -1) for part in parts], axis=1)


def _numbers(places: Sequence[np.ndarray]) -> np.ndarray:
    """Number of the entry of the rows that stands at each place."""
    numbers, start = np.empty(sum(part.size for part in places), dtype=np.int32), 0
    for part in places:
        numbers[part] = np.arange(start, start := start + part.shape[1], dtype=np.int32)
    return numbers


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
