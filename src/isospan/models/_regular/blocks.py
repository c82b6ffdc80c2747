"""Group convolutions as products of blocks in isotypic coordinates."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from isospan.models._regular.linear import quotients
from isospan.nn._base.components import scalar_matrix
from isospan.nn._base.layer import Constants
from isospan.representations import IsotypicComponent, Representation


class IsotypicBlocks(Constants):
    r"""Group convolutions of samples (\|G\|, m, B), samples last, as products of blocks in isotypic coordinates.

    A product with a (\|G\|, \|G\|) matrix gives isotypic coordinates. In these the weight is block diagonal, with a
    contiguous block for each irrep and :math:`\sum d^3 / |G|^2` of the operations. A second product leads back.

    Args:
        regular: the regular representation of the group.

    Source: Serre, Linear Representations of Finite Groups, 1977, section 6.2 (the Fourier transform of a group).

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> blocks = IsotypicBlocks(CyclicGroup(3).regular_representation)
        >>> blocks(torch.randn(3, 4, 2), None, torch.randn(3, 2, 10)).shape
        torch.Size([3, 40])
    """

    basis: Tensor
    fourier: Tensor
    invariant: Tensor

    def __init__(self, regular: Representation) -> None:
        super().__init__()
        self._blocks = _alike(regular)
        Q = regular.change_of_basis[:, np.concatenate([block.columns for block in self._blocks])]
        self.register_constant("basis", Q)
        self.register_constant("fourier", _fourier(Q, quotients(regular.group), self._blocks))
        # the vector of ones is a multiple of the trivial irrep, one of those of dimension 1, which come first
        self.register_constant("invariant", Q.sum(0)[: self._blocks[0].size, None, None])

    def forward(self, coefficients: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        """Return y (|G|, m_out B) of x (|G|, m_in, B), coefficients (|G|, m_out, m_in) and bias (m_out,)."""
        n, m_out, m_in = coefficients.shape
        basis, B = self.basis.to(x.dtype), x.shape[2]
        rows = (self.fourier.to(coefficients.dtype) @ coefficients.flatten(1)).view(n, m_out, m_in)
        z = (basis.mT @ x.reshape(n, m_in * B)).view(n, m_in, B)
        return basis @ self._products(rows, bias, z).view(n, m_out * B)

    def _products(self, rows: Tensor, bias: Tensor | None, z: Tensor) -> Tensor:
        sizes = [block.size for block in self._blocks]
        split = zip(self._blocks, rows.split(sizes), z.split(sizes), strict=True)
        parts = [block.product(rows_of, z_of) for block, rows_of, z_of in split]
        if bias is not None:
            parts[0] = parts[0] + (self.invariant.to(bias.dtype) * bias.unsqueeze(1)).to(z.dtype)
        return torch.cat(parts)


class IrrepBlocks:
    r"""The coordinates of k irreps of equal type and size in the regular representation: p copies of d dimensions each.

    The weight of an irrep is :math:`\sum_s E_s \otimes C_s` with its endomorphisms E_s and one matrix C_s each,
    (p m_out, p m_in): a matrix of scalars with s coordinates, which acts on each of the d / s that the irrep has.
    Products of irreps whose d and s are the same are taken together. The coordinates are (k, d, p), those of
    coefficients (k, s, p, p).

    Args:
        components: those of the irreps in the regular representation.

    Attributes:
        columns: their coordinates in the symmetry-adapted basis, (k d p,).
        irreps: k.
        endomorphisms: E_s (s, d, d).
        d, s, p: dimensions, coordinates of a scalar and multiplicity of each.
        size: k d p.
    """

    def __init__(self, components: Sequence[IsotypicComponent]) -> None:
        starts, self.p = np.array([c.slice.start for c in components]), components[0].multiplicity
        self.endomorphisms = components[0].irrep.endomorphism_basis
        self.irreps, (self.s, self.d, _) = len(components), self.endomorphisms.shape
        self.columns = (starts[:, None, None] + np.arange(self.p * self.d).reshape(self.p, self.d).T).ravel()
        self.size = self.irreps * self.d * self.p

    def product(self, rows: Tensor, z: Tensor) -> Tensor:
        """Product (k d p, m_out, B) of coefficients (k s p², m_out, m_in) with coordinates (k d p, m_in, B)."""
        (_, m_out, m_in), (k, d, s, p), B = rows.shape, (self.irreps, self.d, self.s, self.p), z.shape[2]
        C = rows.view(k, s, p, p, m_out, m_in).transpose(3, 4).reshape(k, s, p * m_out, p * m_in)
        weight = scalar_matrix(C.movedim(1, -1)).unsqueeze(1).expand(-1, d // s, -1, -1).flatten(0, 1)
        return torch.bmm(weight, z.view(len(weight), weight.shape[2], B)).view(self.size, m_out, B)


def _alike(regular: Representation) -> list[IrrepBlocks]:
    """The irreps of a regular representation, grouped by size and type, small ones first."""
    alike: dict[tuple[int, int], list[IsotypicComponent]] = {}
    for component in regular.isotypic:
        alike.setdefault((component.irrep.size, component.multiplicity), []).append(component)
    return [IrrepBlocks(alike[key]) for key in sorted(alike)]


def _fourier(Q: np.ndarray, quotients: np.ndarray, blocks: Sequence[IrrepBlocks]) -> np.ndarray:
    """The rows C_s (p², of every irrep) that each coefficient contributes, (|G|, |G|).

    Coefficient u alone makes the matrix with ones where g⁻¹ h = u; in the basis Q the block of an irrep in it is
    Σ_s E_s ⊗ C_s.
    """
    images = np.stack([Q.T @ (quotients == u) @ Q for u in range(len(Q))])
    rows, start = [], 0
    for block in blocks:
        d, p = block.d, block.p
        for _ in range(block.irreps):
            stop = start + d * p
            part = images[:, start:stop, start:stop].reshape(-1, d, p, d, p)
            rows.append(np.einsum("sab,uaibj->siju", block.endomorphisms / d, part).reshape(stop - start, -1))
            start = stop
    return np.concatenate(rows)
