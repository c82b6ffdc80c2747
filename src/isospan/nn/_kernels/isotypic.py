"""Equivariant maps of signals, computed by one matrix product for every irrep."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._base.components import scalar_matrix
from isospan.nn._base.layer import Constants, joined, ordered
from isospan.nn._kernels.kernel import Kernel, Product, basis_of_maps, have_one_basis
from isospan.representations import HomBlock, Representation, Source


class Rows(NamedTuple):
    """The rows of a block's transformed coordinates that belong to one irrep, its dimensions before its copies."""

    block: int
    start: int
    stop: int
    dim: int
    multiplicity: int


class IsotypicTransform(Constants):
    r"""The change from signals (B, D, T) to a tensor (d, m, B, T) for each irrep of dimension d and multiplicity m.

    One product with the orthogonal basis of a block serves all copies of the block, samples and times. The components
    are contiguous in memory.

    Args:
        rep: representation of the D channels.

    Attributes:
        copy_order: for every irrep, the indices (m,) in ``rep.isotypic`` of the copies in the order of the components.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> components = IsotypicTransform(2 * CyclicGroup(3).regular_representation)
        >>> [tuple(component.shape) for component in components(torch.zeros(5, 6, 10))]
        [(1, 2, 5, 10), (2, 2, 5, 10)]
    """

    order: Tensor | None
    order_back: Tensor | None

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        order, bases, self._rows = rep.derived(_layout)
        self.register_order("order", order)
        self.register_order("order_back", np.argsort(order))
        self._sizes = [(block.size, block.multiplicity) for block in rep.blocks]
        for number, basis in enumerate(bases):
            self.register_constant(f"basis_{number}", basis)
        self.copy_order = [
            _copies([(rep.blocks[s.block].multiplicity, s.multiplicity) for s in c.sources]) for c in rep.isotypic
        ]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the components (d, m, B, T), in the order of ``rep.isotypic``."""
        samples, _, length = x.shape
        h = ordered(x.transpose(0, 1), self.order, dim=0)
        parts = h.split([n * c for n, c in self._sizes])
        z = [
            self._basis(number, x).mT @ part.reshape(n, c * samples * length)
            for number, (part, (n, c)) in enumerate(zip(parts, self._sizes, strict=True))
        ]
        return [
            joined([z[r.block][r.start : r.stop].view(r.dim, r.multiplicity, samples, length) for r in rows], dim=1)
            for rows in self._rows
        ]

    def inverse(self, components: Sequence[Tensor]) -> Tensor:
        """Return the signals (B, D, T) of their components."""
        samples, length = components[0].shape[2:]
        parts: list[list[Tensor]] = [[] for _ in self._sizes]
        for component, rows in zip(components, self._rows, strict=True):
            for r, part in zip(rows, component.split([r.multiplicity for r in rows], dim=1), strict=True):
                columns = self._sizes[r.block][1] * samples * length
                parts[r.block].append(part.reshape(r.stop - r.start, columns))
        h = [self._basis(number, part[0]) @ torch.cat(part) for number, part in enumerate(parts)]
        h = joined([part.view(n * c, samples, length) for part, (n, c) in zip(h, self._sizes, strict=True)], dim=0)
        return ordered(h, self.order_back, dim=0).transpose(0, 1).contiguous()

    def _basis(self, number: int, like: Tensor) -> Tensor:
        return getattr(self, f"basis_{number}").to(like.dtype)


def _layout(rep: Representation) -> tuple[np.ndarray, list[np.ndarray], list[list[Rows]]]:
    """Order of the coordinates (D,), bases (n, n) of the blocks with columns by dimension, and rows of the irreps."""
    columns: list[list[np.ndarray]] = [[] for _ in rep.blocks]
    rows: list[list[Rows]] = []
    for component in rep.isotypic:
        rows.append([])
        for source in component.sources:
            start = sum(map(len, columns[source.block]))
            columns[source.block].append(_dimensions_first(source, component.irrep.size))
            stop = sum(map(len, columns[source.block]))
            copies = source.multiplicity * rep.blocks[source.block].multiplicity
            rows[-1].append(Rows(source.block, start, stop, component.irrep.size, copies))
    order = np.concatenate([block.indices.T.ravel() for block in rep.blocks])
    return order, [b.basis[:, np.concatenate(chosen)] for b, chosen in zip(rep.blocks, columns, strict=True)], rows


def _dimensions_first(source: Source, dim: int) -> np.ndarray:
    """The columns of a block's basis that belong to an irrep, by dimension and then by copy."""
    return np.arange(source.columns.start, source.columns.stop).reshape(source.multiplicity, dim).T.ravel()


