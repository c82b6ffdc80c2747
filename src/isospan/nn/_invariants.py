"""Invariant features."""

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._base.components import Component, by_component, components_of, norms
from isospan.nn._base.layer import Device, Layer, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.representations import IsotypicComponent, Representation
from isospan.representations._endomorphisms import left_multiplication


class IrrepNorm(Layer):
    r"""The norm of every copy of every irrep, :math:`\|Q_i^\top x\|`: invariants of the group.

    Gradients at a copy that is zero are zero. Norms lose signs and the angles between copies, which
    :class:`IrrepInvariants` keeps.

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
        self.rep_out = len(rep.irreps) * rep.group.trivial_representation
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

    for the copies x_i of one irrep with endomorphisms E_s, of which those with s ≥ 1 are antisymmetric. They are all
    invariants of degree one and two of a sum of irreps, and tell orbits apart that norms confuse; those of a finite
    group may differ in higher degrees only. Their number grows with the square of the multiplicity.

    Args:
        rep: representation of x.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: the same.
        rep_out: as many trivial irreps as there are invariants.

    Shapes:
        x (..., rep.size) to invariants (..., rep_out.size): irreps in the order of ``rep.isotypic``, of each first
        the products of s = 0.

    Raises:
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Weyl, The Classical Groups, 1946, chapter 2, on the first main theorem.

    Example:
        Two pairs of vectors in the plane, a quarter turn to the left and to the right:

        >>> from isospan.groups import SO2
        >>> invariants = IrrepInvariants(2 * SO2().irrep(1))
        >>> invariants(torch.tensor([[1.0, 0, 0, 1], [1, 0, 0, -1]]))
        tensor([[ 1.,  0.,  1., -1.],
                [ 1.,  0.,  1.,  1.]])
    """

    def __init__(self, rep: Representation, *, device: Device = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(rep)
        self.change: ChangeOfBasis = ChangeOfBasis(rep)
        self._parts: list[tuple[Component, int, str]] = []
        sizes = []
        for number, (copies, component) in enumerate(zip(components_of(rep), rep.isotypic, strict=True)):
            self._parts.append((copies, len(component.irrep.endomorphism_basis), f"pairs_{number}"))
            sizes.append(copies.multiplicity)
            if not copies.is_trivial:
                pairs = _pairs(component)
                self.register_constant(f"pairs_{number}", pairs)
                sizes[-1] = len(pairs)
        self.rep_out = sum(sizes) * rep.group.trivial_representation
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the invariants (..., rep_out.size)."""
        z = self.change(x)
        with full_precision(z):
            return torch.cat([self._of(part, part.of(z), s, pairs) for part, s, pairs in self._parts], dim=-1)

    def _of(self, part: Component, X: Tensor, s: int, pairs: str) -> Tensor:
        """Invariants of the copies (..., m, d) of one irrep with s endomorphisms."""
        return X.squeeze(-1) if part.is_trivial else _products(X, s).index_select(-1, self.get_buffer(pairs))


def _products(X: Tensor, s: int) -> Tensor:
    """Products ⟨x_i, E_u x_j⟩ (..., s m²) of copies (..., m, d): the coordinates u of the scalars Σ x_i x̄_j."""
    if s == 1:
        return (X @ X.mT).flatten(-2)
    q = X.unflatten(-1, (-1, s)).unbind(-1)  # (..., m, d / s) each
    conjugate = torch.stack([q[0], *(-part for part in q[1:])], dim=-1).flatten(-2)
    rows = left_multiplication(q).movedim((0, 1), (-4, -1)).flatten(-2)  # (..., s, m, d)
    return (rows @ conjugate.mT.unsqueeze(-3)).flatten(-3)


def _pairs(component: IsotypicComponent) -> np.ndarray:
    """Indices of the independent products among all s m²: the upper triangle, without the diagonal where s ≥ 1."""
    m, s = component.multiplicity, len(component.irrep.endomorphism_basis)
    index = np.arange(s * m * m).reshape(s, m, m)
    return np.concatenate([index[0][np.triu_indices(m)], *(P[np.triu_indices(m, 1)] for P in index[1:])])
