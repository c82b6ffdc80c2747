"""Edits of quantities: affine maps that move latents to where their read-outs reach targets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan._core.checks import (
    LARGEST,
    as_floating,
    as_latents,
    check_device,
    check_finite,
    check_named,
)
from isospan._core.labels import as_scores
from isospan._core.warnings import warn
from isospan.errors import ShapeError
from isospan.linalg import pinv, qr, svd, svdvals
from isospan.subspaces._patterns import reciprocal, root

Metric = Literal["covariance", "joint", "euclidean"]
"""What makes a step short: see :meth:`LatentSpace.edit`."""

BLOCKED = 1e-4
"""Sine of the angle to the read-outs that are kept below which an edit does not move along a direction."""


@dataclass(frozen=True, eq=False)
class Editor:
    r"""An affine map that sets quantities to targets; :meth:`LatentSpace.editor` makes it.

    .. math:: z' = z + \sum_q \bigl[ (y_q - \bar y_q)\, T_q - (z - \bar z)\, E_q^\top \bigr] S_q

    The bracket is the change asked for, in κ coordinates of the decoder of q; a row of S is the step for one of them.

    Attributes:
        z_mean: mean latent (D,).
        y_mean: mean of each quantity {name: (P,)}.
        shapes: shape of one target of each quantity.
        T: coordinates of a target {name: (P, κ)}.
        E: read-outs of these coordinates {name: (κ, D)}.
        S: steps {name: (κ, D)}.
        X: coordinates {name: (κ, r)} of the steps in which their length in the metric is the norm.
        classes: number of classes {name: C} of the quantities that are class labels.

    Example:
        >>> import torch
        >>> from isospan.subspaces import solve_subspaces
        >>> z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> space = solve_subspaces(z, {"sum": z.sum(1)}, k=1, ridge=0.0)
        >>> set_sum = space.editor("sum")
        >>> set_sum(z, {"sum": 2.0}).sum(1)[:3]
        tensor([2.0000, 2.0000, 2.0000], dtype=torch.float64)
    """

    z_mean: Tensor
    y_mean: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    T: Mapping[str, Tensor]
    E: Mapping[str, Tensor]
    S: Mapping[str, Tensor]
    X: Mapping[str, Tensor]
    classes: Mapping[str, int] = field(default_factory=dict, kw_only=True)

    def __repr__(self) -> str:
        return f"Editor(latent_dim={len(self.z_mean)}, names={list(self.T)})"

    def __call__(self, z: Tensor, y: Mapping[str, Tensor | np.ndarray | float]) -> Tensor:
        """Return the edited latents (..., D), in the dtype of z.

        Args:
            z: latents (..., D).
            y: a target for each quantity, in its unit, that broadcasts to ``(..., *shape)``; of class labels also
                classes, integers (...,).

        Raises:
            NameMismatchError: the targets are of other quantities.
            ShapeError, DtypeError, NonFiniteError, DeviceMismatchError: z or a target does not fit, is not real, not
                finite, or on another device.
        """
        z = as_latents(z, len(self.z_mean), of="The space")
        step = torch.zeros_like(z, dtype=torch.float64)
        for name, change in self._changes(z, y).items():
            step = step + change @ self.S[name].to(step)
        return (z.double() + step).to(z.dtype)

    def squared_length(self, z: Tensor, y: Mapping[str, Tensor | np.ndarray | float]) -> Tensor:
        """Return the squared lengths (...,) of the steps, in the metric in which they are short.

        Args:
            z: latents (..., D).
            y: targets, as in a call.

        Raises:
            NameMismatchError, ShapeError, DtypeError, NonFiniteError, DeviceMismatchError: as in a call.
        """
        z = as_latents(z, len(self.z_mean), of="The space")
        coordinates = [change @ self.X[name].to(change) for name, change in self._changes(z, y).items()]
        return torch.stack(coordinates).sum(0).square().sum(-1)

    def _changes(self, z: Tensor, y: Mapping[str, Tensor | np.ndarray | float]) -> dict[str, Tensor]:
        """The changes asked for (..., κ), in float64, which keeps the digits of a large offset."""
        check_named(self.T, y, what="Targets", against="the editor")
        x, changes = z.double(), {}
        zc = x - self.z_mean.to(x)
        for name, T in self.T.items():
            target = as_target(y[name], self.shapes[name], z, name=name, classes=self.classes.get(name))
            changes[name] = (target - self.y_mean[name].to(x)) @ T.to(x) - zc @ self.E[name].to(x).mT
        return changes


def as_target(y: Any, shape: tuple[int, ...], z: Tensor, *, name: str, classes: int | None = None) -> Tensor:
    """Return the target of a quantity (..., P) in float64, broadcast to the latents (..., D)."""
    what = f"The target of {name!r}"
    moves = not isinstance(y, Tensor) or (y.dim() == 0 and y.device.type == "cpu")
    y = y if classes is None else as_scores(y, classes, name=name)
    if isinstance(y, Real) and not isinstance(y, bool):
        y = torch.full((), float(y), dtype=torch.float64)
    y = as_floating(y, what=what)
    y = y.to(z.device) if moves else y
    check_device(y, z.device, what=what)
    check_finite(y, what=what, most=LARGEST)
    batch = z.shape[:-1]
    full = (*batch, *shape)
    if y.dim() > len(full) or any(n not in (1, m) for n, m in zip(y.shape[::-1], full[::-1][: y.dim()], strict=True)):
        raise ShapeError(
            f"{what} must have shape {full}, one for each latent, or {shape}, one for all, got {tuple(y.shape)}."
        )
    return y.double().broadcast_to(full).reshape(*batch, torch.Size(shape).numel())


class Equations(NamedTuple):
    r"""The equations of a quantity that its decoder determines, :math:`E \delta = \Delta y\, T`.

    Rows of E are orthogonal, and zero beyond the rank of the decoder.
    """

    T: Tensor
    E: Tensor

    @classmethod
    def of(cls, W: Tensor, A: Tensor, scale: Tensor, rounding: float) -> "Equations":
        r"""From the decoder :math:`A^\top = Q R` and the singular vectors of R W, in units of the scale."""
        Q, R = qr(A.mT / scale)
        U, s, V = svd(R @ W)
        significant = s > rounding * s[:1]
        return cls(Q @ U * significant / scale, (s * significant)[:, None] * V)


def shortest_steps(
    edited: Tensor, kept: Tensor, cov_zz: Tensor | None, noise: Tensor | None, *, rounding: float, names: list[str]
) -> tuple[Tensor, Tensor]:
    r"""Return the steps S (m, D) that change edited rows E by one each, where possible, and kept rows not at all.

    The second result are coordinates X (m, r) of the steps, whose norms are the lengths in the metric. With the Gram
    matrix :math:`N \Sigma N^\top = C C^\top` of all rows N (of unit length), a step is
    :math:`\delta = \epsilon B`, :math:`B = C^{-1} N \Sigma`. Its length in the metric :math:`\Sigma^{-1}` is that of
    :math:`\epsilon`, and it changes the rows by :math:`C \epsilon`. So :math:`\epsilon` is the shortest solution of
    least squares, or with the covariance R of the noise that of a ridge regression, orthogonal to the kept rows of C.

    Args:
        edited: rows E (m, D).
        kept: rows that do not change (n, D).
        cov_zz: Σ; None is the identity.
        noise: variances (m,) of the residuals of the edited rows; None is zero.
        rounding: relative rounding of the rows.
        names: of the edited quantities, for the warning.
    """
    m, N = len(edited), _unit_rows(torch.cat([edited, kept]))
    C, B = _factor(N, cov_zz, rounding)
    spanned = _span(_unit_rows(C[:m]), rounding)
    outside = _span(_unit_rows(C[m:]), len(N) * torch.finfo(N.dtype).eps)
    _, sines, directions = svd(spanned - spanned @ outside.mT @ outside)
    is_free = sines > max(BLOCKED, rounding)
    free = directions * is_free[:, None]
    if not torch.compiler.is_compiling():
        _warn_of_blocked(N[:m], spanned, int(is_free.sum()), rounding, names)
    F = torch.linalg.vector_norm(edited, dim=1)[:, None] * C[:m] @ free.mT
    inverse = pinv(F).mT if noise is None else pinv(F @ F.mT + noise.diag(), hermitian=True) @ F
    X = inverse @ free
    return X @ B, X


def _factor(N: Tensor, cov_zz: Tensor | None, rounding: float) -> tuple[Tensor, Tensor]:
    """C (m, r) and B (r, D) of :func:`shortest_steps`; rows without variance beyond rounding are zero in C."""
    if cov_zz is None:
        Q, R = qr(N.mT)
        return R.mT, Q.mT
    cross = N @ cov_zz
    variance, largest = (cross * N).sum(1), N.square() @ cov_zz.diagonal()
    varies = (variance > rounding * largest).to(N.dtype)[:, None]
    C, inverse = root(varies * (cross @ N.mT) * varies.mT)
    return C, inverse @ cross


def _warn_of_blocked(edited: Tensor, spanned: Tensor, n_free: int, rounding: float, names: list[str]) -> None:
    s = svdvals(edited)
    asked = int((s > rounding**0.5 * s[:1]).sum())  # variances of dependent rows are equal to rounding
    varying = int((spanned != 0).any(1).sum())
    if varying < asked:
        warn(
            f"Only {varying} of {asked} directions of {names} vary over the data, so the edit reaches the target only "
            'in part. Solve the space on more samples, or pass metric="euclidean".'
        )
    if n_free < varying:
        warn(
            f"Only {n_free} of {varying} directions of {names} are free of the other quantities' subspaces, so the "
            "edit reaches the target only in part. Edit the overlapping quantities together, keep fewer of them, or "
            "train with orthogonal=True."
        )


def _unit_rows(M: Tensor) -> Tensor:
    """Rows of length 1, whatever the scale of a latent or quantity; those that are zero stay."""
    return M * reciprocal(torch.linalg.vector_norm(M, dim=1, keepdim=True))


def _span(M: Tensor, rounding: float) -> Tensor:
    """Orthonormal basis of the row span of rows of length 1 to a relative rounding; further rows are zero."""
    _, s, directions = svd(M)
    return directions * (s > rounding * s[:1])[:, None]
