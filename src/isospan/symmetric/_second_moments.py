"""Second moments of isotypic components: sums over samples and over the dimensions of the irrep."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from isospan.representations import Irrep, Representation
from isospan.symmetric._constants import constants
from isospan.symmetric._isotypic_data import isotypic_data


@dataclass(frozen=True)
class SharedComponent:
    r"""The data of x and y in one isotypic component that both contain.

    By Schur's lemma, an equivariant map from copy x_i of the irrep to copy y_j is :math:`\sum_s c_{jis} E_s`, with a
    basis E of the endomorphism algebra.

    Attributes:
        irrep: of dimension d.
        endomorphisms: the basis E (s, d, d) of integers in the precision of the data; the identity is first.
        X: (m_x, d, N), see :func:`isotypic_data`.
        Y: (m_y, d, N); the same tensor as X if y is x.
    """

    irrep: Irrep
    endomorphisms: Tensor
    X: Tensor
    Y: Tensor

    def double(self) -> "SharedComponent":
        """Return the same data in float64."""
        return replace(self, endomorphisms=self.endomorphisms.double(), X=self.X.double(), Y=self.Y.double())


def shared_components(x: Tensor, y: Tensor, rep_x: Representation, rep_y: Representation) -> list[SharedComponent]:
    """Return the isotypic components that x (N, D_x) and y (N, D_y) share, in the order of the group's irreps."""
    data_x = isotypic_data(x, rep_x)
    data_y = data_x if y is x and rep_y is rep_x else isotypic_data(y, rep_y)
    E = constants(rep_x, x.dtype, x.device).endomorphisms
    of_y = {component.irrep.key: Y for component, Y in zip(rep_y.isotypic, data_y, strict=True)}
    return [
        SharedComponent(component.irrep, E[component.irrep.key], X, of_y[component.irrep.key])
        for component, X in zip(rep_x.isotypic, data_x, strict=True)
        if component.irrep.key in of_y
    ]


def apply_endomorphisms(X: Tensor, E: Tensor) -> list[Tensor]:
    """Return :math:`E_s x` of all samples and copies as matrices (m, d·N), one for every s; E_0 is the identity."""
    return [X.flatten(1), *((E_s @ X).flatten(1) for E_s in E[1:])]


def cross_moments(X: Tensor, Y: Tensor, E: Tensor) -> Tensor:
    r"""Return :math:`M_{sji} = \sum_n \langle y_j, E_s x_i \rangle` (s, m_y, m_x)."""
    rows = Y.flatten(1)
    return torch.stack([rows @ Ex.mT for Ex in apply_endomorphisms(X, E)])
