"""Second moments of isotypic components: sums over samples and over the dimensions of the irrep."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from isospan.representations import Irrep, Representation
from isospan.symmetric._constants import constants
from isospan.symmetric._isotypic_data import isotypic_data


@dataclass(frozen=True)
class SharedComponent:
    r"""What two signals have in one isotypic component that both contain.

    An equivariant map of copies x_i of the irrep to copies y_j is, by Schur's lemma, :math:`\sum_s c_{jis} E_s` with
    the endomorphism basis E of the irrep.

    Attributes:
        irrep: of dimension d.
        rep: one that contains it.
        X: (m_x, d, N), see :func:`isotypic_data`.
        Y: (m_y, d, N); X itself for a signal with itself.
    """

    irrep: Irrep
    rep: Representation
    X: Tensor
    Y: Tensor

    @property
    def endomorphisms(self) -> Tensor:
        """E (s, d, d), the identity first, in the precision of the data."""
        return constants(self.rep, self.X.dtype, self.X.device).endomorphisms[self.irrep.key]

    @property
    def structure(self) -> Tensor:
        """Their structure constants (s, s, s)."""
        return constants(self.rep, self.X.dtype, self.X.device).structure[self.irrep.key]

    def double(self) -> "SharedComponent":
        """The same in float64."""
        return replace(self, X=self.X.double(), Y=self.Y.double())


def shared_components(x: Tensor, y: Tensor, rep_x: Representation, rep_y: Representation) -> list[SharedComponent]:
    """The isotypic components that both signals (N, D) contain, in the order of the group's irreps."""
    data_x = isotypic_data(x, rep_x)
    data_y = data_x if y is x and rep_y is rep_x else isotypic_data(y, rep_y)
    of_y = {component.irrep.key: Y for component, Y in zip(rep_y.isotypic, data_y, strict=True)}
    return [
        SharedComponent(component.irrep, rep_x, X, of_y[component.irrep.key])
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
