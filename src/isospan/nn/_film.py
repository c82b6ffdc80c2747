"""Modulation of features by a condition, and time-distributed layers."""

from typing import Any

import torch
from torch import Tensor

from isospan.errors import ShapeError
from isospan.nn._base.cached_weight import Freezes
from isospan.nn._base.components import copy_index, invariant_count
from isospan.nn._base.layer import Device, Layer, check_features, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.nn._invariants import IrrepInvariants
from isospan.nn._linear import Linear
from isospan.representations import Representation, check_representation, check_same_group


class FiLM(Freezes, Layer):
    r"""Feature-wise linear modulation: a condition scales and shifts the features, equivariantly.

    .. math:: y = \gamma(c) \odot h + \beta(c), \qquad
              (\gamma - 1, \beta) = W \begin{pmatrix} c \\ \langle c_i, c_j \rangle \end{pmatrix} + b

    W is an equivariant map of the condition and its invariants of degree two (:class:`IrrepInvariants`). Where the
    group permutes the coordinates of h, γ has a factor for each coordinate, and the group permutes these too. In other
    bases γ has an invariant factor for each copy of an irrep. At initialisation W and b are zero, so that y = h.

    The number of invariants grows with the square of the multiplicities of c. Map a wide condition to fewer channels
    first, with :class:`Linear`.

    Args:
        rep: representation of the features h.
        rep_cond: representation of the condition c.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.
        modulation: the map of the condition, a :class:`Linear`.

    Shapes:
        h (..., rep.size) and c (..., rep_cond.size) to y like h; or h (..., rep.size, T), with a c for all times.

    Raises:
        GroupMismatchError: representations of two groups.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, 2018.

    Example:
        >>> from isospan.groups import SO2
        >>> film = FiLM(3 * SO2().irrep(1), SO2().irrep(1) + SO2().irrep(0))
        >>> film(torch.randn(5, 6), torch.randn(5, 3)).shape, film(torch.randn(5, 6, 20), torch.randn(5, 3)).shape
        (torch.Size([5, 6]), torch.Size([5, 6, 20]))
    """

    copy_index: Tensor

    def __init__(
        self, rep: Representation, rep_cond: Representation, *, device: Device = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(rep)
        check_same_group(rep, rep_cond)
        trivial = rep.group.trivial_representation
        self.rep_cond = rep_cond
        self.invariants: IrrepInvariants = IrrepInvariants(rep_cond)
        self._linear = invariant_count(rep_cond)  # invariants of degree one, which c has
        products = self.invariants.rep_out.size - self._linear
        factors = rep if rep.is_permutation else len(rep.irreps) * trivial
        self._sizes = factors.size, rep.size
        self.modulation: Linear = Linear(rep_cond + products * trivial if products else rep_cond, factors + rep)
        self.change: ChangeOfBasis | None = None if rep.is_permutation else ChangeOfBasis(rep)
        if self.change is not None:
            self.register_constant("copy_index", copy_index(rep))
        self.reset_parameters()
        to_device(self, device, dtype)

    def reset_parameters(self) -> None:
        """Make it the identity."""
        for parameter in self.modulation.parameters():
            torch.nn.init.zeros_(parameter)

    def forward(self, h: Tensor, cond: Tensor) -> Tensor:
        """Return the modulated features, shaped like h."""
        is_series = self._check(h, cond)
        context = torch.cat([cond, self.invariants(cond)[..., self._linear :]], dim=-1)
        scale, shift = self.modulation(context).split(self._sizes, dim=-1)
        if not is_series:
            return self._scaled(h, 1 + scale) + shift
        return self._scaled(h.mT, (1 + scale).unsqueeze(-2)).mT + shift.unsqueeze(-1)

    def _scaled(self, h: Tensor, factors: Tensor) -> Tensor:
        """Features (..., D) times factors for coordinates or for copies of irreps."""
        if self.change is None:
            return h * factors
        return self.change.inverse(self.change(h) * factors.index_select(-1, self.copy_index))

    def _check(self, h: Tensor, cond: Tensor) -> bool:
        """Require features and conditions of as many samples; return whether the features are series."""
        check_features(cond, self.rep_cond.size)
        is_series = h.dim() == cond.dim() + 1
        check_features(h, self.rep_in.size, dim=-2 if is_series else -1)
        if h.shape[: -2 if is_series else -1] != cond.shape[:-1]:
            raise ShapeError(
                f"Every sample must have a condition, got features of shape {tuple(h.shape)} and conditions of shape "
                f"{tuple(cond.shape)}. Expand the conditions to the samples."
            )
        return is_series

    def extra_repr(self) -> str:
        """What is modulated by what."""
        return f"{self.rep_in.name}, {self.rep_cond.name}"


class TimeDistributed(Freezes):
    """The same layer of vectors (..., D) at each time step of a series (..., D, T).

    Args:
        layer: a layer of this package, with ``rep_in`` and ``rep_out``.

    Attributes:
        rep_in: those of the layer.
        rep_out: those of the layer.

    Shapes:
        (..., rep_in.size, T) to (..., rep_out.size, T).

    Raises:
        RepresentationError: the layer has none, as those of torch.nn.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Example:
        >>> import torch
        >>> from isospan.groups import SO2
        >>> from isospan.nn import NormActivation
        >>> layer = TimeDistributed(NormActivation(SO2().irrep(1), "ReLU", bias=False))
        >>> layer(torch.tensor([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]]))
        tensor([[15.,  0.,  1.],
                [20.,  0.,  0.]])
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        for name in ("rep_in", "rep_out"):
            check_representation(getattr(layer, name, None))
        self.rep_in: Representation = layer.rep_in
        self.rep_out: Representation = layer.rep_out
        self.layer = layer
        self._size = self.rep_in.size

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's values (..., rep_out.size, T)."""
        check_features(x, self._size, dim=-2)
        return self.layer(x.mT).mT
