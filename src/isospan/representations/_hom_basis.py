"""Bases of Hom_G, the space of equivariant maps between two representations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan._core.checks import check_floating
from isospan.errors import OptionError, ShapeError
from isospan.representations._endomorphisms import left_multiplication, left_multiplication_adjoint
from isospan.representations._irrep_basis import IrrepBasisTransform
from isospan.representations._isotypic import IsotypicComponent
from isospan.representations._representation import Irrep, Representation, check_same_group


@dataclass(frozen=True, eq=False)
class HomBlock:
    """The equivariant maps between copies of one irrep: coefficients ``slice``, of shape (m_out, m_in, s)."""

    irrep: Irrep
    source: IsotypicComponent[Irrep]
    target: IsotypicComponent[Irrep]
    slice: slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """Multiplicity out, multiplicity in, and the dimension s of the endomorphism algebra."""
        return self.target.multiplicity, self.source.multiplicity, len(self.irrep.endomorphism_basis)

    def __repr__(self) -> str:
        m_out, m_in, s = self.shape
        return f"HomBlock({self.irrep.name}, {m_out} x {m_in} x {s}, {self.slice.start}:{self.slice.stop})"


class Band(NamedTuple):
    """The rows of one isotypic component of the output, for a map in the irrep bases, as plain integers.

    Attributes:
        rows: number of rows.
        left: number of zero columns before those of the irrep.
        right: number of zero columns after them.
        start: index of the irrep's first coefficient.
        shape: shape (m_out, m_in, s) of the irrep's coefficients; m_in = 0 where the input lacks the irrep.
    """

    rows: int
    left: int
    right: int
    start: int
    shape: tuple[int, int, int]


def irrep_basis_map(coefficients: Tensor, bands: Sequence[Band]) -> Tensor:
    """Return the map (..., n_out, n_in) in the irrep bases from its coefficients, by plain operations on tensors.

    Args:
        coefficients: (..., dimension).
        bands: one for every isotypic component of the output.
    """
    return torch.cat([_band(coefficients, band) for band in bands], dim=-2)


def _band(coefficients: Tensor, band: Band) -> Tensor:
    """Return Σ_n C_n ⊗ E_n / √d between zeros, (..., rows, n_in); E_n repeats left multiplication d / s times."""
    m_out, m_in, s = band.shape
    if not m_in:
        return coefficients.new_zeros((*coefficients.shape[:-1], band.rows, band.left + band.right))
    C = coefficients.narrow(-1, band.start, prod(band.shape)).unflatten(-1, band.shape)
    d = band.rows // m_out
    C = C if d == 1 else C * d**-0.5
    block = C.unsqueeze(-3) if s == 1 else left_multiplication(C.unbind(-1)).movedim((0, 1), (-3, -1))
    if d > s:  # (..., m_out, s, m_in, s) to (..., m_out, d / s, s, m_in, d / s, s)
        block = torch.diag_embed(block.unsqueeze(-1).expand(*block.shape, d // s), dim1=-5, dim2=-2)
    block = block.reshape(*coefficients.shape[:-1], band.rows, m_in * d)
    zeros = [block.new_zeros((*block.shape[:-1], n)) for n in (band.left, band.right)]
    return torch.cat([zeros[0], block, zeros[1]], dim=-1)  # torch 2.8 compiles the gradient of pad with wrong strides


class HomBasis:
    r"""Orthonormal basis of Hom_G, the equivariant maps W with W ρ_in(g) = ρ_out(g) W for every g.

    By Schur's lemma, W in the irrep bases is zero between different irreps. Between two copies of one irrep σ it is an
    element of the endomorphism algebra, which has the basis :math:`E_n`:

    .. math:: W = Q_{out} \Bigl( \bigoplus_\sigma \sum_{n=1}^s C^\sigma_n \otimes \frac{E_n}{\sqrt{d_\sigma}} \Bigr)
              Q_{in}^\top

    Coefficients (..., dimension) are :math:`C^\sigma` (m_out, m_in, s) of every shared irrep, flattened, one irrep
    after another. Since the basis is orthonormal in the Frobenius inner product, :meth:`coefficients` is the adjoint
    and the left inverse of :meth:`synthesize`. No array larger than (n_out, n_in) is built.

    All methods take tensors, whose dtype, device and gradients they keep, or numpy arrays, and return the same kind.

    Args:
        rep_in: representation of size n_in.
        rep_out: representation of size n_out of the same group.

    Raises:
        GroupMismatchError: the groups differ.
        RepresentationError: an argument is not a representation.

    Source: Serre, Linear Representations of Finite Groups, 1977, section 2.2.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> basis = HomBasis(regular, regular)
        >>> basis.dimension
        3
        >>> basis.project(np.diag([3.0, 0, 0])).round(6) + 0.0
        array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]])
    """

    rep_in: Representation
    rep_out: Representation
    blocks: tuple[HomBlock, ...]
    bands: tuple[Band, ...]

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        check_same_group(rep_in, rep_out)
        self.rep_in, self.rep_out = rep_in, rep_out
        self.blocks, self.bands = _layout(rep_in, rep_out)
        self._from_in, self._from_out = IrrepBasisTransform(rep_in), IrrepBasisTransform(rep_out)

    @property
    def dimension(self) -> int:
        """Number of coefficients, Σ m_out m_in s over the shared irreps."""
        return self.blocks[-1].slice.stop if self.blocks else 0

    def synthesize(self, coefficients: Tensor | np.ndarray) -> Any:
        """Return the map W (..., n_out, n_in) of coefficients (..., dimension).

        Raises:
            ShapeError: the last axis is not ``dimension``.
        """
        if isinstance(coefficients, np.ndarray):
            return self.synthesize(torch.from_numpy(coefficients.copy())).numpy()
        check_floating(coefficients, what="Coefficients")
        if coefficients.dim() == 0 or coefficients.shape[-1] != self.dimension:
            raise ShapeError(
                f"Coefficients must have {self.dimension} entries in the last axis, got {tuple(coefficients.shape)}."
            )
        in_irrep_bases = irrep_basis_map(coefficients, self.bands)
        return self._from_out.inverse(self._from_in.inverse(in_irrep_bases).mT).mT

    def coefficients(self, matrix: Tensor | np.ndarray) -> Any:
        """Return the inner products (..., dimension) of maps (..., n_out, n_in) with the basis.

        Raises:
            ShapeError: the last two axes are not (n_out, n_in).
        """
        if isinstance(matrix, np.ndarray):
            return self.coefficients(torch.from_numpy(matrix.copy())).numpy()
        check_floating(matrix, what="The matrix")
        if matrix.shape[-2:] != (self.rep_out.size, self.rep_in.size):
            raise ShapeError(
                f"The matrix must have shape (..., {self.rep_out.size}, {self.rep_in.size}), got {tuple(matrix.shape)}."
            )
        in_irrep_bases = self._from_out(self._from_in(matrix).mT).mT
        parts = [self._inner_products(in_irrep_bases, block) for block in self.blocks]
        return torch.cat(parts, dim=-1) if parts else matrix.new_zeros((*matrix.shape[:-2], 0))

    def project(self, matrix: Tensor | np.ndarray) -> Any:
        """Return the equivariant map nearest to a matrix (..., n_out, n_in): its orthogonal projection.

        For a finite group it is the group average of ρ_out(g) M ρ_in(g)ᵀ.
        """
        return self.synthesize(self.coefficients(matrix))

    def init_(
        self,
        coefficients: Tensor,
        *,
        gain: float | None = None,
        nonlinearity: str = "linear",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Fill coefficients in place with normal random numbers such that maps preserve variance.

        The coefficients of an irrep have variance gain² d / (m_in s). So every coordinate of W x has variance gain² for
        white x of variance 1. Coordinates of irreps that the input lacks are 0.

        Args:
            coefficients: tensor (dimension,) to fill; it is returned.
            gain: factor on the standard deviation; by default that of the nonlinearity.
            nonlinearity: the function after the map, as for :func:`torch.nn.init.calculate_gain`.
            generator: source of the random numbers.

        Raises:
            ShapeError: the tensor is not (dimension,).
            OptionError: the nonlinearity is unknown.
        """
        if coefficients.shape != (self.dimension,):
            raise ShapeError(f"Coefficients must have shape ({self.dimension},), got {tuple(coefficients.shape)}.")
        gain = _gain(nonlinearity) if gain is None else gain
        with torch.no_grad():
            for block in self.blocks:
                _, m_in, s = block.shape
                coefficients[block.slice].normal_(0, gain * sqrt(block.irrep.size / (m_in * s)), generator=generator)
        return coefficients

    def _inner_products(self, in_irrep_bases: Tensor, block: HomBlock) -> Tensor:
        """Return the coefficients of one irrep from a map in the irrep bases: the adjoint of :func:`_band`."""
        m_out, m_in, s = block.shape
        d = block.irrep.size
        part = in_irrep_bases[..., block.target.slice, block.source.slice]
        part = part.unflatten(-1, (m_in, d // s, s)).unflatten(-4, (m_out, d // s, s))
        sums = part.diagonal(dim1=-5, dim2=-2).sum(-1)  # (..., m_out, s, m_in, s)
        C = torch.stack(left_multiplication_adjoint(sums.movedim((-3, -1), (0, 1))), dim=-1)
        return (C * d**-0.5).flatten(-3)

    def __repr__(self) -> str:
        return f"HomBasis({self.rep_in.name} -> {self.rep_out.name}, dimension={self.dimension})"


def _layout(rep_in: Representation, rep_out: Representation) -> tuple[tuple[HomBlock, ...], tuple[Band, ...]]:
    """Return the irreps that both representations contain, and the bands of all components of the output."""
    sources = {component.irrep.key: component for component in rep_in.isotypic}
    blocks, bands, start = [], [], 0
    for target in rep_out.isotypic:
        source = sources.get(target.irrep.key)
        if source is None:
            bands.append(Band(target.size, rep_in.size, 0, 0, (target.multiplicity, 0, 0)))
            continue
        shape = target.multiplicity, source.multiplicity, len(target.irrep.endomorphism_basis)
        blocks.append(HomBlock(target.irrep, source, target, slice(start, start + prod(shape))))
        bands.append(Band(target.size, source.slice.start, rep_in.size - source.slice.stop, start, shape))
        start += prod(shape)
    return tuple(blocks), tuple(bands)


def _gain(nonlinearity: Any) -> float:
    try:
        return torch.nn.init.calculate_gain(nonlinearity)
    except ValueError as error:
        raise OptionError(
            f"Invalid nonlinearity: {nonlinearity!r}. Pass one that torch.nn.init.calculate_gain knows, or gain=..."
        ) from error
