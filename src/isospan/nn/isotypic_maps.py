"""Equivariant maps of signals, one product for every irrep."""

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._constants import Constants, basis_key
from isospan.nn._linear_function import picked
from isospan.nn._some_maps import basis_of_maps
from isospan.nn.isotypic_pieces import IsotypicPieces
from isospan.representations import HomBlock, IsotypicComponent, Representation
from isospan.representations._endomorphisms import left_multiplication

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

    In the spectral bases the taps are :math:`\bigoplus_\sigma \sum_s C^\sigma_s \otimes E_s / \sqrt{d_\sigma}`. The
    d dimensions of an irrep are d / s real numbers, complex numbers or quaternions, on each of which the same C acts.
    These join the samples, so that it takes s / d of the operations of a dense product of its channels, and no dense
    weight is made.

    Called on coefficients it makes the dense map W (..., n_out, n_in) after all, the image of the identity.

    Args:
        rep_in: how the group acts on what W maps.
        rep_out: how it acts on what W maps to.

    Attributes:
        basis: of the maps.
        dimension: number of coefficients.

    Raises:
        GroupMismatchError, RepresentationError: as for :class:`EquivariantMaps`.

    Example:
        A single tap:

        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> maps, coefficients = IsotypicMaps(regular, regular), torch.tensor([1.0, 1.0])
        >>> maps.image(torch.tensor([[[1.0], [2.0]]]), coefficients, lambda x, W: W @ x).round(decimals=4)
        tensor([[[1.],
                 [2.]]])
        >>> maps(coefficients).round(decimals=4)
        tensor([[1., 0.],
                [0., 1.]])
    """

    order: Tensor | None

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__()
        self.basis = basis = basis_of_maps(rep_in, rep_out)
        self.dimension = basis.dimension
        self._sizes = rep_out.size, rep_in.size
        self.source = IsotypicPieces.shared(rep_in)
        # one module with two names would be swapped twice by functional calls, and put back once
        self.target = None if basis_key(rep_out) == basis_key(rep_in) else IsotypicPieces.shared(rep_out)
        self._shared, self._dims = [], [(c.irrep.size, c.multiplicity) for c in rep_out.isotypic]
        copies = []
        for block in basis.blocks:
            target, source = rep_out.isotypic.index(block.target), rep_in.isotypic.index(block.source)
            self._shared.append(Shared(target, source, block.irrep.size, block.shape))
            copies.append((self._target.copies[target], self.source.copies[source]))
        if all((np.diff(numbers) == 1).all() for pair in copies for numbers in pair):
            self.order = None
        else:
            self.register_order("order", _order(basis.blocks, copies))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        taps = coefficients.reshape(-1, self.dimension)
        identity = torch.eye(self._sizes[1], dtype=taps.dtype, device=taps.device)
        W = self.image(identity.expand(len(taps), -1, -1), taps, _each_tap)
        return W.view(*coefficients.shape[:-1], *self._sizes)

    def image(self, x: Tensor, coefficients: Tensor, product: Product) -> Tensor:
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
        """Maps (..., s m_out, s m_in) of every irrep."""
        parts = picked(coefficients, self.order).split([prod(shared.shape) for shared in self._shared], dim=-1)
        return [_weight(part, shared) for part, shared in zip(parts, self._shared, strict=True)]


def _weight(coefficients: Tensor, shared: Shared) -> Tensor:
    """The map (..., s m_out, s m_in) between numbers of s coordinates, coordinates before copies."""
    C = coefficients.unflatten(-1, shared.shape) * shared.dim**-0.5
    if shared.shape[2] == 1:
        return C.squeeze(-1)
    return left_multiplication(C.unbind(-1)).movedim((0, 1), (-4, -2)).flatten(-4, -3).flatten(-2)


def _applied(product: Product, piece: Tensor, weight: Tensor) -> Tensor:
    """The image (d, m_out, B, T') of a piece (d, m_in, B, T)."""
    d, m, samples, length = piece.shape
    rows, columns = weight.shape[-2:]
    repeats = d * m // columns
    signals = piece.view(repeats, columns, samples, length).transpose(1, 2).flatten(0, 1)
    image = product(signals, weight).unflatten(0, (repeats, samples)).transpose(1, 2)
    return image.reshape(d, repeats * rows // d, samples, image.shape[-1])


def _each_tap(pieces: Tensor, maps: Tensor) -> Tensor:
    """Products (repeats N, rows, T) of pieces (repeats N, columns, T), where piece i has the map i modulo N."""
    return (maps @ pieces.unflatten(0, (-1, len(maps)))).flatten(0, 1)


def _order(blocks: Sequence[HomBlock], copies: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Numbers (dimension,) of the coefficients in the order of the copies on both sides."""
    numbers = [np.arange(block.slice.start, block.slice.stop).reshape(block.shape) for block in blocks]
    return np.concatenate([part[np.ix_(*pair)].ravel() for part, pair in zip(numbers, copies, strict=True)])


def saves_time(rep_in: Representation, rep_out: Representation, *, taps: int) -> bool:
    """Whether products irrep by irrep, with the change of basis, take less time than dense ones of as many taps."""
    if min(rep_in.size, rep_out.size) < WIDE:
        return False
    sources = {component.irrep.key: component for component in rep_in.isotypic}
    shared = [(target, sources[target.irrep.key]) for target in rep_out.isotypic if target.irrep.key in sources]
    operations = taps * sum(target.multiplicity * _operations(source) for target, source in shared)
    change = sum(block.indices.size * block.size for rep in (rep_in, rep_out) for block in rep.blocks)
    return operations + change <= FEW * taps * rep_out.size * rep_in.size


def _operations(source: IsotypicComponent) -> int:
    """Of one copy of the output, for all copies of the input."""
    return source.multiplicity * source.irrep.size * len(source.irrep.endomorphism_basis)
