"""A solved latent space: it encodes, decodes, edits and erases quantities."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self, get_args, overload

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import (
    as_device,
    as_floating,
    as_kept,
    as_latents,
    as_names,
    check_choice,
    check_device,
    check_dtype,
    check_finite,
    check_flag,
    check_named,
    check_not_empty,
    check_not_reserved,
    check_number,
    check_shape,
    working_dtype,
)
from isospan._core.labels import check_classes
from isospan._core.missing import Missing
from isospan._core.samples import checked_samples
from isospan._core.tensor_files import load_tensors, save_tensors
from isospan._core.warnings import warn
from isospan.errors import DegenerateDataError, NotSolvedError, OptionError, ShapeError
from isospan.linalg import orthogonal_complement, orthonormal_rows, pinv
from isospan.subspaces._decoded_edit import Computed, Decoder, Progress, Quantities, decoded_edit
from isospan.subspaces._editor import Editor, Equations, Metric, shortest_steps
from isospan.subspaces._error_bars import Leverage, check_freedom, conformal_quantile, conformal_scores
from isospan.subspaces._patterns import erased, patterns_of
from isospan.subspaces._step_lengths import Distances, Whitening, steps_aside

SCHEMA_VERSION = 3
"""The first had no covariance of the latents, the second no residuals."""
ROUNDING = 1e-12
"""Relative rounding of float64 decoders, which are solutions of normal equations. Of lower precision it is 10 eps."""
BY_QUANTITY = ("W", "A", "y_mean", "y_scale")
"""The attributes that hold a tensor for each quantity."""
ERROR_BARS = ("residual_std", "scores")
"""Further ones, which a space may lack."""
HOLDS = "The space holds"


@dataclass(frozen=True, eq=False)
class LatentSpace:
    r"""Linear subspaces of a latent space, each with a decoder of one quantity.

    A quantity y (P entries) is read from a latent z (D,) by

    .. math:: \hat y = \bar y + (z - \bar z)\, W^\top A .

    Means are part of the space, so a single new latent can be decoded. All methods take z of shape (..., D), such as
    one latent (D,) or tokens (B, T, D), and keep its device and dtype; half precision is computed in float32. They can
    be compiled, exported and mapped by ``torch.vmap``; while a compiler traces, no check looks at values.

    Attributes:
        W: bases {name: (k, D)}, orthonormal rows.
        A: decoders {name: (k, P)}, in the quantity's units.
        z_mean: mean latent (D,).
        y_mean: mean of each quantity {name: (P,)}.
        y_scale: one standard deviation of each quantity {name: ()}, which weighs quantities that are edited together.
        shapes: shape of one target {name: tuple}, product P.
        cov_zz: covariance Σ of the latents (D, D), by which quantities are edited and erased; None in a space without.
        residual_std: root mean square of y - ŷ {name: (P,)}, over the data of the solve or, in a calibrated space, over
            held-out data; None in a space without.
        scores: sorted absolute held-out residuals over their standard deviation {name: (m, P)}, in a calibrated space.
        n_samples: number of samples n, or their weight, that each decoder was fitted to {name: n}; None in a space
            without, whose error bars have no term for the leverage of a latent.
        classes: number of classes {name: C} of the quantities that are class labels, of shape (C,). Their targets may
            be classes, integers 0 to C - 1.
        rank: dimension of the union of all subspaces.

    Raises:
        NameMismatchError: the attributes name different quantities.
        ShapeError: sizes do not fit together.
        OptionError: ``cov_zz`` is not symmetric, or has a negative variance; or a scale is not positive.
        DtypeError, NonFiniteError, DeviceMismatchError: a tensor is not real, not finite, or on another device.

    Example:
        >>> import torch
        >>> z = torch.randn(50, 4, dtype=torch.float64)
        >>> space = LatentSpace(
        ...     W={"heat": torch.eye(4)[:1].double()},
        ...     A={"heat": torch.tensor([[2.0, 0.0]]).double()},
        ...     z_mean=torch.zeros(4).double(),
        ...     y_mean={"heat": torch.tensor([1.0, 5.0]).double()},
        ...     y_scale={"heat": torch.tensor(1.0).double()},
        ...     shapes={"heat": (2,)},
        ...     cov_zz=torch.eye(4).double(),
        ... )
        >>> hot = space.edit(z, {"heat": torch.tensor([3.0, 5.0])})
        >>> space.decode(hot)["heat"][0]
        tensor([3., 5.], dtype=torch.float64)
        >>> torch.equal(hot[:, 1:], z[:, 1:])
        True
    """

    W: Mapping[str, Tensor]
    A: Mapping[str, Tensor]
    z_mean: Tensor
    y_mean: Mapping[str, Tensor]
    y_scale: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    cov_zz: Tensor | None = field(default=None, kw_only=True)
    residual_std: Mapping[str, Tensor] | None = field(default=None, kw_only=True)
    scores: Mapping[str, Tensor] | None = field(default=None, kw_only=True)
    n_samples: Mapping[str, float] | None = field(default=None, kw_only=True)
    classes: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    rank: int = field(init=False)

    def __post_init__(self) -> None:
        """Check that names and sizes fit together."""
        check_not_empty(self.W, what="W")
        check_not_reserved(self.W)
        for what in ("A", "y_mean", "y_scale", "shapes", *self._error_bars):
            check_named(self.W, getattr(self, what), what=what, against="W")
        self._check_tensors()
        shapes = {
            name: check_shape(shape, what=f"The shape of quantity {name!r}") for name, shape in self.shapes.items()
        }
        object.__setattr__(self, "shapes", shapes)
        object.__setattr__(self, "classes", self._checked_classes())
        for name, W in self.W.items():
            P = torch.Size(self.shapes[name]).numel()
            if W.dim() != 2:
                raise ShapeError(f"W of quantity {name!r} must have shape (k, D), got {tuple(W.shape)}.")
            A, mean, scale = self.A[name], self.y_mean[name], self.y_scale[name]
            expected = ((len(W), self.latent_dim), (len(W), P), (P,), ())
            if len(W) == 0 or (W.shape, A.shape, mean.shape, scale.shape) != expected:
                raise ShapeError(
                    f"Quantity {name!r} needs W (k, D), A (k, P), y_mean (P,), y_scale (), D = {self.latent_dim} and "
                    f"P = {P}, got {tuple(W.shape)}, {tuple(A.shape)}, {tuple(mean.shape)}, {tuple(scale.shape)}."
                )
            if not scale > 0:
                raise OptionError(
                    f"The scale of quantity {name!r} must be larger than 0, got {float(scale):.3g}. Leave out constant "
                    "quantities."
                )
        self._check_error_bars()
        object.__setattr__(self, "rank", len(orthonormal_rows(torch.cat(list(self.W.values())))))

    @property
    def _error_bars(self) -> list[str]:
        """The attributes of ``ERROR_BARS`` that the space has."""
        return [what for what in ERROR_BARS if getattr(self, what) is not None]

    def _checked_classes(self) -> dict[str, int]:
        """Require as many classes as the quantity has entries."""
        classes = check_classes(self.classes, self.W, of="the quantities")
        if wrong := {name: self.shapes[name] for name, C in classes.items() if self.shapes[name] != (C,)}:
            raise ShapeError(f"A quantity of C classes must have the shape (C,), got classes={classes} and {wrong}.")
        return classes

    def _check_tensors(self) -> None:
        """Require finite real tensors, and make tensors of NumPy arrays."""
        z_mean = as_floating(self.z_mean, what="z_mean")
        if z_mean.dim() != 1 or not len(z_mean):
            raise ShapeError(f"z_mean must have shape (D,), got {tuple(z_mean.shape)}.")
        check_finite(z_mean, what="z_mean")
        object.__setattr__(self, "z_mean", z_mean)
        for what in (*BY_QUANTITY, *self._error_bars):
            tensors = {
                name: as_floating(value, what=f"{what} of quantity {name!r}")
                for name, value in getattr(self, what).items()
            }
            for name, tensor in tensors.items():
                check_device(tensor, z_mean.device, what=f"{what} of quantity {name!r}", against="the mean latents")
                check_finite(tensor, what=f"{what} of quantity {name!r}")
            object.__setattr__(self, what, tensors)
        if self.cov_zz is not None:
            cov_zz = as_floating(self.cov_zz, what="cov_zz")
            check_device(cov_zz, z_mean.device, what="cov_zz", against="the mean latents")
            check_finite(cov_zz, what="cov_zz")
            if cov_zz.shape != (*z_mean.shape, *z_mean.shape):
                raise ShapeError(
                    f"cov_zz must be the covariance (D, D) of the latents, D = {len(z_mean)}, got "
                    f"{tuple(cov_zz.shape)}. Take it from Moments.of(z, y)."
                )
            rounding = 100 * torch.finfo(cov_zz.dtype).eps * cov_zz.abs().max()
            if (cov_zz - cov_zz.mT).abs().max() > rounding or cov_zz.diagonal().min() < 0:
                raise OptionError(
                    "cov_zz must be a covariance, symmetric and with variances of at least 0, got a matrix that "
                    f"differs from its transpose by {float((cov_zz - cov_zz.mT).abs().max()):.3g}, with a least "
                    f"diagonal entry of {float(cov_zz.diagonal().min()):.3g}. Take it from Moments.of(z, y)."
                )
            object.__setattr__(self, "cov_zz", cov_zz)

    def _check_error_bars(self) -> None:
        """Require error bars of the sizes of the quantities, and at least 0."""
        if self.n_samples is not None:
            check_named(self.W, self.n_samples, what="n_samples", against="W")
            n = {
                name: check_number(n, what=f"n_samples of quantity {name!r}", above=0)
                for name, n in self.n_samples.items()
            }
            object.__setattr__(self, "n_samples", n)
        for what in self._error_bars:
            for name, values in getattr(self, what).items():
                P, dims = len(self.y_mean[name]), 1 if what == "residual_std" else 2
                if values.dim() != dims or values.shape[-1] != P or not len(values):
                    expected = f"({'m, ' * (dims - 1)}P)"
                    raise ShapeError(
                        f"{what} of quantity {name!r} must have shape {expected}, P = {P}, got {tuple(values.shape)}."
                    )
                if values.min() < 0 or (dims == 2 and (values[1:] < values[:-1]).any()):
                    raise OptionError(
                        f"{what} of quantity {name!r} must be at least 0{' and sorted' * (dims - 1)}, got a least "
                        f"value of {float(values.min()):.3g}. Take it from solve_subspaces(z, y) or calibrate(z, y)."
                    )

    def __repr__(self) -> str:
        k = {name: len(W) for name, W in self.W.items()}
        return f"LatentSpace(latent_dim={self.latent_dim}, k={k}, shapes={dict(self.shapes)})"

    @property
    def names(self) -> list[str]:
        """Names of the quantities."""
        return list(self.W)

    @property
    def latent_dim(self) -> int:
        """D."""
        return len(self.z_mean)

    def encode(self, z: Tensor) -> dict[str, Tensor]:
        r"""Coordinates :math:`s = (z - \bar z) W^\top` (..., k) of each quantity's subspace."""
        zc, dtype = self._centred(z)
        with full_precision(zc):
            return {name: (zc @ W.to(zc).mT).to(dtype) for name, W in self.W.items()}

    @overload
    def decode(self, z: Tensor, *, std: Literal[False] = False) -> dict[str, Tensor]: ...
    @overload
    def decode(self, z: Tensor, *, std: Literal[True]) -> tuple[dict[str, Tensor], dict[str, Tensor]]: ...
    def decode(
        self, z: Tensor, *, std: bool = False
    ) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        r"""Each quantity ``(..., *shape)`` in its own units, and with ``std=True`` the standard deviation of its error.

        The variance of :math:`y - \hat y` is, for a decoder fitted to n samples,

        .. math:: s^2\, \bigl(1 + \tfrac1n + h(z)\bigr)

        with the variance s² of the residuals of each entry, over their degrees of freedom, and the leverage h of a
        latent, which is large far from the mean of few samples. Residuals of the data of the solve are too small where
        the latents were trained on the same data; in a space of :meth:`calibrate` they are those of held-out data.

        Args:
            z: latents (..., D).
            std: return also the standard deviations, in a second dict of the same shapes.

        Raises:
            NotSolvedError: the space does not hold residuals.
            DegenerateDataError: the residuals have no degrees of freedom, for want of samples.
            ShapeError, DtypeError, NonFiniteError: z does not fit, is not real, or not finite.

        Warns:
            NumericalWarning: the dtype of z does not hold the digits of a quantity far from zero.
        """
        zc, dtype = self._centred(z)
        if not torch.compiler.is_compiling():
            self._warn_if_far_from_zero(dtype)
        batch, decoded = zc.shape[:-1], {}
        with full_precision(zc):
            for name, W in self.W.items():
                y = self.y_mean[name].to(zc) + zc @ W.to(zc).mT @ self.A[name].to(zc)
                decoded[name] = y.to(dtype).reshape((*batch, *self.shapes[name]))
        if not check_flag(std, what="std"):
            return decoded
        return decoded, {
            name: s.to(dtype).reshape((*batch, *self.shapes[name])) for name, s in self._std(zc.double()).items()
        }

    def interval(self, z: Tensor, *, level: float = 0.9) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r"""Return the least and the largest value of each quantity ``(..., *shape)`` at a level, of a calibrated space.

        .. math:: \hat y \pm q\, \sigma(z)

        with the standard deviation σ of :meth:`decode` and, for each entry, the conformal quantile q of
        :meth:`calibrate`. Each entry of a new sample is inside with a probability of at least ``level``.

        Raises:
            NotSolvedError: the space is not calibrated.
            OptionError: ``level`` is not between 0 and 1, or too high for the number of held-out samples.
            ShapeError, DtypeError, NonFiniteError: z does not fit, is not real, or not finite.

        Warns:
            NumericalWarning: the dtype of z does not hold the digits of a quantity far from zero.
        """
        level = check_number(level, what="level", above=0, below=1)
        if self.scores is None:
            raise NotSolvedError(
                "An interval needs the residuals of held-out data, which the space does not hold. Pass such data to "
                "space.calibrate(z, y), and use the space that it returns."
            )
        z = as_latents(z, self.latent_dim, of="The space")
        if not torch.compiler.is_compiling():
            self._warn_if_far_from_zero(z.dtype)
        y, std = self.decode(z.double(), std=True)
        low, high = {}, {}
        for name, q in conformal_quantile(self.scores, level).items():
            half = q.to(std[name]).reshape(self.shapes[name]) * std[name]
            low[name], high[name] = (y[name] - half).to(z.dtype), (y[name] + half).to(z.dtype)
        return low, high

    @torch.no_grad()
    def calibrate(self, z: Tensor, y: Mapping[str, Tensor], *, missing: Missing = "raise") -> Self:
        r"""Return the space with error bars from held-out data: split conformal prediction.

        The score of an entry of a sample is :math:`|y - \hat y| / \sqrt{1 + 1/n + h(z)}`. If the held-out samples and
        a new one are exchangeable, such as independent draws, the score of the new one is at most the
        :math:`\lceil (m + 1)\, \text{level} \rceil`-th smallest of m with a probability of at least ``level``,
        whatever the distribution. Here this holds for each entry of each quantity alone.

        Args:
            z: latents (N, D) of samples to which neither the space nor the encoder was fitted.
            y: their quantities {name: (N, ...)}, in the units of the space; of class labels also classes (N,).
            missing: ``"raise"`` an error where a quantity has NaN; or ``"skip"`` these samples, quantity by quantity,
                and those with a negative label.

        Raises:
            DegenerateDataError: no sample has a quantity.
            NameMismatchError: y names other quantities than the space.
            ShapeError, DtypeError, NonFiniteError, DeviceMismatchError: z or a quantity does not fit, is not real, not
                finite, or on another device.

        Source: Papadopoulos et al., Inductive confidence machines for regression, 2002; Lei et al., Distribution-free
        predictive inference for regression, 2018.

        Example:
            >>> import torch
            >>> from isospan.subspaces import solve_subspaces
            >>> z = torch.randn(600, 4, generator=torch.Generator().manual_seed(0)).double()
            >>> y = {"heat": z[:, 0] + z[:, 1] ** 2}
            >>> space = solve_subspaces(z[:200], {"heat": y["heat"][:200]}, 1)
            >>> low, high = space.calibrate(z[200:400], {"heat": y["heat"][200:400]}).interval(z[400:], level=0.9)
            >>> inside = (low["heat"] <= y["heat"][400:]) & (y["heat"][400:] <= high["heat"])
            >>> 0.85 < float(inside.double().mean()) < 0.95
            True
        """
        z, flat, _ = checked_samples(z, y, classes=self.classes, missing=missing, min_samples=1)
        check_named(self.names, flat, what="Targets", against="the space")
        x = z.double()
        leverage, decoded = self._leverage, self.decode(x)
        growth = leverage.growth(x - self.z_mean.to(x)) if leverage else {}
        std, scores = {}, {}
        for name, target in flat.items():
            if target.shape[1:] != (P := len(self.y_mean[name]),):
                raise ShapeError(
                    f"Targets of quantity {name!r} must have {P} entries a sample, as in the space, got shape "
                    f"{tuple(y[name].shape)}. Pool them as for the solve."
                )
            residuals = target.double() - decoded[name].reshape(target.shape)
            if name in growth:
                residuals = residuals / growth[name].sqrt()[:, None]
            if missing == "skip" and not len(residuals := residuals[~residuals.isnan().any(1)]):
                raise DegenerateDataError(
                    f"No sample has the quantity {name!r}, so it cannot be calibrated. Pass held-out data with labels."
                )
            std[name], scores[name] = (t.to(self.A[name]) for t in conformal_scores(residuals))
        return replace(self, residual_std=std, scores=scores)

    def _std(self, zc: Tensor) -> dict[str, Tensor]:
        """Standard deviations {name: (..., P)} of the errors at centred latents (..., D), both in float64."""
        if self.residual_std is None:
            raise NotSolvedError(
                "Error bars need the residuals of the decoders, which the space does not hold: it is of an earlier "
                "file, or was made without residual_std. Solve it again, with solve_subspaces(z, y) or a new run, or "
                "pass held-out data to space.calibrate(z, y)."
            )
        std = {name: s.to(zc) for name, s in self.residual_std.items()}
        leverage = self._traced_leverage() if steps_aside(zc) else self._leverage
        if leverage is None:
            return {name: s.expand(*zc.shape[:-1], len(s)) for name, s in std.items()}
        with full_precision(zc):
            growth = leverage.growth(zc)
        if self.scores is None:
            freedom = leverage.freedom()
            if not torch.compiler.is_compiling():
                check_freedom(freedom, leverage.n)
            growth = {name: variance / freedom[name] for name, variance in growth.items()}
        return {name: variance.sqrt()[..., None] * std[name] for name, variance in growth.items()}

    @cached_property
    def _leverage(self) -> Leverage | None:
        """The leverages of latents, None where the space does not know n or the covariance of the latents."""
        with torch.inference_mode(False):  # else they cannot be used with gradients later
            return self._traced_leverage()

    def _traced_leverage(self) -> Leverage | None:
        """As :attr:`_leverage`, which a compiler would take for a constant, and ``torch.func`` would wrap."""
        if self.n_samples is None or self.cov_zz is None:
            return None
        W, dims = {name: W.double() for name, W in self.W.items()}, {name: len(y) for name, y in self.y_mean.items()}
        return Leverage.of(W, self.cov_zz, dims, self.n_samples)

    def _warn_if_far_from_zero(self, dtype: torch.dtype) -> None:
        """Warn of quantities whose mean, in a dtype, is rounded by more than 1 % of their standard deviation.

        The limit for half precision is ten times its rounding. Quantities beyond its range count too.
        """
        info = torch.finfo(dtype)
        if torch.finfo(self.z_mean.dtype).eps >= info.eps:
            return
        limit = max(0.01, 10 * info.eps) / info.eps
        far = [name for name, (mean, scale) in self._sizes.items() if mean > limit * scale or mean + scale > info.max]
        if far:
            warn(
                f"{str(dtype).removeprefix('torch.')} holds {far} to less than a hundredth of their deviations, since "
                "their means are far from zero. Pass latents in float64: z.double()."
            )

    @cached_property
    def _sizes(self) -> dict[str, tuple[float, float]]:
        """The largest mean of an entry, and the standard deviation, of each quantity."""
        return {name: (float(mean.abs().max()), float(self.y_scale[name])) for name, mean in self.y_mean.items()}

    def edit(
        self,
        z: Tensor,
        y: Mapping[str, Tensor | np.ndarray | float],
        *,
        keep: Collection[str] | Literal["others"] = "others",
        metric: Metric = "covariance",
        decoder: Decoder | None = None,
        quantities: Quantities | None = None,
        steps: int = 30,
        penalty: float = 1e-3,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> Tensor:
        r"""Return latents that have the targets y, and the same values of the quantities that are kept.

        **Without a decoder** they are read from the latent. With the read-out :math:`M_q = A_q^\top W_q` of a quantity
        in units of its scale, the step δ is the shortest among the least squares solutions of :math:`M_q (z + \delta -
        \bar z) = (y_q - \bar y_q) / \sigma_q` subject to :math:`M_j\, \delta = 0` for the quantities j that are kept.
        ``metric`` says what is short:

        - ``"covariance"``: :math:`\delta^\top \Sigma^{-1} \delta`, with the covariance Σ of the latents. The step is a
          sum of patterns :math:`\Sigma M^\top`, so it stays where latents of data lie.
        - ``"euclidean"``: :math:`\|\delta\|`, which needs no Σ.

        ``metric="joint"`` asks for less. It is the mean of the latents given the targets, under the joint normal
        distribution of latents and quantities: the least :math:`\delta^\top \Sigma^{-1} \delta` plus the squared error
        of the targets over R, subject to what is kept. R is the variance of a quantity that its read-out does not
        explain, alike for its entries. With nothing kept that is :math:`\delta = \Sigma M^\top (M \Sigma M^\top +
        R)^{-1} \Delta y`. Where R is not zero, a part of the change is decoded.

        Exact, except for ``"joint"``, where the target is within the reach of the k directions and the subspaces are
        independent; else the nearest decodable value, each quantity in units of its scale. Computed in float64, so that
        weak directions of a decoder count too. For many edits of the same quantities make an :meth:`editor` once.

        **With a decoder** f of the latents, and quantities g of its output, the quantities *of the decoded output* have
        the targets. From that step, L-BFGS minimises for each latent

        .. math:: \sum_q \frac{\|g_q(f(z + \delta)) - y_q\|^2}{P_q\, \sigma_q^2} + \lambda \Bigl(
                  \delta^\top \Sigma^{-1} \delta
                  + \sum_j \frac{\|g_j(f(z + \delta)) - g_j(f(z))\|^2}{P_j\, \sigma_j^2} \Bigr)

        with λ the ``penalty``. An edited or kept quantity that g does not give is read from the latent. The result for
        a latent does not depend on the others. A latent whose output is not finite keeps the best one whose output was.
        The decoder is computed in evaluation mode if it is a module or a method of one; put the modules that another
        function calls into evaluation mode before. Modes, parameters and their gradients are as before afterwards.

        Args:
            z: latents (..., D).
            y: {name: target} in the quantity's units, a number, tensor or array that broadcasts to ``(..., *shape)``.
                Of class labels also a class: an integer, or a tensor of integers (...,).
            keep: names of quantities that do not change, or ``"others"``: all that are not edited, or with a decoder
                all of these that g gives.
            metric: what makes a step short; with a decoder, ``"joint"`` is ``"covariance"`` after the first step.
            decoder: f, maps latents (n, D) in the dtype of z to an output, each by itself, by differentiable
                operations.
            quantities: g, maps the output to {name: (n, \*shape)}, or {name: function of the output}. One of
                :func:`isospan.quantities.combine` is called by keyword: ``lambda x: quantities(field=x)``.
            steps: how often the decoder is computed, at most; at least 3, one of which is before the edit.
            penalty: λ.
            batch_size: latents that are decoded at a time.
            progress: called as ``progress(done, total)`` after each pass of the decoder.

        Returns:
            Latents (..., D), in the dtype of z.

        Raises:
            NameMismatchError: a target is of no quantity of the space, a quantity is both edited and kept, or g gives
                none that is edited, or one that the space does not hold.
            NotSolvedError: the metric or the decoder needs the covariance of the latents, which the space does not
                hold.
            OptionError: there is no such metric, or g is not differentiable.
            ShapeError, DtypeError, NonFiniteError, DeviceMismatchError: z, a target or a quantity of the output does
                not fit, is not real, not finite, or on another device.

        Warns:
            NumericalWarning: some directions of an edited quantity do not vary, or lie within the subspaces of what is
                kept. The latent does not change along these, so the edit reaches its target only in part. Or a step is
                longer than the distance of two latents of the data (by three standard deviations above the mean, 2 rank
                Σ, of the squared distance of independent normal latents in the metric of :math:`\Sigma^{-1}`). Or the
                decoded output is not finite, or shows less than half of a change.

        Example:
            >>> import torch
            >>> from isospan.subspaces import solve_subspaces
            >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            >>> energy = lambda x: {"energy": x.square().sum(1)}
            >>> space = solve_subspaces(z, energy(z.sin()), k=1)
            >>> edited = space.edit(z[:2], {"energy": 1.0}, decoder=torch.sin, quantities=energy, penalty=1e-6)
            >>> energy(edited.sin())["energy"].round(decimals=3)
            tensor([1., 1.], dtype=torch.float64)
        """
        check_not_empty(y, what="Targets")
        editor = self.editor(list(y), keep=keep, metric=metric)
        edited = editor(z, y)
        if decoder is None and quantities is None:
            if self.cov_zz is not None and not steps_aside(edited):
                self._warn_of_long(editor.squared_length(z, y), metric)
            return edited
        return decoded_edit(
            Computed(self, decoder, quantities),
            as_latents(z, self.latent_dim, of="The space"),
            y,
            edited,
            self._plain_axes if metric == "euclidean" else self._whitening,
            keep=keep,
            steps=steps,
            penalty=penalty,
            batch_size=batch_size,
            progress=progress,
        )

    def step_length(self, z: Tensor, edited: Tensor) -> Tensor:
        r"""Return the lengths of steps, over the typical distance of two latents of the data.

        .. math:: \sqrt{\frac{\delta^\top \Sigma^+ \delta}{2 \operatorname{rank} \Sigma}}, \qquad \delta = z' - z

        The denominator is the mean squared distance of two independent latents, in the same metric.

        Args:
            z: latents (..., D).
            edited: the latents z' (..., D).

        Returns:
            Lengths (...,), in float64.

        Raises:
            NotSolvedError: the space does not hold the covariance of the latents.
            ShapeError, DtypeError, NonFiniteError: the latents do not fit, are not real, or not finite.

        Example:
            >>> from isospan.subspaces import solve_subspaces
            >>> z = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            >>> space = solve_subspaces(z, {"sum": z.sum(1)}, k=1)
            >>> round(float(space.step_length(z[:500], z[500:]).square().mean()), 1)
            1.0
        """
        z, edited = (as_latents(x, self.latent_dim, of="The space") for x in (z, edited))
        u = (edited.double() - z.double()) @ self._whitening.V.to(z.device).mT
        return torch.linalg.vector_norm(u, dim=-1) / self._whitening.distances.mean**0.5

    def _warn_of_long(self, squared_length: Tensor, metric: Metric) -> None:
        """Warn of steps that are longer than distances of latents; Σ is decomposed only where it is close."""
        cov_zz, remedy = self._covariance(), "edit through the decoder"
        if metric == "euclidean":
            Distances.plain(cov_zz).warn_of(squared_length, or_else=remedy)
        elif Distances.least(cov_zz).longer(squared_length):
            self._whitening.distances.warn_of(squared_length, or_else=remedy)

    @cached_property
    def _whitening(self) -> Whitening:
        return Whitening.of(self._covariance())

    @property
    def _plain_axes(self) -> Whitening:
        """Axes of the plain metric, in units of the latents' root mean square deviation."""
        return Whitening.plain(self._covariance())

    def editor(
        self,
        names: Collection[str],
        *,
        keep: Collection[str] | Literal["others"] = "others",
        metric: Metric = "covariance",
    ) -> Editor:
        """Return the affine map of :meth:`edit` for quantities, whose equations are then solved once.

        Args:
            names: quantities to edit, or the name of one.
            keep: as in :meth:`edit`.
            metric: as in :meth:`edit`.

        Raises:
            NameMismatchError, NotSolvedError, OptionError: as in :meth:`edit`.

        Warns:
            NumericalWarning: as in :meth:`edit`.
        """
        check_choice(metric, get_args(Metric), what="metric")
        names = as_names(names, self.names, of=HOLDS)
        others = [name for name in self.names if name not in names]
        kept = others if isinstance(keep, str) and keep == "others" else as_kept(keep, self.names, names, of=HOLDS)
        cov_zz = None if metric == "euclidean" else self._covariance()
        rounding = max(10 * torch.finfo(self.z_mean.dtype).eps, ROUNDING)
        equations = {
            name: Equations.of(W.double(), self.A[name].double(), self.y_scale[name].double(), rounding)
            for name, W in self.W.items()
            if name in names or name in kept
        }
        E = [equations[name].E for name in names]
        fixed = [equations[name].E for name in kept] or [E[0][:0]]
        noise = None
        if metric == "joint":
            noise = torch.cat([self._noise(name).expand(len(equations[name].E)) for name in names])
        S, X = shortest_steps(torch.cat(E), torch.cat(fixed), cov_zz, noise, rounding=rounding, names=names)
        sizes = [len(rows) for rows in E]
        return Editor(
            z_mean=self.z_mean,
            y_mean={name: self.y_mean[name] for name in names},
            shapes={name: self.shapes[name] for name in names},
            classes={name: C for name, C in self.classes.items() if name in names},
            T={name: equations[name].T for name in names},
            E=dict(zip(names, E, strict=True)),
            S=dict(zip(names, S.split(sizes), strict=True)),
            X=dict(zip(names, X.split(sizes), strict=True)),
        )

    def erase(self, z: Tensor, names: Collection[str]) -> Tensor:
        r"""Return latents without the coordinates of these quantities, and without what they covary with.

        .. math:: z' = z - (z - \bar z)\, W^\top (W \Sigma W^\top)^+ W \Sigma

        with the bases W of all names stacked. The coordinates of z' are those of the mean latent, and the coordinates
        of z have no covariance with z': of all affine maps with this property, it changes z least in mean square. A
        probe of z' reads what a quantity has outside its k directions; :func:`eraser` removes all of it.

        Args:
            z: latents (..., D).
            names: quantities to erase, or the name of one.

        Raises:
            NameMismatchError: the space has no such quantity.
            NotSolvedError: the space does not hold the covariance of the latents.
            ShapeError, DtypeError, NonFiniteError: z does not fit, is not real, or not finite.
        """
        z = as_latents(z, self.latent_dim, of="The space")
        W = torch.cat([self.W[name] for name in as_names(names, self.names, of=HOLDS)])
        return erased(z, self.z_mean, W, patterns_of(W, self._covariance()))

    def patterns(self, names: Collection[str]) -> Tensor:
        r"""Patterns :math:`(W \Sigma W^\top)^+ W \Sigma` (k, D) along which :meth:`erase` moves, in float64.

        W are the bases of all names, stacked in the order of the names; k is the sum of their dimensions.

        Args:
            names: of quantities, or the name of one.

        Raises:
            NameMismatchError, NotSolvedError: as in :meth:`erase`.

        Example:
            >>> from isospan.subspaces import solve_subspaces
            >>> z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            >>> space = solve_subspaces(z, {"sum": z.sum(1)}, k=1)
            >>> erased = z - space.encode(z)["sum"] @ space.patterns("sum")
            >>> torch.allclose(erased, space.erase(z, "sum"))
            True
        """
        W = torch.cat([self.W[name] for name in as_names(names, self.names, of=HOLDS)])
        return patterns_of(W, self._covariance())

    def free(self, z: Tensor) -> Tensor:
        """Coordinates (..., D - r) outside all subspaces, r the dimension of their union, in an orthonormal basis."""
        zc, dtype = self._centred(z)
        basis = orthogonal_complement(torch.cat(list(self.W.values())), rank=self.rank)
        with full_precision(zc):
            return (zc @ basis.to(zc).mT).to(dtype)

    def project(self, z: Tensor, name: str) -> Tensor:
        r"""Orthogonal projection of :math:`z - \bar z` (..., D) onto the row span of W."""
        zc, dtype = self._centred(z)
        W = self.W[as_names([name], self.names, of=HOLDS)[0]]
        with full_precision(zc):
            return (zc @ pinv(W).to(zc) @ W.to(zc)).to(dtype)

    def check_width(self, z: Tensor) -> None:
        """Require finite latents (..., D) of the D of the space.

        Raises:
            ShapeError, DtypeError, NonFiniteError: z does not fit, is not real, or not finite.
        """
        as_latents(z, self.latent_dim, of="The space")

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return the space on another device or in another floating-point type."""
        device = None if device is None else as_device(device)
        if dtype is not None:
            check_dtype(dtype, what="dtype")
        if self.z_mean.device == torch.device(device or self.z_mean.device) and dtype in (None, self.z_mean.dtype):
            return self
        moved: dict[str, Any] = {
            what: {name: t.to(device=device, dtype=dtype) for name, t in getattr(self, what).items()}
            for what in (*BY_QUANTITY, *self._error_bars)
        }
        for what in ("z_mean", "cov_zz"):
            tensor = getattr(self, what)
            moved[what] = None if tensor is None else tensor.to(device=device, dtype=dtype)
        return type(self)(shapes=self.shapes, n_samples=self.n_samples, classes=self.classes, **moved)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the space as safetensors with a JSON header and a checksum; the file appears whole or not at all.

        Raises:
            FileWriteError: the file cannot be written, such as on a full disk.
        """
        parts = (*BY_QUANTITY, *self._error_bars)
        tensors = {f"{what}.{i}": getattr(self, what)[name] for what in parts for i, name in enumerate(self.names)}
        shapes = [list(self.shapes[name]) for name in self.names]
        save_tensors(
            path,
            tensors | {"z_mean": self.z_mean} | ({} if self.cov_zz is None else {"cov_zz": self.cov_zz}),
            kind="LatentSpace",
            schema=SCHEMA_VERSION,
            names=self.names,
            shapes=shapes,
            n_samples=self.n_samples and [self.n_samples[name] for name in self.names],
            classes=self.classes,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a space written by :meth:`save`; its checksum is verified where the file has one.

        A file of the first version has no covariance of the latents, so its space does not erase, and edits only with
        ``metric="euclidean"``. Files of the first two versions have no residuals, so error bars need
        :meth:`calibrate`.

        Raises:
            FileFormatError: the file is missing, damaged, something else, or of a newer schema, or holds NaN or
                infinity.
        """
        return load_tensors(
            path,
            cls._parsed,
            kind="LatentSpace",
            schema=SCHEMA_VERSION,
            oldest=1,
            what="a readable latent space",
            remedy="Pass a file that save() wrote.",
        )

    @classmethod
    def _parsed(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        names = header["names"]
        for name, tensor in tensors.items():
            check_finite(tensor, what=f"The tensor {name!r} of the space")
        held = (*BY_QUANTITY, *(what for what in ERROR_BARS if f"{what}.0" in tensors))
        parts = {what: {name: tensors[f"{what}.{i}"] for i, name in enumerate(names)} for what in held}
        n = header.get("n_samples")
        return cls(
            z_mean=tensors["z_mean"],
            shapes=dict(zip(names, map(tuple, header["shapes"]), strict=True)),
            cov_zz=tensors.get("cov_zz"),
            n_samples=None if n is None else dict(zip(names, n, strict=True)),
            classes=header.get("classes", {}),
            **parts,
        )

    def summary(self) -> str:
        """Return a table of the quantities, their dimensions and what is free."""
        width = max(len("quantity"), *map(len, self.names))
        lines = [f"{'quantity':<{width}}  {'k':>4}  {'P':>6}  shape"]
        lines += [
            f"{name:<{width}}  {len(W):>4}  {len(self.y_mean[name]):>6}  {self.shapes[name]}"
            for name, W in self.W.items()
        ]
        lines.append(f"{'free':<{width}}  {self.latent_dim - self.rank:>4}  of D = {self.latent_dim}")
        return "\n".join(lines)

    def _centred(self, z: Tensor) -> tuple[Tensor, torch.dtype]:
        r"""Return :math:`z - \bar z` in the dtype of a computation, and the dtype of its result."""
        z = as_latents(z, self.latent_dim, of="The space")
        x = z.to(working_dtype(z))
        return x - self.z_mean.to(x), z.dtype

    def _covariance(self) -> Tensor:
        if self.cov_zz is None:
            raise NotSolvedError(
                "This needs the covariance of the latents, which the space does not hold: it is of an earlier file, or "
                "was made without cov_zz. Solve it again, with solve_subspaces(z, y) or a new run, or replace(space, "
                'cov_zz=Moments.of(z, y).cov_zz) by the latents of data. An edit with metric="euclidean" needs none.'
            )
        return self.cov_zz.double()

    def _noise(self, name: str) -> Tensor:
        r"""Fraction of the variance that a read-out leaves, :math:`1 - tr(A^T W \Sigma W^T A) / (P \sigma^2)`."""
        W, A = self.W[name].double(), self.A[name].double()
        explained = ((W @ self._covariance() @ W.mT @ A) * A).sum() / A.shape[1]
        return (1 - explained / self.y_scale[name].double().square()).clamp(min=0)
