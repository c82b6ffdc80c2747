"""Changes of basis to irreps and isotypic components."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.linalg import matrix_exp
from isospan.nn._base.components import by_component, components_of, copy_index, scalar_matrix
from isospan.nn._base.layer import Constants, Device, Layer, check_features, to_device
from isospan.representations import Irrep, IsotypicComponent, Representation, check_representation, direct_sum
from isospan.representations._irrep_basis import IrrepBasisArrays, from_irrep_basis, irrep_basis_arrays, to_irrep_basis


class ChangeOfBasis(Constants):
    r"""Coordinates in the basis in which the group acts by irreps, :math:`z = Q^\top x` with Q the change of basis.

    Coordinates have the order of ``rep.isotypic``: all copies of one irrep follow one another, the trivial first. The
    product is computed block by block, without a product where a block is an irrep. Autocast does not lower its
    precision.

    Args:
        rep: representation of x.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: the same.
        rep_out: representation of z: the direct sum of the irreps.

    Shapes:
        x (..., rep.size) to z (..., rep.size), and back with :meth:`inverse`.

    Raises:
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

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
    irrep_order: Tensor | None
    from_irrep_basis: Tensor | None

    def __init__(self, rep: Representation, *, device: Device = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        check_representation(rep)
        arrays = rep.derived(irrep_basis_arrays)
        self.rep_in = rep
        self._sizes = arrays.sizes
        self._size = rep.size
        self._bases = [None if basis is None else f"basis_{i}" for i, basis in enumerate(arrays.bases)]
        for name, basis in zip(self._bases, arrays.bases, strict=True):
            if name is not None:
                self.register_constant(name, basis)
        self.register_order("block_order", arrays.block_order)
        self.register_order("from_block", arrays.from_block)
        self.register_order("irrep_order", arrays.irrep_order)
        self.register_order("from_irrep_basis", arrays.from_irrep_basis)
        to_device(self, device, dtype)

    @property
    def rep_out(self) -> Representation:
        """The direct sum of the irreps in the order of z."""
        rep = self.rep_in
        return direct_sum([component.multiplicity * component.irrep for component in rep.isotypic], name=rep.name)

    def forward(self, x: Tensor) -> Tensor:
        """Return the coordinates z (..., D) in the irrep basis of x (..., D)."""
        check_features(x, self._size)
        with full_precision(x):
            return to_irrep_basis(x, self._tensors(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Return x (..., D) of coordinates z (..., D) in the irrep basis."""
        check_features(z, self._size)
        with full_precision(z):
            return from_irrep_basis(z, self._tensors(z))

    def _tensors(self, like: Tensor) -> IrrepBasisArrays:
        """The buffers in the precision of the data, which autocast may have lowered."""
        bases = tuple(None if name is None else getattr(self, name).to(like.dtype) for name in self._bases)
        orders = self.block_order, self.from_block, self.irrep_order, self.from_irrep_basis
        return IrrepBasisArrays(bases, *orders, self._sizes)

    def extra_repr(self) -> str:
        """The name and size of the representation."""
        return f"{self.rep_in.name}, {self._size}"


class IrrepBasisLayer(Layer):
    """Base of layers that multiply each copy of an irrep by a factor.

    Args:
        rep: representation of the features.

    Attributes:
        change: the change to the irrep basis.
        copy_index: (D,), the copy to which each coordinate in the irrep basis belongs.
    """

    copy_index: Tensor

    def __init__(self, rep: Representation) -> None:
        super().__init__(rep)
        self.change: ChangeOfBasis = ChangeOfBasis(rep)
        self._components = components_of(rep)
        self.register_constant("copy_index", copy_index(rep))

    def scaled(self, z: Tensor, factors: Tensor) -> Tensor:
        """Coordinates z (..., D) in the irrep basis times factors (..., copies)."""
        return z * factors.index_select(-1, self.copy_index)


class IsotypicBasis(torch.nn.Module):
    r"""Coordinates by isotypic component, in a basis that may be learned.

    The basis of a component of m copies is unique up to an orthogonal map that commutes with the group. A learnable
    one starts as the identity and is the exponential of an antisymmetric equivariant map,

    .. math:: z_\sigma = \exp\Bigl(\sum_s (C_s - C_s^*) \otimes E_s\Bigr) \, Q_\sigma^\top x,

    so that :meth:`inverse` is exact and norms are kept, whatever the parameters are.

    Args:
        rep: representation of x.
        learnable: whether copies of one irrep are mixed by parameters.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Shapes:
        x (..., rep.size) to z (..., rep.size); :meth:`split` cuts z into (..., m, d) for every irrep.

    Raises:
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> basis = IsotypicBasis(2 * CyclicGroup(3).regular_representation, learnable=True)
        >>> [part.shape[-2:] for part in basis.split(basis(torch.zeros(6)))]
        [torch.Size([2, 1]), torch.Size([2, 2])]
    """

    def __init__(
        self, rep: Representation, learnable: bool = False, *, device: Device = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.rep_in = rep
        self.change: ChangeOfBasis = ChangeOfBasis(rep)
        self._components = components_of(rep)
        self.mixings: torch.nn.ModuleList = torch.nn.ModuleList(
            MultiplicityMixing(c.irrep, c.multiplicity) if learnable and _is_free(c) else torch.nn.Identity()
            for c in rep.isotypic
        )
        to_device(self, device, dtype)

    @property
    def rep_out(self) -> Representation:
        """The direct sum of the irreps in the order of z."""
        return self.change.rep_out

    def forward(self, x: Tensor) -> Tensor:
        """Return the coordinates z (..., D) of x (..., D)."""
        parts = self.split(self.change(x))
        return torch.cat([mix(part).flatten(-2) for mix, part in zip(self.mixings, parts, strict=True)], dim=-1)

    def inverse(self, z: Tensor) -> Tensor:
        """Return x (..., D) of coordinates z (..., D)."""
        parts = [
            mix.inverse(part) if isinstance(mix, MultiplicityMixing) else part
            for mix, part in zip(self.mixings, self.split(z), strict=True)
        ]
        return self.change.inverse(torch.cat([part.flatten(-2) for part in parts], dim=-1))

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The copies (..., m, d) of every irrep in coordinates z, in the order of ``rep.isotypic``."""
        return tuple(by_component(z, self._components))


def _is_free(component: IsotypicComponent) -> bool:
    """Whether the component has more than one basis, up to signs."""
    return component.multiplicity > 1 or component.irrep.type != "real"


class MultiplicityMixing(torch.nn.Module):
    """An orthogonal map of the m copies of one irrep that commutes with the group: a Lie exponential.

    The irrep's d dimensions are d / s real, complex or quaternionic scalars with s coordinates, and the map is a
    matrix (m, m) of such scalars, the same for all.

    Args:
        irrep: of dimension d with s endomorphisms.
        multiplicity: m.

    Attributes:
        mixing: parameter (m, m, s), zero at initialisation, of which the antisymmetric part acts.

    Example:
        >>> from isospan.groups import SO3
        >>> MultiplicityMixing(SO3().irrep(1), 2)(torch.ones(2, 3))
        tensor([[1., 1., 1.],
                [1., 1., 1.]], grad_fn=...)
    """

    def __init__(self, irrep: Irrep, multiplicity: int) -> None:
        super().__init__()
        self._s = len(irrep.endomorphism_basis)
        self.mixing = torch.nn.Parameter(torch.zeros(multiplicity, multiplicity, self._s))

    @property
    def matrix(self) -> Tensor:
        """The orthogonal map of m scalars as a real matrix (s m, s m), coordinates before copies."""
        with full_precision(self.mixing):
            A = scalar_matrix(self.mixing.double())
            # torch's exponential of small matrices is orthogonal to 3e-5 in float32, and to 1e-11 in float64
            return matrix_exp(A - A.mT).to(self.mixing.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Mix copies x (..., m, d)."""
        with full_precision(x):
            return self._mixed(x, self.matrix.to(x.dtype))

    def inverse(self, x: Tensor) -> Tensor:
        """Undo :meth:`forward`, by the transpose."""
        with full_precision(x):
            return self._mixed(x, self.matrix.to(x.dtype).mT)

    def _mixed(self, x: Tensor, matrix: Tensor) -> Tensor:
        scalars = x.mT.unflatten(-2, (-1, self._s)).flatten(-2)  # (..., d / s, s m)
        return (scalars @ matrix.mT).unflatten(-1, (self._s, -1)).flatten(-3, -2).mT
