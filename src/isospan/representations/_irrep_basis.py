"""The change to the irrep basis as a fast linear map on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.errors import ShapeError
from isospan.representations._representation import Representation


class IrrepBasisArrays(NamedTuple):
    """Factors and orders of the change of basis, as numpy arrays or as tensors.

    Attributes:
        bases: orthogonal (n, n) of every block. Neighbouring blocks with the identity as basis have one entry, None.
        block_order: coordinates (D,) in the order of the blocks, copy after copy.
        from_block: its inverse.
        irrep_order: the blocks' transformed coordinates (D,) in the order of the irrep basis.
        from_irrep_basis: its inverse.
        sizes: number of coordinates of all copies together, for each of the bases.

    Among tensors, None replaces an order that is the identity.
    """

    bases: tuple[Any, ...]
    block_order: Any
    from_block: Any
    irrep_order: Any
    from_irrep_basis: Any
    sizes: tuple[int, ...]


def irrep_basis_arrays(rep: Representation) -> IrrepBasisArrays:
    """Return the factors and orders of a representation, in float64 and int64."""
    bases, sizes = zip(*_pieces(rep), strict=True)
    to_blocks, to_irreps = rep.block_order, rep.irrep_order
    return IrrepBasisArrays(bases, to_blocks, np.argsort(to_blocks), to_irreps, np.argsort(to_irreps), sizes)


def _irrep_basis_tensors(rep: Representation, dtype: torch.dtype, device: torch.device) -> IrrepBasisArrays:
    """Return the factors and orders as tensors of one precision on one device."""
    arrays = rep.derived(irrep_basis_arrays)
    with torch.inference_mode(False):  # tensors made in inference mode cannot take part in training later
        bases = tuple(None if Q is None else torch.tensor(Q, dtype=dtype, device=device) for Q in arrays.bases)
        to_blocks, from_blocks, to_irreps, from_irreps = (torch.tensor(o, device=device) for o in arrays[1:5])
    return IrrepBasisArrays(bases, to_blocks, from_blocks, to_irreps, from_irreps, arrays.sizes)


def _pieces(rep: Representation) -> list[tuple[np.ndarray | None, int]]:
    """Return each basis with its number of coordinates; neighbouring identities are one."""
    pieces: list[tuple[np.ndarray | None, int]] = []
    for block in rep.blocks:
        basis = None if np.array_equal(block.basis, np.eye(block.size)) else block.basis
        before = pieces.pop()[1] if pieces and pieces[-1][0] is basis is None else 0
        pieces.append((basis, before + block.indices.size))
    return pieces


def to_irrep_basis(x: Tensor, tensors: IrrepBasisArrays) -> Tensor:
    """Return the coordinates x Q of vectors x (..., D) in the irrep basis, by plain operations on tensors."""
    pieces = _ordered(x, tensors.block_order).split(tensors.sizes, dim=-1)
    products = [_each_copy(piece, basis) for piece, basis in zip(pieces, tensors.bases, strict=True)]
    return _ordered(_joined(products), tensors.irrep_order)


def from_irrep_basis(z: Tensor, tensors: IrrepBasisArrays) -> Tensor:
    """Return the vectors z Qᵀ with coordinates z (..., D) in the irrep basis, by plain operations on tensors."""
    pieces = _ordered(z, tensors.from_irrep_basis).split(tensors.sizes, dim=-1)
    bases = [None if basis is None else basis.mT for basis in tensors.bases]
    products = [_each_copy(piece, basis) for piece, basis in zip(pieces, bases, strict=True)]
    return _ordered(_joined(products), tensors.from_block)


def _ordered(x: Tensor, order: Tensor | None) -> Tensor:
    return x if order is None else x.index_select(-1, order)


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    """Return tensors side by side; a single one needs no copy."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=-1)


def _each_copy(x: Tensor, basis: Tensor | None) -> Tensor:
    """Multiply each copy of a block by its basis; the copies follow one another in the last axis."""
    return x if basis is None else (x.unflatten(-1, (-1, basis.shape[0])) @ basis).flatten(-2)


class IrrepBasisTransform:
    """The change of basis from vectors (..., D) to coordinates in the irrep basis of a representation, and back.

    It computes x Q and z Qᵀ with Q = ``rep.change_of_basis`` by one small product for each block. Its tensors are made
    once for every dtype and device, and cached in the representation. It is differentiable, and keeps dtype and device.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> transform = IrrepBasisTransform(CyclicGroup(2).regular_representation)
        >>> transform(torch.tensor([1.0, 1.0]))
        tensor([1.4142, 0.0000])
    """

    def __init__(self, rep: Representation) -> None:
        self.rep = rep

    def __call__(self, x: Tensor) -> Tensor:
        """Return the coordinates x Q of vectors x (..., D) in the irrep basis."""
        return to_irrep_basis(x, self.tensors(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Return the vectors z Qᵀ with coordinates z (..., D) in the irrep basis."""
        return from_irrep_basis(z, self.tensors(z))

    def tensors(self, x: Tensor) -> IrrepBasisArrays:
        """Return the arrays in the precision and on the device of vectors (..., D).

        Raises:
            ShapeError: they have another size.
        """
        if x.dim() == 0 or x.shape[-1] != self.rep.size:
            raise ShapeError(
                f"The last axis must have the size {self.rep.size} of {self.rep.name}, got shape {tuple(x.shape)}."
            )
        return self.rep.derived(_irrep_basis_tensors, x.dtype, x.device)

    def __repr__(self) -> str:
        return f"IrrepBasisTransform({self.rep.name!r}, group={self.rep.group.name}, size={self.rep.size})"
