"""Invariants that keep what norms lose."""

import numpy as np
import torch
from torch import Tensor

from isospan._autocast import full_precision
from isospan.nn._constants import Constants
from isospan.nn._copies import Copies, copies_of
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import IsotypicComponent, Representation


class IrrepInvariants(Constants):
    r"""The trivial features with their signs, and all inner products of copies of the other irreps.

    .. math:: \langle x_i, x_j \rangle \; (i \le j), \qquad \langle x_i, E_s x_j \rangle \; (i < j, \; s \ge 1)

    for the copies x_i of one irrep with endomorphisms E_s, of which those with s ≥ 1 are antisymmetric. They are all
    invariants of degree one and two of a sum of irreps, and tell orbits apart that norms confuse; those of a finite
    group may differ in higher degrees only. Their number grows with the square of the multiplicity.

    Args:
        rep: how the group acts on x.

    Attributes:
        rep_in: the same.
        rep_out: as many trivial irreps as there are invariants.

    Shapes:
        x (..., rep.size) to invariants (..., rep_out.size): irreps in the order of ``rep.isotypic``, of each first
        the products of s = 0.

    Raises:
        ShapeError, DtypeError: what the message says.

    Source: Weyl, The Classical Groups, 1946, chapter 2, on the first main theorem.

    Example:
        Two pairs of vectors in the plane, turned to the left and to the right:

        >>> from isospan.groups import SO2
        >>> invariants = IrrepInvariants(2 * SO2().irrep(1))
        >>> invariants(torch.tensor([[1.0, 0, 0, 1], [1, 0, 0, -1]]))
        tensor([[ 1.,  0.,  1., -1.],
                [ 1.,  0.,  1.,  1.]])
    """

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.change = ChangeOfBasis.shared(rep)
        self._parts: list[tuple[Copies, str]] = []
        sizes = []
        for number, (copies, component) in enumerate(zip(copies_of(rep), rep.isotypic, strict=True)):
            self._parts.append((copies, str(number)))
            sizes.append(copies.multiplicity)
            if not copies.is_trivial:
                pairs = _pairs(component)
                self.register_constant(f"pairs_{number}", pairs)
                self.register_constant(f"endomorphisms_{number}", np.array(component.irrep.endomorphism_basis))
                sizes[-1] = len(pairs)
        self.rep_in, self.rep_out = rep, sum(sizes) * rep.group.trivial_representation

    def forward(self, x: Tensor) -> Tensor:
        """Return the invariants (..., rep_out.size)."""
        z = self.change(x)
        with full_precision(z):
            return torch.cat([self._of(part.of(z), part.is_trivial, number) for part, number in self._parts], dim=-1)

    def _of(self, X: Tensor, is_trivial: bool, number: str) -> Tensor:
        """Invariants of the copies (..., m, d) of one irrep."""
        if is_trivial:
            return X.squeeze(-1)
        E = self.get_buffer(f"endomorphisms_{number}").to(X.dtype)
        turned = torch.einsum("sab,...jb->...sja", E, X)
        products = (X.unsqueeze(-3) @ turned.mT).flatten(-3)
        return products.index_select(-1, self.get_buffer(f"pairs_{number}"))


def _pairs(component: IsotypicComponent) -> np.ndarray:
    """Where the independent products stand among all s m²: the upper triangle, without the diagonal where s ≥ 1."""
    m, s = component.multiplicity, len(component.irrep.endomorphism_basis)
    places = np.arange(s * m * m).reshape(s, m, m)
    return np.concatenate([places[0][np.triu_indices(m)], *(P[np.triu_indices(m, 1)] for P in places[1:])])
