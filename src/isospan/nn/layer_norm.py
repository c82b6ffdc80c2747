"""Equivariant normalisation of every sample by itself."""

from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.errors import RepresentationError
from isospan.nn._inputs import check_features
from isospan.nn._normalization import Normalization
from isospan.representations import Representation


class LayerNorm(Normalization):
    r"""Every sample less the mean of its invariant features, divided by its standard deviation.

    .. math:: y = Q \Bigl( \gamma \odot \frac{z - \mu}{\sqrt{\|z - \mu\|^2 / D + \epsilon}} + \beta \Bigr),
              \qquad z = Q^\top x

    μ is the mean of the trivial copies of z, at which alone it acts; there is a scale γ for every copy of an irrep and
    a shift β for every trivial one. One norm for all keeps the ratios of the copies, which a norm for each would lose.
    For the trivial group it is torch.nn.LayerNorm.

    Args:
        rep: how the group acts.
        eps: added to the variance.
        elementwise_affine: whether there are γ and β.
        bias: whether there is β.

    Attributes:
        rep_in, rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        RepresentationError: there is one trivial copy, which less its mean would always be zero.
        ShapeError, DtypeError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> norm = LayerNorm(2 * CyclicGroup(4).regular_representation)
        >>> norm(torch.randn(8)).square().mean().round(decimals=2)
        tensor(1., grad_fn=...)
    """

    def __init__(
        self, rep: Representation, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        super().__init__(rep, scaled=elementwise_affine, shifted=elementwise_affine and bias)
        if self._trivial.multiplicity == 1:
            raise RepresentationError(
                f"LayerNorm subtracts the mean of the invariant features, so they must be several or none, but "
                f"{rep.name!r} has one, which would always be zero. Use RMSNorm, or more copies."
            )
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features (..., rep.size)."""
        check_features(x, self._size)
        with full_precision(x):
            z = self.spectral(x)
            if self._trivial.multiplicity:
                invariants = self._trivial.of(z).squeeze(-1)
                z = z - self.spread(invariants.mean(-1, keepdim=True).expand_as(invariants))
            variance = z.square().mean(-1, keepdim=True)
            return self.affine(z, (variance + self.eps).rsqrt()).to(x.dtype)
