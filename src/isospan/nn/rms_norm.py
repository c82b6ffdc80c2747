"""Equivariant normalisation of every sample by its norm."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._inputs import check_features
from isospan.nn._normalization import Normalization
from isospan.representations import Representation


class RMSNorm(Normalization):
    r"""Every sample divided by the root mean square of its features, with a scale for every copy of an irrep.

    .. math:: y = Q \Bigl( \gamma \odot \frac{Q^\top x}{\sqrt{\|x\|^2 / D + \epsilon}} \Bigr)

    For the trivial group it is torch.nn.RMSNorm.

    Args:
        rep: how the group acts.
        eps: added to the mean square; the machine precision where None.
        elementwise_affine: whether there is γ.

    Attributes:
        rep_in, rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        ShapeError, DtypeError: what the message says.

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

    Example:
        >>> from isospan.groups import SO2
        >>> RMSNorm(SO2().irrep(1))(torch.tensor([3.0, 4.0]))
        tensor([0.8485, 1.1314], grad_fn=...)
    """

    def __init__(self, rep: Representation, eps: float | None = None, elementwise_affine: bool = True) -> None:
        super().__init__(rep, scaled=elementwise_affine, shifted=False)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features (..., rep.size)."""
        check_features(x, self._size)
        with full_precision(x):
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            eps = torch.finfo(exact.dtype).eps if self.eps is None else self.eps
            scale = (exact.square().mean(-1, keepdim=True) + eps).rsqrt()  # Q is orthogonal
            return (exact * scale if self.weight is None else self.affine(self.spectral(exact), scale)).to(x.dtype)
