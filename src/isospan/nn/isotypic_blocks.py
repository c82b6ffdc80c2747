"""Group convolutions as products of blocks in isotypic coordinates."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from isospan.groups import FiniteGroup
from isospan.nn._constants import Constants
from isospan.nn.regular_linear import quotients
from isospan.representations import Irrep, Representation


class IsotypicBlocks(Constants):
    r"""Group convolutions of samples (\|G\|, m, B), samples last, as products of blocks in isotypic coordinates.

    One product with a (\|G\|, \|G\|) matrix leads to isotypic coordinates; there the weight falls into one block for
    every irrep, contiguous in memory, with :math:`\sum d^3 / |G|^2` of the operations; and one product leads back.

    Args:
        group: finite.

    Source: Serre, Linear Representations of Finite Groups, 1977, section 6.2 (the Fourier transform of a group).

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> blocks = IsotypicBlocks(CyclicGroup(3))
        >>> blocks(torch.randn(3, 4, 2), torch.randn(3, 2, 10)).shape
        torch.Size([3, 4, 10])
    """

    basis: Tensor
    fourier: Tensor

    def __init__(self, group: FiniteGroup) -> None:
        super().__init__()
        regular = group.regular_representation
        order = np.argsort(regular.blocks[0].indices[0])
        places = regular.blocks[0].indices[0][order]
        Q = regular.change_of_basis[places][:, _dimensions_first(regular)]
        irreps = [(component.irrep, component.multiplicity) for component in regular.isotypic]
        self._blocks = [IrrepBlock(irrep, multiplicity) for irrep, multiplicity in irreps]
        self.register_constant("basis", Q)
        self.register_constant("fourier", _fourier(Q, quotients(group), self._blocks))
        for i, block in enumerate(self._blocks):
            self.register_constant(f"endomorphisms_{i}", block.irrep.endomorphism_basis)

    def forward(self, coefficients: Tensor, x: Tensor) -> Tensor:
        """Return y (|G|, m_out, B) of x (|G|, m_in, B) and coefficients (|G|, m_out, m_in)."""
        n, m_out, m_in = coefficients.shape
        basis, B = self.basis.to(x.dtype), x.shape[2]
        rows = (self.fourier.to(coefficients.dtype) @ coefficients.flatten(1)).view(n, m_out, m_in)
        z = (basis.mT @ x.reshape(n, m_in * B)).view(n, m_in, B)
        sizes = [block.size for block in self._blocks]
        parts = [
            block.product(rows_of, z_of, getattr(self, f"endomorphisms_{i}"))
            for i, (block, rows_of, z_of) in enumerate(
                zip(self._blocks, rows.split(sizes), z.split(sizes), strict=True)
            )
        ]
        return (basis @ torch.cat(parts).view(n, m_out * B)).view(n, m_out, B)


class IrrepBlock:
    r"""The coordinates of one irrep in the regular representation: p copies of d dimensions, the dimensions leading.

    The weight is :math:`\sum_s E_s \otimes C_s` with the endomorphisms E_s of the irrep and one matrix C_s each,
    (p m_out, p m_in); for irreps of real type that is one matrix for all dimensions.
    """

    def __init__(self, irrep: Irrep, multiplicity: int) -> None:
        self.irrep, self.p = irrep, multiplicity

    @property
    def size(self) -> int:
        """Number of coordinates d p, which is also that of coefficients, s p²."""
        return self.irrep.size * self.p

    def product(self, rows: Tensor, z: Tensor, E: Tensor) -> Tensor:
        """Product (d p, m_out, B) of coefficients (s p², m_out, m_in) with coordinates (d p, m_in, B)."""
        (_, m_out, m_in), (s, d, _), p, B = rows.shape, E.shape, self.p, z.shape[2]
        C = rows.view(s, p, p, m_out, m_in).transpose(2, 3).reshape(s, p * m_out, p * m_in)
        if s == 1:
            return torch.bmm(C.expand(d, -1, -1), z.view(d, p * m_in, B)).view(self.size, m_out, B)
        weight = torch.einsum("sab,sij->aibj", E.to(C.dtype), C).reshape(d * p * m_out, d * p * m_in)
        return (weight @ z.view(d * p * m_in, B)).view(self.size, m_out, B)


def _dimensions_first(rep: Representation) -> np.ndarray:
    """Spectral coordinates with the dimensions of each irrep before its copies."""
    components = [(c.slice.start, c.multiplicity, c.irrep.size) for c in rep.isotypic]
    return np.concatenate([start + np.arange(p * d).reshape(p, d).T.ravel() for start, p, d in components])


def _fourier(Q: np.ndarray, quotients: np.ndarray, blocks: Sequence[IrrepBlock]) -> np.ndarray:
    """The rows C_s (p², of every block) that each coefficient contributes, (|G|, |G|).

    Coefficient u alone makes the matrix with ones where g⁻¹ h = u; in the basis Q the block of an irrep in it is
    Σ_s E_s ⊗ C_s.
    """
    images = np.stack([Q.T @ (quotients == u) @ Q for u in range(len(Q))])
    rows, start = [], 0
    for block in blocks:
        stop, d, p = start + block.size, block.irrep.size, block.p
        part = images[:, start:stop, start:stop].reshape(-1, d, p, d, p)
        rows.append(np.einsum("sab,uaibj->siju", block.irrep.endomorphism_basis / d, part).reshape(block.size, -1))
        start = stop
    return np.concatenate(rows)
