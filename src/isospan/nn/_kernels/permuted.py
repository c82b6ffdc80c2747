"""Equivariant maps between permutation representations: all rows are permutations of a few."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._base.layer import Constants, joined
from isospan.representations import Block, HomBasis, HomBlock, Representation


class Orbit(NamedTuple):
    """One block of the output: how its rows follow from coefficients.

    Attributes:
        multiplicity: number of copies of the block.
        counts: number of coefficients for each block of the input.
        index: name of the buffer that permutes the entries of the first row.
        factors: name of the factor F for each block of the input.
    """

    multiplicity: int
    counts: list[int]
    index: str
    factors: list[str]


class PermutedMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), where the group permutes both sides.

    Since :math:`W_{gi, gj} = W_{ij}`, one row of each orbit of the output determines all others. These first rows are
    products of the coefficients with a small matrix F for each pair of orbits, of shape (dimension of the maps between
    both, coordinates of the orbit of the input). Each other row is a permutation of a first row, and one index serves
    all copies of an orbit. In memory, W is (n_out, ..., n_in): leading axes follow the rows.

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
        coordinates, images = basis.rep_in.block_order, _generator_images(basis.rep_in)
        self._orbits: list[Orbit] = []
        for o, block in enumerate(targets):
            names = [f"factor_{i}_of_{o}" for i in range(len(sources))]
            for i, name in enumerate(names):
                self.register_constant(name, _factor(basis, o, i))
            permutations = _permutations(block, images)[np.argsort(block.indices[0])][:, coordinates]
            self.register_indices(f"index_of_{o}", np.argsort(permutations, axis=1)[:, None])
            ours = counts[o * len(sources) : (o + 1) * len(sources)]
            self._orbits.append(Orbit(block.multiplicity, ours, f"index_of_{o}", names))

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
        """Rows (c_o n, N, n_in) of all copies of an orbit, from coefficients (N, m)."""
        buffers: dict[str, Any] = self._buffers  # attribute access looks here last
        factors = [buffers[name].to(c.dtype) for name in orbit.factors]
        products = [part.reshape(-1, len(F)) @ F for part, F in zip(_split(c, orbit.counts), factors, strict=True)]
        first = joined([product.view(len(c), orbit.multiplicity, 1, -1) for product in products], dim=3)
        index = buffers[orbit.index].long()
        shape = orbit.multiplicity, len(index), len(c), index.shape[2]
        return first.permute(1, 2, 0, 3).expand(shape).gather(3, index.expand(shape)).flatten(0, 1)


def _split(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    return [x] if len(sizes) == 1 else x.split(list(sizes), 1)


def _sorted(block: Block) -> np.ndarray:
    """The coordinates (c, n) of the copies of a block, in the order that sorts those of the first copy."""
    return block.indices[:, np.argsort(block.indices[0])]


def _coefficients(basis: HomBasis, o: int, i: int) -> np.ndarray:
    """Indices (c_o, c_i, k) of the coefficients of the maps between the copies of two blocks, k for each pair."""
    indices = np.arange(basis.dimension)
    rows, columns = _copy_indices(basis.rep_out, o), _copy_indices(basis.rep_in, i)
    found = []
    for block in basis.blocks:
        if block.irrep.key in rows and block.irrep.key in columns:
            part = indices[block.slice].reshape(block.shape)
            of_blocks = part[
                rows[block.irrep.key][:, :, None, None], columns[block.irrep.key]
            ]  # (c_o, p_o, c_i, p_i, s)
            found.append(of_blocks.transpose(0, 2, 1, 3, 4).reshape(*of_blocks.shape[:3:2], -1))
    return np.concatenate(found, axis=-1)


def _copy_indices(rep: Representation, number: int) -> dict[tuple[int, ...], np.ndarray]:
    """Indices (c, p) of the copies of each irrep, by its key, that come from one block."""
    indices = {}
    for component in rep.isotypic:
        start = 0
        for source in component.sources:
            shape = rep.blocks[source.block].multiplicity, source.multiplicity
            if source.block == number:
                indices[component.irrep.key] = start + np.arange(shape[0] * shape[1]).reshape(shape)
            start += shape[0] * shape[1]
    return indices


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


def _generator_images(rep: Representation) -> np.ndarray:
    """The coordinate to which each generator maps each coordinate of a permutation representation, (k, D)."""
    images = np.empty((len(rep.blocks[0].action.generators), rep.size), dtype=np.int64)
    for block in rep.blocks:
        images[:, block.indices] = block.indices[:, block.action.generators.argmax(axis=1)].transpose(1, 0, 2)
    return images


def _permutations(block: Block, images: np.ndarray) -> np.ndarray:
    """Permutations (n, D) of the input by elements g_i that map the first coordinate of a block to coordinate i."""
    own_images = block.action.generators.argmax(axis=1)
    found = {0: np.arange(images.shape[1])}
    reached = [0]
    for i in reached:
        for generator, j in enumerate(own_images[:, i]):
            if j not in found:
                found[j] = images[generator][found[i]]
                reached.append(j)
    return np.stack([found[i] for i in range(block.size)])
