"""Equivariant maps of signals, one product for every irrep."""

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.nn._constants import Constants, full_precision
from isospan.nn._linear_function import picked
from isospan.nn.isotypic_pieces import IsotypicPieces
from isospan.representations import HomBasis
from isospan.representations.hom_basis import HomBlock

WIDE = 128
"""Channels, in and out, from which smaller products outweigh that there are several of them, on a CPU."""
FEW = 0.7
"""Part of the dense operations up to which the products of the irreps are the faster ones."""

Product = Callable[[Tensor, Tensor], Tensor]
"""Signals (B, n_out, T') of signals (B, n_in, T) and maps (..., n_out, n_in)."""


class Shared(NamedTuple):
    """An irrep that both sides share: its number on both, and the shape (m_out, m_in, s) of its coefficients."""

    target: int
    source: int
    dim: int
    shape: tuple[int, int, int]


class IsotypicMaps(Constants):
    r"""A linear map of signals whose taps are equivariant, with the coefficients (..., dimension) of :class:`HomBasis`.

    In the spectral bases the taps are :math:`\bigoplus_\sigma \sum_s C^\sigma_s \otimes E_s / \sqrt{d_\sigma}`. For an
    irrep of real type the same C acts on each of its d dimensions, which join the samples, so that it takes 1 / d of
    the operations of a dense product of its channels, and no dense weight is made.

    Args:
        basis: of the maps.

    Example:
        A single tap:

        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> maps, x = IsotypicMaps(HomBasis(regular, regular)), torch.tensor([[[1.0], [2.0]]])
        >>> maps(x, torch.tensor([1.0, 1.0]), lambda x, W: W @ x).round(decimals=4)
        tensor([[[1.],
                 [2.]]])
    """

    order: Tensor | None

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        self.source = IsotypicPieces.shared(basis.rep_in)
        # one module with two names would be swapped twice by functional calls, and put back once
        self.target = None if basis.rep_out == basis.rep_in else IsotypicPieces.shared(basis.rep_out)
        self._shared, self._dims = [], [(c.irrep.size, c.multiplicity) for c in basis.rep_out.isotypic]
        copies = []
        for number, block in enumerate(basis.blocks):
            target, source = basis.rep_out.isotypic.index(block.target), basis.rep_in.isotypic.index(block.source)
            self._shared.append(Shared(target, source, block.irrep.size, block.shape))
            copies.append((self._target.copies[target], self.source.copies[source]))
            self.register_constant(f"units_{number}", block.units)
        if all((np.diff(numbers) == 1).all() for pair in copies for numbers in pair):
            self.order = None
        else:
            self.register_order("order", _order(basis.blocks, copies))

    def forward(self, x: Tensor, coefficients: Tensor, product: Product) -> Tensor:
        """Return y (B, n_out, T') of x (B, n_in, T), where ``product`` applies maps (..., rows, columns) to signals."""
        with full_precision(x):
            pieces = self.source(x)
            weights = self._weights(coefficients)
        found = {
            shared.target: _applied(product, pieces[shared.source], weight)
            for shared, weight in zip(self._shared, weights, strict=True)
        }
        some = next(iter(found.values()))
        images = [
            found[i] if i in found else some.new_zeros(d, m, *some.shape[2:]) for i, (d, m) in enumerate(self._dims)
        ]
        with full_precision(x):
            return self._target.inverse(images)

    @property
    def _target(self) -> IsotypicPieces:
        return self.source if self.target is None else self.target

    def _weights(self, coefficients: Tensor) -> list[Tensor]:
        """Maps (..., m_out, m_in) of every irrep of real type, and (..., d m_out, d m_in) of every other."""
        parts = picked(coefficients, self.order).split([prod(shared.shape) for shared in self._shared], dim=-1)
        return [self._weight(part, number) for number, part in enumerate(parts)]

    def _weight(self, coefficients: Tensor, number: int) -> Tensor:
        dim, (m_out, m_in, s) = self._shared[number].dim, self._shared[number].shape
        if s == 1:
            return coefficients.unflatten(-1, (m_out, m_in)) * dim**-0.5
        units = getattr(self, f"units_{number}").to(coefficients.dtype)
        C = coefficients.unflatten(-1, (m_out, m_in, s))
        return torch.einsum("sab,...ois->...aobi", units, C).flatten(-4, -3).flatten(-2)


def _applied(product: Product, piece: Tensor, weight: Tensor) -> Tensor:
    """The image (d, m_out, B, T') of a piece (d, m_in, B, T)."""
    d, m, samples, length = piece.shape
    rows, columns = weight.shape[-2:]
    repeats = d * m // columns
    signals = piece.view(repeats, columns, samples, length).transpose(1, 2).flatten(0, 1)
    image = product(signals, weight).unflatten(0, (repeats, samples)).transpose(1, 2)
    return image.reshape(d, repeats * rows // d, samples, image.shape[-1])


def _order(blocks: Sequence[HomBlock], copies: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Numbers (dimension,) of the coefficients in the order of the copies on both sides."""
    numbers = [np.arange(block.slice.start, block.slice.stop).reshape(block.shape) for block in blocks]
    return np.concatenate([part[np.ix_(*pair)].ravel() for part, pair in zip(numbers, copies, strict=True)])


def saves_time(basis: HomBasis, *, taps: int) -> bool:
    """Whether products irrep by irrep, with the change of basis, take less time than dense ones of as many taps."""
    n_out, n_in = basis.rep_out.size, basis.rep_in.size
    operations = taps * sum(_operations(block) for block in basis.blocks)
    change = sum(block.indices.size * block.size for rep in (basis.rep_in, basis.rep_out) for block in rep.blocks)
    return min(n_in, n_out) >= WIDE and operations + change <= FEW * taps * n_out * n_in


def _operations(block: HomBlock) -> int:
    m_out, m_in, s = block.shape
    return m_out * m_in * block.irrep.size ** (1 if s == 1 else 2)
