"""The change to the spectral basis as a module."""

from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._constants import Constants
from isospan.nn._inputs import check_features
from isospan.representations import Representation, check_representation
from isospan.representations import direct_sum as directsum
from isospan.representations._irrep_basis import IrrepBasisArrays as SpectralArrays
from isospan.representations._irrep_basis import from_irrep_basis as from_spectral
from isospan.representations._irrep_basis import to_irrep_basis as to_spectral


class ChangeOfBasis(Constants):
    r"""Coordinates in the basis in which the group acts by irreps, :math:`z = Q^\top x` with Q the change of basis.

    Coordinates are ordered as ``rep.isotypic`` says: all copies of one irrep follow one another, the trivial first. The
    product is computed block by block, and irreps stay as they are. Autocast does not lower its precision.

    Args:
        rep: how the group acts on x.

    Attributes:
        rep_in: the same.
        rep_out: how it acts on z: the direct sum of the irreps.

    Shapes:
        x (..., rep.size) to z (..., rep.size); :meth:`inverse` leads back.

    Raises:
        ShapeError, DtypeError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> change = ChangeOfBasis(CyclicGroup(2).regular_representation)
        >>> z = change(torch.tensor([3.0, 1.0]))
        >>> z, change.inverse(z).round(decimals=4)
        (tensor([2.8284, 1.4142]), tensor([3., 1.]))
    """

    block_order: Tensor | None
    from_block: Tensor | None
    spectral_order: Tensor | None
    from_spectral: Tensor | None

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        check_representation(rep)
        arrays = SpectralArrays.of(rep)
        self.rep_in = rep
        self._sizes = arrays.sizes
        self._size = rep.size
        self._bases = [None if basis is None else f"basis_{i}" for i, basis in enumerate(arrays.bases)]
        for name, basis in zip(self._bases, arrays.bases, strict=True):
            if name is not None:
                self.register_constant(name, basis)
        self.register_order("block_order", arrays.block_order)
        self.register_order("from_block", arrays.from_block)
        self.register_order("spectral_order", arrays.spectral_order)
        self.register_order("from_spectral", arrays.from_spectral)

    @property
    def rep_out(self) -> Representation:
        """The direct sum of the irreps in the order of z."""
        rep = self.rep_in
        return directsum([component.multiplicity * component.irrep for component in rep.isotypic], name=rep.name)

    def forward(self, x: Tensor) -> Tensor:
        """Return the spectral coordinates z (..., D) of x (..., D)."""
        check_features(x, self._size)
        with full_precision(x):
            return to_spectral(x, self._tensors(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Return x (..., D) of spectral coordinates z (..., D)."""
        check_features(z, self._size)
        with full_precision(z):
            return from_spectral(z, self._tensors(z))

    def _tensors(self, like: Tensor) -> SpectralArrays:
        """The buffers in the precision of the data, which autocast may have lowered."""
        bases = tuple(None if name is None else getattr(self, name).to(like.dtype) for name in self._bases)
        orders = self.block_order, self.from_block, self.spectral_order, self.from_spectral
        return SpectralArrays(bases, *orders, self._sizes)

    def extra_repr(self) -> str:
        """The name and size of the representation."""
        return f"{self.rep_in.name}, {self._size}"
