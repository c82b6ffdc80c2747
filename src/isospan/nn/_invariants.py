"""Invariant features."""

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._base.components import by_component, components_of, norms
from isospan.nn._base.layer import Device, Layer, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.representations import IsotypicComponent, Representation


class IrrepNorm(Layer):
    r"""The norm of each copy of each irrep, :math:`\|Q_i^\top x\|`, which is invariant.

    The gradient at a copy that is zero is zero. Norms lose signs and the angles between copies;
    :class:`IrrepInvariants` keeps both.

    Args:
        rep: representation of x.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: the same.
        rep_out: as many trivial irreps as there are copies.

    Shapes:
        x (..., rep.size) to norms (..., number of copies), in the order of ``rep.irreps``.

    Raises:
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Example:
        >>> from isospan.groups import SO2
        >>> IrrepNorm(SO2().irrep(1) + SO2().irrep(0))(torch.tensor([3.0, 4.0, -2.0]))
        tensor([2., 5.])
    """

    def __init__(self, rep: Representation, *, device: Device = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(rep)
        self.rep_out: Representation = len(rep.irreps) * rep.group.trivial_representation
        self.change: ChangeOfBasis = ChangeOfBasis(rep)
        self._components = components_of(rep)
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the norms (..., number of copies)."""
        z = self.change(x)
        with full_precision(z):
            return torch.cat([norms(part) for part in by_component(z, self._components)], dim=-1)


class IrrepInvariants(Layer):
    r"""The trivial features with their signs, and all inner products of copies of the other irreps.

    .. math:: \langle x_i, x_j \rangle \; (i \le j), \qquad \langle x_i, E_s x_j \rangle \; (i < j, \; s \ge 1)

    for the copies x_i of one irrep with endomorphisms E_s, which are antisymmetric for s ≥ 1. These are all invariants
    of degree one and two. They distinguish orbits with equal norms, except orbits of a finite group whose invariants
    differ in higher degrees only. Their number grows with the square of the multiplicity.

    Args:
        rep: representation of x.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: the same.
        rep_out: as many trivial irreps as there are invariants.

    Shapes:
        x (..., rep.size) to invariants (..., rep_out.size): irreps in the order of ``rep.isotypic``, and within an
        irrep in the order of s.

    Raises:
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Weyl, The Classical Groups, 1946, chapter 2, on the first main theorem.

    Example:
        Two pairs of vectors in the plane, with angles of 90 and -90 degrees:

        >>> from isospan.groups import SO2
        >>> invariants = IrrepInvariants(2 * SO2().irrep(1))
        >>> invariants(torch.tensor([[1.0, 0, 0, 1], [1, 0, 0, -1]]))
        tensor([[ 1.,  0.,  1., -1.],
                [ 1.,  0.,  1.,  1.]])
    """

    def __init__(self, rep: Representation, *, device: Device = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(rep)
        self.change: ChangeOfBasis = ChangeOfBasis(rep)
        self._components = components_of(rep)
        sizes = []
        for number, component in enumerate(rep.isotypic):
            sizes.append(component.multiplicity)
            if not component.irrep.is_trivial:
                pairs = _pairs(component)
                self.register_constant(f"endomorphisms_{number}", component.irrep.endomorphism_basis)
                self.register_constant(f"pairs_{number}", pairs)
                sizes[-1] = len(pairs)
        self.rep_out: Representation = sum(sizes) * rep.group.trivial_representation
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the invariants (..., rep_out.size)."""
        z = self.change(x)
        with full_precision(z):
            return torch.cat([self._of(number, part.of(z)) for number, part in enumerate(self._components)], dim=-1)

    def _of(self, number: int, X: Tensor) -> Tensor:
        """Invariants of the copies (..., m, d) of one irrep."""
        if self._components[number].is_trivial:
            return X.squeeze(-1)
        X, E = X.unsqueeze(-3), self.get_buffer(f"endomorphisms_{number}").to(X.dtype)
        products = X @ (X @ E.mT).mT  # ⟨x_i, E_s x_j⟩, (..., s, m, m)
        return products.flatten(-3).index_select(-1, self.get_buffer(f"pairs_{number}"))


def _pairs(component: IsotypicComponent) -> np.ndarray:
    """Indices of the independent products among all s m²: the upper triangle, without the diagonal where s ≥ 1."""
    m, s = component.multiplicity, len(component.irrep.endomorphism_basis)
    index = np.arange(s * m * m).reshape(s, m, m)
    return np.concatenate([index[0][np.triu_indices(m)], *(P[np.triu_indices(m, 1)] for P in index[1:])])
