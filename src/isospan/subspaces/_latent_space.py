"""A solved latent space: it encodes, decodes, edits and erases quantities."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, get_args

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
    check_named,
    check_not_empty,
    check_not_reserved,
    check_shape,
    working_dtype,
)
from isospan._core.labels import check_classes
from isospan._core.tensor_files import load_tensors, save_tensors
from isospan._core.warnings import warn
from isospan.errors import NotSolvedError, OptionError, ShapeError
from isospan.linalg import orthogonal_complement, orthonormal_rows, pinv
from isospan.subspaces._editor import Editor, Equations, Metric, steps
from isospan.subspaces._patterns import erased, patterns_of

SCHEMA_VERSION = 2
"""The first had no covariance of the latents."""
ROUNDING = 1e-12
"""Relative rounding of float64 decoders, which are solutions of normal equations. Of lower precision it is 10 eps."""
BY_QUANTITY = ("W", "A", "y_mean", "y_scale")
"""The attributes that hold a tensor for each quantity."""
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
    classes: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    rank: int = field(init=False)

    def __post_init__(self) -> None:
        """Check that names and sizes fit together."""
        check_not_empty(self.W, what="W")
        check_not_reserved(self.W)
        for what in ("A", "y_mean", "y_scale", "shapes"):
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
        object.__setattr__(self, "rank", len(orthonormal_rows(torch.cat(list(self.W.values())))))

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
        for what in BY_QUANTITY:
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

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """Each quantity ``(..., *shape)``, in its own units.

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
        return decoded

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
    ) -> Tensor:
        r"""Return latents that decode to the targets y and to the same values of the quantities that are kept.

        With the read-out :math:`M_q = A_q^\top W_q` of a quantity in units of its scale, the step δ is the shortest
        among the least squares solutions of :math:`M_q (z + \delta - \bar z) = (y_q - \bar y_q) / \sigma_q` subject to
        :math:`M_j\, \delta = 0` for the quantities j that are kept. ``metric`` says what is short:

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

        Args:
            z: latents (..., D).
            y: {name: target} in the quantity's units, a number, tensor or array that broadcasts to ``(..., *shape)``.
                Of class labels also a class: an integer, or a tensor of integers (...,).
            keep: names of quantities that do not change, or ``"others"``, all that are not edited.
            metric: what makes a step short.

        Returns:
            Latents (..., D), in the dtype of z.

        Raises:
            NameMismatchError: a target is of no quantity of the space, or a quantity is both edited and kept.
            NotSolvedError: the metric needs the covariance of the latents, which the space does not hold.
            OptionError: there is no such metric.
            ShapeError, DtypeError, NonFiniteError, DeviceMismatchError: z or a target does not fit, is not real, not
                finite, or on another device.

        Warns:
            NumericalWarning: some directions of an edited quantity do not vary, or lie within the subspaces of what is
                kept. The latent does not change along these, so the edit reaches its target only in part.
        """
        check_not_empty(y, what="Targets")
        return self.editor(list(y), keep=keep, metric=metric)(z, y)

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
        S = steps(torch.cat(E), torch.cat(fixed), cov_zz, noise, rounding=rounding, names=names)
        return Editor(
            z_mean=self.z_mean,
            y_mean={name: self.y_mean[name] for name in names},
            shapes={name: self.shapes[name] for name in names},
            classes={name: C for name, C in self.classes.items() if name in names},
            T={name: equations[name].T for name in names},
            E=dict(zip(names, E, strict=True)),
            S=dict(zip(names, S.split([len(rows) for rows in E]), strict=True)),
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
            for what in BY_QUANTITY
        }
        for what in ("z_mean", "cov_zz"):
            tensor = getattr(self, what)
            moved[what] = None if tensor is None else tensor.to(device=device, dtype=dtype)
        return type(self)(shapes=self.shapes, classes=self.classes, **moved)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the space as safetensors with a JSON header and a checksum; the file appears whole or not at all.

        Raises:
            FileWriteError: the file cannot be written, such as on a full disk.
        """
        tensors = {
            f"{what}.{i}": getattr(self, what)[name] for what in BY_QUANTITY for i, name in enumerate(self.names)
        }
        shapes = [list(self.shapes[name]) for name in self.names]
        save_tensors(
            path,
            tensors | {"z_mean": self.z_mean} | ({} if self.cov_zz is None else {"cov_zz": self.cov_zz}),
            kind="LatentSpace",
            schema=SCHEMA_VERSION,
            names=self.names,
            shapes=shapes,
            classes=self.classes,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a space written by :meth:`save`; its checksum is verified where the file has one.

        A file of the first version has no covariance of the latents, so its space does not erase, and edits only with
        ``metric="euclidean"``.

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
        parts = {what: {name: tensors[f"{what}.{i}"] for i, name in enumerate(names)} for what in BY_QUANTITY}
        return cls(
            z_mean=tensors["z_mean"],
            shapes=dict(zip(names, map(tuple, header["shapes"]), strict=True)),
            cov_zz=tensors.get("cov_zz"),
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
