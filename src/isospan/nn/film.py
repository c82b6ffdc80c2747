"""Features that a condition scales and shifts."""

import torch
from torch import Tensor

from isospan.errors import ShapeError
from isospan.nn._constants import Constants
from isospan.nn._copies import copies_of, copy_numbers, trivial_copies
from isospan.nn._inputs import check_features
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.nn.freezes import Freezes
from isospan.nn.irrep_invariants import IrrepInvariants
from isospan.nn.linear import Linear
from isospan.representations import Representation, check_same_group


class FiLM(Freezes, Constants):
    r"""Feature-wise linear modulation: a condition scales and shifts the features, and the group may move both.

    .. math:: y = \gamma(c) \odot h + \beta(c), \qquad
              (\gamma - 1, \beta) = W \begin{pmatrix} c \\ \langle c_i, c_j \rangle \end{pmatrix} + b

    W is an equivariant map of the condition and its invariants of degree two (:class:`IrrepInvariants`). Where the
    group permutes the coordinates of h, it permutes γ with them, which is a factor for every coordinate; in other bases
    γ is an invariant factor for every copy of an irrep. At first W and b are zero, so that y = h.

    The number of invariants grows with the square of the multiplicities of c: map a wide condition to fewer channels
    before, with :class:`Linear`.

    Args:
        rep: how the group acts on the features h.
        rep_cond: how it acts on the condition c.

    Attributes:
        rep_in, rep_out: rep.
        modulation: the map of the condition, a :class:`Linear`.

    Shapes:
        h (..., rep.size) and c (..., rep_cond.size) to y like h; or h (..., rep.size, T), with a c for all times.

    Raises:
        GroupMismatchError: representations of two groups.
        ShapeError, DtypeError: what the message says.

    Source: Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, 2018.

    Example:
        >>> from isospan.groups import SO2
        >>> film = FiLM(3 * SO2().irrep(1), SO2().irrep(1) + SO2().irrep(0))
        >>> film(torch.randn(5, 6), torch.randn(5, 3)).shape, film(torch.randn(5, 6, 20), torch.randn(5, 3)).shape
        (torch.Size([5, 6]), torch.Size([5, 6, 20]))
    """

    copy_numbers: Tensor

    def __init__(self, rep: Representation, rep_cond: Representation) -> None:
        super().__init__()
        check_same_group(rep, rep_cond)
        trivial = rep.group.trivial_representation
        self.rep_in = self.rep_out = rep
        self.rep_cond = rep_cond
        self.invariants = IrrepInvariants.shared(rep_cond)
        self._linear = trivial_copies(copies_of(rep_cond)).multiplicity  # invariants of degree one, which c holds
        products = self.invariants.rep_out.size - self._linear
        factors = rep if rep.is_permutation else len(rep.irreps) * trivial
        self._sizes = factors.size, rep.size
        self.modulation = Linear(rep_cond + products * trivial if products else rep_cond, factors + rep)
        self.change = None if rep.is_permutation else ChangeOfBasis.shared(rep)
        if self.change is not None:
            self.register_constant("copy_numbers", copy_numbers(rep))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make it the identity."""
        for parameter in self.modulation.parameters():
            torch.nn.init.zeros_(parameter)

    def forward(self, h: Tensor, cond: Tensor) -> Tensor:
        """Return the modulated features, shaped like h."""
        over_time = self._check(h, cond)
        context = torch.cat([cond, self.invariants(cond)[..., self._linear :]], dim=-1)
        scale, shift = self.modulation(context).split(self._sizes, dim=-1)
        if not over_time:
            return self._scaled(h, 1 + scale) + shift
        return self._scaled(h.mT, (1 + scale).unsqueeze(-2)).mT + shift.unsqueeze(-1)

    def _scaled(self, h: Tensor, factors: Tensor) -> Tensor:
        """Features (..., D) times factors for coordinates or for copies of irreps."""
        if self.change is None:
            return h * factors
        return self.change.inverse(self.change(h) * factors.index_select(-1, self.copy_numbers))

    def _check(self, h: Tensor, cond: Tensor) -> bool:
        """Require features and conditions of as many samples; return whether the features are series."""
        check_features(cond, self.rep_cond.size)
        over_time = h.dim() == cond.dim() + 1
        check_features(h, self.rep_in.size, dim=-2 if over_time else -1)
        if h.shape[: -2 if over_time else -1] != cond.shape[:-1]:
            raise ShapeError(
                f"Every sample must have a condition, got features of shape {tuple(h.shape)} and conditions of shape "
                f"{tuple(cond.shape)}. Expand the conditions to the samples."
            )
        return over_time

    def extra_repr(self) -> str:
        """What is modulated by what."""
        return f"{self.rep_in.name}, {self.rep_cond.name}"