def _copies(shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Indices of copies that are ordered (c, p) in every block, in the order (p, c)."""
    indices = np.arange(sum(c * p for c, p in shapes))
    parts = np.split(indices, np.cumsum([c * p for c, p in shapes])[:-1])
    return np.concatenate([part.reshape(shape).T.ravel() for part, shape in zip(parts, shapes, strict=True)])


class Shared(NamedTuple):
    """An irrep of both sides: its index on each, its dimension, and the shape (m_out, m_in, s) of coefficients."""

    target: int
    source: int
    dim: int
    shape: tuple[int, int, int]


class Isotypic(Kernel):
    r"""The kernel that multiplies irrep by irrep, in the isotypic components of the input and of the output.

    In the symmetry-adapted bases the map is :math:`\bigoplus_\sigma \sum_s C^\sigma_s \otimes E_s / \sqrt{d_\sigma}`.
    The d dimensions of an irrep are d / s real, complex or quaternionic scalars, and the same C acts on each of
    them, as on more samples. So an irrep takes s / d of the multiplications of a dense product of its features. No
    dense weight is expanded.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> kernel, coefficients = Isotypic(regular, regular), torch.tensor([1.0, 1.0])
        >>> kernel(torch.tensor([[[1.0], [2.0]]]), coefficients, lambda x, W: W @ x).round(decimals=4)
        tensor([[[1.],
                 [2.]]])
        >>> kernel.expand(coefficients).round(decimals=4)
        tensor([[1., 0.],
                [0., 1.]])
    """

    order: Tensor | None

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__(basis_of_maps(rep_in, rep_out))
        self._sizes = rep_out.size, rep_in.size
        self.source = IsotypicTransform(rep_in)
        # a functional call swaps a module with two names twice, and restores it once
        self.target = None if have_one_basis(rep_in, rep_out) else IsotypicTransform(rep_out)
        self._shared, self._dims = [], [(c.irrep.size, c.multiplicity) for c in rep_out.isotypic]
        copies = []
        for block in self.basis.blocks:
            target, source = rep_out.isotypic.index(block.target), rep_in.isotypic.index(block.source)
            self._shared.append(Shared(target, source, block.irrep.size, block.shape))
            copies.append((self._target.copy_order[target], self.source.copy_order[source]))
        if all((np.diff(numbers) == 1).all() for pair in copies for numbers in pair):
            self.order = None
        else:
            self.register_order("order", _order(self.basis.blocks, copies))

    def expand(self, coefficients: Tensor) -> Tensor:
        """W (..., n_out, n_in), the image of the identity."""
        positions = coefficients.reshape(-1, self.dimension)
        identity = torch.eye(self._sizes[1], dtype=positions.dtype, device=positions.device)
        W = self(identity.expand(len(positions), -1, -1), positions, _each_position)
        return W.view(*coefficients.shape[:-1], *self._sizes)

    def forward(self, x: Tensor, coefficients: Tensor, product: Product) -> Tensor:
        """Return y (B, n_out, T') of x (B, n_in, T), where ``product`` applies maps (..., rows, columns) to signals."""
        with full_precision(x):
            components = self.source(x)
            weights = self._weights(coefficients)
        found = {
            shared.target: _applied(product, components[shared.source], weight)
            for shared, weight in zip(self._shared, weights, strict=True)
        }
        some = next(iter(found.values()))
        images = [
            found[i] if i in found else some.new_zeros(d, m, *some.shape[2:]) for i, (d, m) in enumerate(self._dims)
        ]
        with full_precision(x):
            return self._target.inverse(images)

    @property
    def _target(self) -> IsotypicTransform:
        return self.source if self.target is None else self.target

    def _weights(self, coefficients: Tensor) -> list[Tensor]:
        """Maps (..., s m_out, s m_in) of every irrep."""
        parts = ordered(coefficients, self.order, dim=-1).split([prod(shared.shape) for shared in self._shared], dim=-1)
        return [_weight(part, shared) for part, shared in zip(parts, self._shared, strict=True)]


def _weight(coefficients: Tensor, shared: Shared) -> Tensor:
    """The real matrix (..., s m_out, s m_in) of a map between scalars with s coordinates."""
    return scalar_matrix(coefficients.unflatten(-1, shared.shape) * shared.dim**-0.5)


def _applied(product: Product, component: Tensor, weight: Tensor) -> Tensor:
    """The image (d, m_out, B, T') of a component (d, m_in, B, T)."""
    d, m, samples, length = component.shape
    rows, columns = weight.shape[-2:]
    repeats = d * m // columns
    signals = component.view(repeats, columns, samples, length).transpose(1, 2).flatten(0, 1)
    image = product(signals, weight).unflatten(0, (repeats, samples)).transpose(1, 2)
    return image.reshape(d, repeats * rows // d, samples, image.shape[-1])


def _each_position(components: Tensor, maps: Tensor) -> Tensor:
    """Products (repeats N, rows, T) of components (repeats N, columns, T) with N maps: component i with map i mod N."""
    return (maps @ components.unflatten(0, (-1, len(maps)))).flatten(0, 1)


def _order(blocks: Sequence[HomBlock], copies: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Indices (dimension,) of the coefficients in the order of the copies on both sides."""
    indices = [np.arange(block.slice.start, block.slice.stop).reshape(block.shape) for block in blocks]
    return np.concatenate([part[np.ix_(*pair)].ravel() for part, pair in zip(indices, copies, strict=True)])
