"""Isotypic coordinates whose copies may be mixed by a learned orthogonal map."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.linalg.exponential import matrix_exp
from isospan.nn._copies import copies_of, each_irrep
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import Irrep, IsotypicComponent, Representation
from isospan.representations._endomorphisms import left_multiplication


class IsotypicBasis(torch.nn.Module):
    r"""Coordinates by isotypic component, with the freedom that the group leaves in choosing them.

    The basis of a component of m copies is unique up to an orthogonal map that commutes with the group. A learnable
    one starts as the identity and is the exponential of an antisymmetric equivariant map,

    .. math:: z_\sigma = \exp\Bigl(\sum_s (C_s - C_s^*) \otimes E_s\Bigr) \, Q_\sigma^\top x,

    so that :meth:`inverse` is exact and norms are kept, whatever the parameters are.

    Args:
        rep: how the group acts on x.
        learnable: whether copies of one irrep are mixed by parameters.

    Shapes:
        x (..., rep.size) to z (..., rep.size); :meth:`split` cuts z into (..., m, d) for every irrep.

    Raises:
        ShapeError, DtypeError: what the message says.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> basis = IsotypicBasis(2 * CyclicGroup(3).regular_representation, learnable=True)
        >>> [part.shape[-2:] for part in basis.split(basis(torch.zeros(6)))]
        [torch.Size([2, 1]), torch.Size([2, 2])]
    """

    def __init__(self, rep: Representation, learnable: bool = False) -> None:
        super().__init__()
        self.rep_in = rep
        self.change = ChangeOfBasis.shared(rep)
        self._copies = copies_of(rep)
        self.mixings = torch.nn.ModuleList(
            CopyMixing(c.irrep, c.multiplicity) if learnable and _is_free(c) else torch.nn.Identity()
            for c in rep.isotypic
        )

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
            mix.inverse(part) if isinstance(mix, CopyMixing) else part
            for mix, part in zip(self.mixings, self.split(z), strict=True)
        ]
        return self.change.inverse(torch.cat([part.flatten(-2) for part in parts], dim=-1))

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The copies (..., m, d) of every irrep in coordinates z, in the order of ``rep.isotypic``."""
        return tuple(each_irrep(z, self._copies))


def _is_free(component: IsotypicComponent) -> bool:
    """Whether the identity is not the only choice near it: one copy of real type leaves but a sign."""
    return component.multiplicity > 1 or component.irrep.type != "real"


class CopyMixing(torch.nn.Module):
    """An orthogonal map of the m copies of one irrep that commutes with the group: a Lie exponential.

    The irrep's d dimensions are d / s real numbers, complex numbers or quaternions with s coordinates, and the map is
    a matrix (m, m) of such numbers, the same for all.

    Args:
        irrep: of dimension d with s endomorphisms.
        multiplicity: m.

    Attributes:
        mixing: parameter (m, m, s), zero at first, of which the antisymmetric part acts.

    Example:
        >>> from isospan.groups import SO3
        >>> CopyMixing(SO3().irrep(1), 2)(torch.ones(2, 3))
        tensor([[1., 1., 1.],
                [1., 1., 1.]], grad_fn=...)
    """

    def __init__(self, irrep: Irrep, multiplicity: int) -> None:
        super().__init__()
        self._s = len(irrep.endomorphism_basis)
        self.mixing = torch.nn.Parameter(torch.zeros(multiplicity, multiplicity, self._s))

    @property
    def matrix(self) -> Tensor:
        """The orthogonal map of m numbers as a real matrix (m s, m s), copies before coordinates."""
        with full_precision(self.mixing):
            A = left_multiplication(self.mixing.double().unbind(-1)).permute(2, 0, 3, 1).flatten(2).flatten(0, 1)
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
        numbers = x.unflatten(-1, (-1, self._s)).transpose(-3, -2).flatten(-2)  # (..., d / s, m s)
        return (numbers @ matrix.mT).unflatten(-1, (-1, self._s)).transpose(-3, -2).flatten(-2)
