"""Equivariant normalisation over the batch."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import check_floating
from isospan.errors import DegenerateDataError, ShapeError
from isospan.nn._copies import mean_over_copies, numbers_of_trivial
from isospan.nn._normalization import Normalization
from isospan.representations import Representation


class BatchNorm1d(Normalization):
    r"""Normalisation by statistics over the batch, and time, that the group does not change.

    .. math:: y_i = \gamma_i \frac{x_i - \mu_i}{\sqrt{v_i + \epsilon}} + \beta_i, \qquad
              v_i = \operatorname{mean} \frac{\|x_i - \mu_i\|^2}{d_i}

    for every copy x_i of an irrep of dimension d_i. Only trivial copies have a mean μ and a shift β; that of the others
    is zero over any orbit. For the trivial group it is torch.nn.BatchNorm1d.

    Args:
        rep: how the group acts on the channels.
        eps: added to the variances.
        momentum: weight of a batch in the running statistics; None for the mean over all batches.
        affine: whether there are γ and β.
        track_running_stats: whether evaluation uses running statistics instead of those of the batch.

    Attributes:
        rep_in, rep_out: rep.
        running_mean: (m,) of the trivial copies.
        running_var: (number of copies,).

    Shapes:
        x (B, rep.size) or (B, rep.size, T) to the same.

    Raises:
        DegenerateDataError: one sample while training.
        ShapeError, DtypeError: what the message says.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> norm = BatchNorm1d(CyclicGroup(4).regular_representation)
        >>> norm(torch.randn(100, 4)).square().mean().round(decimals=2)
        tensor(1., grad_fn=...)
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor
    trivial: Tensor

    def __init__(
        self,
        rep: Representation,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(rep, scaled=affine, shifted=affine)
        self.eps, self.momentum, self.track_running_stats = eps, momentum, track_running_stats
        self.register_constant("trivial", numbers_of_trivial(self._copies))
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(self._trivial.multiplicity))
            self.register_buffer("running_var", torch.ones(len(rep.irreps)))
            self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shaped like x."""
        check_floating(x, what="The input")
        if x.dim() not in (2, 3) or x.shape[1] != self._size:
            raise ShapeError(
                f"The input must have shape (B, D) or (B, D, T) with D = {self._size}, the size of the representation, "
                f"got {tuple(x.shape)}."
            )
        rows = x if x.dim() == 2 else x.movedim(1, 2)
        with full_precision(x):
            z = self.spectral(rows)
            mean, var = self._statistics(z)
            y = self.affine(z - self.spread(mean.to(z.dtype)), (var.to(z.dtype) + self.eps).rsqrt()).to(x.dtype)
        return y if x.dim() == 2 else y.movedim(2, 1)

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (m,) and variance (copies,): those of the batch, or the running ones."""
        if self.track_running_stats and not self.training:
            return self.get_buffer("running_mean"), self.get_buffer("running_var")
        axes, count = tuple(range(z.dim() - 1)), z.shape[:-1].numel()
        if count < 2 and self.training:
            raise DegenerateDataError(f"A variance needs at least two samples, got {count}. Pass a larger batch.")
        mean = self._trivial.of(z).squeeze(-1).mean(axes)
        var = mean_over_copies((z - self.spread(mean)).square(), self._copies).mean(axes)
        if self.track_running_stats:
            self._track(mean.detach(), var.detach(), count)
        return mean, var

    def _track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running statistics towards those of the batch; a mean takes one degree of freedom."""
        unbiased = var * (1 + self.trivial / (count - 1))
        self.num_batches_tracked.add_(1)
        for running, new in ((self.get_buffer("running_mean"), mean), (self.get_buffer("running_var"), unbiased)):
            rate = 1 / self.num_batches_tracked.to(running.dtype) if self.momentum is None else self.momentum
            running.add_(rate * (new.to(running.dtype) - running))
