"""Equivariant maps of few channels, as one product of several small groups of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._constants import Constants
from isospan.nn._some_maps import basis_of_maps
from isospan.representations import HomBasis, HomBlock, Representation
from isospan.representations._endomorphisms import QUATERNION

WIDTH = 8
"""Of what groups have a multiple of channels: numbers that a processor takes at once."""
CHANNELS = 32
"""Channels, in and out, from which groups outweigh the change of basis, on a CPU."""
FEW, OF_CHANGE = 0.85, 1.5
"""Part of the dense operations up to which those of the groups are the faster ones, on a CPU, and what one operation of
the change of basis counts, whose matrices are smaller."""

Product = Callable[..., Tensor]
"""Signals (B, n_out, T') of signals (B, n_in, T), maps (N, n_out, n_in / groups), and the number of groups."""


class Part(NamedTuple):
    """A block of a map in the spectral bases: its coordinates, and where in the map of one irrep it stands."""

    irrep: HomBlock
    rows: np.ndarray
    columns: np.ndarray
    of: tuple[np.ndarray, np.ndarray]


class Layout(NamedTuple):
    """Parts in groups of equal shape (n_out, n_in)."""

    groups: list[list[Part]]
    shape: tuple[int, int]


class GroupedMaps(Constants):
    r"""A linear map of signals whose taps are equivariant, with the coefficients (..., dimension) of :class:`HomBasis`.

    In the spectral bases an irrep acts on real numbers, complex numbers or quaternions, and a tap has a block for each.
    Where these are small, several share a group, and one product of all groups takes the place of one for each. The
    change of basis on either side is one product too, which sorts the coordinates by groups; those that fill a group up
    are zero.

    Called on coefficients it makes the dense map W (..., n_out, n_in).

    Args:
        rep_in: how the group acts on what W maps.
        rep_out: how it acts on what W maps to.

    Attributes:
        basis: of the maps.
        dimension: number of coefficients.

    Raises:
        GroupMismatchError, RepresentationError: as for :class:`EquivariantMaps`.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> GroupedMaps(regular, regular)(torch.tensor([1.0, 1.0])).round(decimals=4) + 0.0
        tensor([[1., 0.],
                [0., 1.]])
    """

    source: Tensor
    target: Tensor
    numbers: Tensor
    factors: Tensor

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__()
        self.basis = basis_of_maps(rep_in, rep_out)
        self.dimension = self.basis.dimension
        layout = _layout(_parts(self.basis))
        self._groups, self._shape = len(layout.groups), layout.shape
        target, source = (_change(rep, layout, side) for side, rep in enumerate((rep_out, rep_in)))
        self.register_constant("source", source)
        self.register_constant("target", target)
        numbers, factors = _entries(layout)
        self.register_indices("numbers", numbers)
        self.register_constant("factors", factors)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        with full_precision(coefficients):
            maps = self._maps(coefficients.reshape(-1, self.dimension)).unflatten(1, (self._groups, -1))
            source, target = (Q.to(maps.dtype).unflatten(1, (self._groups, -1)) for Q in (self.source, self.target))
            W = torch.einsum("pgo,ngoi,qgi->npq", target, maps, source)
        return W.reshape(*coefficients.shape[:-1], *W.shape[1:])

    def image(self, x: Tensor, coefficients: Tensor, product: Product) -> Tensor:
        """Return y (B, n_out, T') of x (B, n_in, T), where ``product`` applies maps (N, rows, columns) to signals."""
        with full_precision(x):
            z = (x.mT @ self.source.to(x.dtype)).mT  # channels side by side in memory, as products of groups take them
            maps = self._maps(coefficients)
        y = product(z, maps, self._groups)
        with full_precision(x):
            return self.target.to(y.dtype) @ y

    def _maps(self, taps: Tensor) -> Tensor:
        """The maps (N, n_out, n_in / groups) of all groups."""
        entries = taps.gather(1, self.numbers.long().expand(len(taps), -1))
        return (entries * self.factors.to(taps.dtype)).unflatten(1, (-1, self._shape[1]))


def saves_time(rep_in: Representation, rep_out: Representation, *, taps: int, stride: int) -> bool:
    """Whether products of groups, with the change of basis, take less time than dense ones of as many taps.

    For each entry of the output, ``stride`` of the input change their basis.
    """
    most = FEW * taps * rep_out.size * rep_in.size
    if min(rep_in.size, rep_out.size) < CHANNELS or OF_CHANGE * (rep_out.size**2 + stride * rep_in.size**2) > most:
        return False
    basis = HomBasis(rep_in, rep_out)
    if basis.dimension == 0:
        return False
    layout = _layout(_parts(basis))
    n_out, n_in = (len(layout.groups) * n for n in layout.shape)
    change = OF_CHANGE * (n_out * rep_out.size + stride * n_in * rep_in.size)
    return taps * n_out * layout.shape[1] + change <= most


def _parts(basis: HomBasis) -> list[Part]:
    """The blocks of the maps: for an irrep one for each of the d / s numbers that it acts on."""
    parts = []
    for block in basis.blocks:
        d, (m_out, m_in, s) = block.irrep.size, block.shape
        places = [np.arange(m * d).reshape(m, d) for m in (m_out, m_in)]
        chosen = [[p[:, a : a + s].ravel() for p in places] for a in range(0, d, s)]
        rows, columns = block.target.slice.start, block.source.slice.start
        parts += [Part(block, rows + o, columns + i, (o, i)) for o, i in chosen]
    return parts


def _layout(parts: Sequence[Part]) -> Layout:
    """Each part, the largest first, in the first group that has room."""
    sizes = [(len(part.rows), len(part.columns)) for part in parts]
    n_out, n_in = (-(-max(side) // WIDTH) * WIDTH for side in zip(*sizes, strict=True))
    groups: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: -len(part.rows) * len(part.columns)):
        group = next((group for group in groups if _fits([*group, part], n_out, n_in)), None)
        if group is None:
            groups.append([part])
        else:
            group.append(part)
    return Layout(groups, (n_out, n_in))


def _fits(parts: Sequence[Part], n_out: int, n_in: int) -> bool:
    return sum(len(part.rows) for part in parts) <= n_out and sum(len(part.columns) for part in parts) <= n_in


def _change(rep: Representation, layout: Layout, side: int) -> np.ndarray:
    """Columns (D, groups n) of the change of basis, in the order of the groups; zero where a group has none."""
    Q = np.zeros((rep.size, len(layout.groups), layout.shape[side]))
    for number, group in enumerate(layout.groups):
        coordinates = np.concatenate([part.columns if side else part.rows for part in group])
        Q[:, number, : len(coordinates)] = rep.change_of_basis[:, coordinates]
    return Q.reshape(rep.size, -1)


def _entries(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Which coefficient stands at each entry of the groups, and times what."""
    numbers = np.zeros((len(layout.groups), *layout.shape), dtype=np.int64)
    factors = np.zeros(numbers.shape)
    for number, group in enumerate(layout.groups):
        row = column = 0
        for part in group:
            ours = np.s_[number, row : row + len(part.rows), column : column + len(part.columns)]
            numbers[ours], factors[ours] = _coefficients(part)
            row, column = row + len(part.rows), column + len(part.columns)
    return numbers.ravel(), factors.ravel()


def _coefficients(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The coefficient of each entry (rows, columns) of a part, whose rows and columns belong to one number each."""
    block, (o, i) = part.irrep, np.ix_(*part.of)
    d, s = block.irrep.size, block.shape[2]
    numbers, entries = np.arange(block.slice.start, block.slice.stop).reshape(block.shape), QUATERNION[o % s, i % s]
    return numbers[o // d, i // d, abs(entries) - 1], np.sign(entries) / np.sqrt(d)
