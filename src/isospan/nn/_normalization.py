"""Equivariant normalization over the batch, and of each sample."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import check_floating
from isospan.errors import DegenerateDataError, RepresentationError, ShapeError
from isospan.nn._base.components import invariant_count, mean_of_copies
from isospan.nn._base.layer import Device, check_features, to_device
from isospan.nn._bases import IrrepBasisLayer
from isospan.representations import Representation


class Normalization(IrrepBasisLayer):
    """Base of normalizations, with a scale for each copy of an irrep and a shift of the invariant features.

    Args:
        rep: representation of the features.
        scaled: whether there is a parameter ``weight`` (copies,), one at initialisation.
        shifted: whether there is a parameter ``bias`` (m,) of the m trivial copies, zero at initialisation.
    """

    weight: torch.nn.Parameter | None
    bias: torch.nn.Parameter | None

    def __init__(self, rep: Representation, *, scaled: bool, shifted: bool) -> None:
        super().__init__(rep)
        self._invariants = invariant_count(rep)
        weight = torch.nn.Parameter(torch.ones(len(rep.irreps))) if scaled else None
        bias = torch.nn.Parameter(torch.zeros(self._invariants)) if shifted and self._invariants else None
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias)

    def coordinates(self, x: Tensor) -> Tensor:
        """Coordinates in the irrep basis, at least in single precision, for statistics."""
        return self.change(x.to(torch.promote_types(x.dtype, torch.float32)))

    def spread(self, invariants: Tensor) -> Tensor:
        """Coordinates (..., D) whose trivial copies are ``invariants`` (..., m). The others are zero."""
        return torch.nn.functional.pad(invariants, (0, self.rep_in.size - self._invariants))

    def affine(self, z: Tensor, scales: Tensor) -> Tensor:
        """Coordinates z (..., D) times scales (..., copies or 1) and weight, plus bias, in the basis of the input."""
        scales = scales if self.weight is None else scales * self.weight.to(z.dtype)
        z = z * scales if scales.shape[-1] == 1 else self.scaled(z, scales)
        return self.change.inverse(z if self.bias is None else z + self.spread(self.bias.to(z.dtype)))


class BatchNorm1d(Normalization):
    r"""Normalization by invariant statistics over the batch and time.

    .. math:: y_i = \gamma_i \frac{x_i - \mu_i}{\sqrt{v_i + \epsilon}} + \beta_i, \qquad
              v_i = \operatorname{mean} \frac{\|x_i - \mu_i\|^2}{d_i}

    for each copy x_i of an irrep of dimension d_i. Only trivial copies have a mean μ and a shift β, since the group
    average of any other copy is zero. For the trivial group it is torch.nn.BatchNorm1d.

    Args:
        rep: representation of the channels.
        eps: added to the variances.
        momentum: weight of a batch in the running statistics; None for the mean over all batches.
        affine: whether there are γ and β.
        track_running_stats: whether evaluation uses running statistics instead of those of the batch.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.
        running_mean: (m,) of the trivial copies.
        running_var: (number of copies,).

    Shapes:
        x (B, rep.size) or (B, rep.size, T) to the same.

    Raises:
        DegenerateDataError: one sample while training.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> norm = BatchNorm1d(CyclicGroup(4).regular_representation)
        >>> norm(torch.randn(100, 4)).square().mean().round(decimals=2)
        tensor(1., grad_fn=...)
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor

    def __init__(
        self,
        rep: Representation,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep, scaled=affine, shifted=affine)
        self.eps: float = eps
        self.momentum: float | None = momentum
        self.track_running_stats: bool = track_running_stats
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(self._invariants))
            self.register_buffer("running_var", torch.ones(len(rep.irreps)))
            self.register_buffer("num_batches_tracked", torch.tensor(0))
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized features, shaped like x."""
        check_floating(x, what="The input")
        if x.dim() not in (2, 3) or x.shape[1] != self.rep_in.size:
            raise ShapeError(
                f"The input must have shape (B, D) or (B, D, T) with D = {self.rep_in.size}, the size of the "
                f"representation, got {tuple(x.shape)}."
            )
        rows = x if x.dim() == 2 else x.movedim(1, 2)
        with full_precision(x):
            z = self.coordinates(rows)
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
        mean = z[..., : self._invariants].mean(axes)
        var = mean_of_copies((z - self.spread(mean)).square(), self._components).mean(axes)
        if self.track_running_stats:
            self._track(mean.detach(), var.detach(), count)
        return mean, var

    def _track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running statistics towards those of the batch; a mean takes one degree of freedom."""
        m = self._invariants
        unbiased = torch.cat([var[:m] * (count / (count - 1)), var[m:]])
        self.num_batches_tracked.add_(1)
        for running, new in ((self.get_buffer("running_mean"), mean), (self.get_buffer("running_var"), unbiased)):
            rate = 1 / self.num_batches_tracked.to(running.dtype) if self.momentum is None else self.momentum
            running.add_(rate * (new.to(running.dtype) - running))


