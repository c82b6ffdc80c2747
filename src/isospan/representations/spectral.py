"""The change to the spectral basis as a fast linear map on tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan.errors import ShapeError
from isospan.representations.representation import Representation


class SpectralTransform:
    """Coordinates of vectors (..., D) in the spectral basis of a representation, and back.

    It computes x Q and z Qᵀ with Q = ``rep.change_of_basis`` from one small product a block. Tensors that it needs are
    made once for every dtype and device. Gradients flow; dtype and device are kept.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> transform = SpectralTransform(CyclicGroup(2).regular_representation)
        >>> transform(torch.tensor([1.0, 1.0]))
        tensor([1.4142, 0.0000])
    """

    def __init__(self, rep: Representation) -> None:
        self.rep = rep
        self._cast: dict[tuple[torch.dtype, torch.device], _Tensors] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Spectral coordinates x Q of vectors x (..., D)."""
        tensors = self._tensors(x)
        pieces = x.index_select(-1, tensors.block_order).split(tensors.sizes, dim=-1)
        moved = [_each_copy(piece, basis) for piece, basis in zip(pieces, tensors.bases, strict=True)]
        return torch.cat(moved, dim=-1).index_select(-1, tensors.spectral_order)

    def inverse(self, z: Tensor) -> Tensor:
        """Vectors z Qᵀ with spectral coordinates z (..., D)."""
        tensors = self._tensors(z)
        pieces = z.index_select(-1, tensors.from_spectral).split(tensors.sizes, dim=-1)
        moved = [_each_copy(piece, basis.mT) for piece, basis in zip(pieces, tensors.bases, strict=True)]
        return torch.cat(moved, dim=-1).index_select(-1, tensors.from_block)

    def _tensors(self, x: Tensor) -> _Tensors:
        if x.dim() == 0 or x.shape[-1] != self.rep.size:
            raise ShapeError(
                f"The last axis must have the size {self.rep.size} of {self.rep.name}, got shape {tuple(x.shape)}."
            )
        place = x.dtype, x.device
        if place not in self._cast:
            # under inference_mode they could not take part in training later
            with torch.inference_mode(False):
                self._cast[place] = _Tensors(self.rep, *place)
        return self._cast[place]

    def __getstate__(self) -> dict[str, Any]:
        return {"rep": self.rep, "_cast": {}}


class _Tensors:
    """Bases and orders of a representation's blocks on one device."""

    def __init__(self, rep: Representation, dtype: torch.dtype, device: torch.device) -> None:
        def order(numbers: np.ndarray) -> Tensor:
            return torch.tensor(numbers, device=device)

        self.sizes = [block.indices.size for block in rep.blocks]
        self.bases = [torch.tensor(block.basis, dtype=dtype, device=device) for block in rep.blocks]
        self.block_order, self.spectral_order = order(rep.block_order), order(rep.spectral_order)
        self.from_block, self.from_spectral = order(np.argsort(rep.block_order)), order(np.argsort(rep.spectral_order))


def _each_copy(x: Tensor, basis: Tensor) -> Tensor:
    """Multiply every copy of a block, which follow one another in the last axis, by its basis."""
    return (x.unflatten(-1, (-1, len(basis))) @ basis).flatten(-2)