class LayerNorm(Normalization):
    r"""Subtract the mean of the invariant features of each sample, and divide the sample by its standard deviation.

    .. math:: y = Q \Bigl( \gamma \odot \frac{z - \mu}{\sqrt{\|z - \mu\|^2 / D + \epsilon}} + \beta \Bigr),
              \qquad z = Q^\top x

    μ is the mean of the trivial copies of z, and is subtracted from these only. Each copy of an irrep has a scale γ,
    and each trivial copy a shift β. One norm of all features keeps the ratios of the copies; a norm of each copy would
    lose them. For the trivial group it is torch.nn.LayerNorm.

    Args:
        rep: representation of the features.
        eps: added to the variance.
        elementwise_affine: whether there are γ and β.
        bias: whether there is β.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        RepresentationError: rep has one trivial copy, which minus its mean would always be zero.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> norm = LayerNorm(2 * CyclicGroup(4).regular_representation)
        >>> norm(torch.randn(8)).square().mean().round(decimals=2)
        tensor(1., grad_fn=...)
    """

    def __init__(
        self,
        rep: Representation,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep, scaled=elementwise_affine, shifted=elementwise_affine and bias)
        if self._invariants == 1:
            raise RepresentationError(
                f"LayerNorm subtracts the mean of the invariant features, so they must be several or none, but "
                f"{rep.name!r} has one, which would always be zero. Use RMSNorm, or more copies."
            )
        self.eps = eps
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized features (..., rep.size)."""
        check_features(x, self.rep_in.size)
        with full_precision(x):
            z = self.coordinates(x)
            if self._invariants:
                invariants = z[..., : self._invariants]
                z = z - self.spread(invariants.mean(-1, keepdim=True).expand_as(invariants))
            variance = z.square().mean(-1, keepdim=True)
            return self.affine(z, (variance + self.eps).rsqrt()).to(x.dtype)


class RMSNorm(Normalization):
    r"""Divide each sample by the root mean square of its features, and scale each copy of an irrep.

    .. math:: y = Q \Bigl( \gamma \odot \frac{Q^\top x}{\sqrt{\|x\|^2 / D + \epsilon}} \Bigr)

    For the trivial group it is torch.nn.RMSNorm.

    Args:
        rep: representation of the features.
        eps: added to the mean square; the machine precision where None.
        elementwise_affine: whether there is γ.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

    Example:
        >>> from isospan.groups import SO2
        >>> RMSNorm(SO2().irrep(1))(torch.tensor([3.0, 4.0]))
        tensor([0.8485, 1.1314], grad_fn=...)
    """

    def __init__(
        self,
        rep: Representation,
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep, scaled=elementwise_affine, shifted=False)
        self.eps = eps
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized features (..., rep.size)."""
        check_features(x, self.rep_in.size)
        with full_precision(x):
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            eps = torch.finfo(exact.dtype).eps if self.eps is None else self.eps
            scale = (exact.square().mean(-1, keepdim=True) + eps).rsqrt()  # Q is orthogonal
            return (exact * scale if self.weight is None else self.affine(self.coordinates(exact), scale)).to(x.dtype)
