"""A solved latent space: it encodes, decodes, edits and erases quantities."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from isospan._core.checks import (
    as_device,
    as_floating,
    as_tensor,
    check_device,
    check_dtype,
    check_finite,
    check_latents,
    check_named,
    check_not_empty,
    check_not_reserved,
    check_shape,
    check_targets,
    working_dtype,
)
from isospan._core.tensor_files import load_tensors, save_tensors
from isospan._core.warnings import warn
from isospan.errors import NameMismatchError, ShapeError
from isospan.linalg import orthogonal_complement, orthonormal_rows, pinv, qr, svd

SCHEMA_VERSION = 1
BLOCKED = 1e-4
"""Sine of the angle to the other quantities' subspaces below which an edit does not move along a direction."""
BY_QUANTITY = ("W", "A", "y_mean", "y_scale")
"""The attributes that hold a tensor for each quantity."""


@dataclass(frozen=True, eq=False)
class LatentSpace:
    r"""Linear subspaces of a latent space, each with a decoder of one quantity.

    A quantity y (P entries) is read from a latent z (D,) by

    .. math:: \hat y = \bar y + (z - \bar z)\, W^\top A .

    Means are part of the space, so a single new latent can be decoded. All methods take z of shape (B, D) and keep
    its device; results have the dtype of z (float32 for half precision).

    Attributes:
        W: bases {name: (k, D)}, orthonormal rows.
        A: decoders {name: (k, P)}, in the quantity's units.
        z_mean: mean latent (D,).
        y_mean: mean of each quantity {name: (P,)}.
        y_scale: one standard deviation of each quantity {name: ()}, which weighs quantities that are edited together.
        shapes: shape of one target {name: tuple}, product P.

    Raises:
        NameMismatchError: the attributes name different quantities.
        ShapeError: sizes do not fit together.
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
        ... )
        >>> hot = space.edit(z, {"heat": torch.tensor([3.0, 5.0]).double().expand(50, 2)})
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
        r"""Coordinates :math:`s = (z - \bar z) W^\top` (B, k) of each quantity's subspace."""
        zc, space = self._centred(z)
        return {name: zc @ W.mT for name, W in space.W.items()}

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """Each quantity ``(B, *shape)``, in its own units.

        Warns:
            NumericalWarning: the result is float32, which does not hold the digits of a quantity far from zero.
        """
        zc, space = self._centred(z)
        if zc.dtype == torch.float32 and self._far_from_zero:
            warn(
                f"float32 holds {self._far_from_zero} to less than a hundredth of their deviations, since their means "
                "are far from zero. Pass latents in float64: z.double()."
            )
        flat = {name: space.y_mean[name] + zc @ W.mT @ space.A[name] for name, W in space.W.items()}
        return {name: y.reshape(len(z), *self.shapes[name]) for name, y in flat.items()}

    @cached_property
    def _far_from_zero(self) -> list[str]:
        """Quantities whose mean, in float32, is rounded by more than 1 % of their standard deviation."""
        rounding = torch.finfo(torch.float32).eps
        return [
            name
            for name, mean in self.y_mean.items()
            if mean.dtype == torch.float64 and float(mean.abs().max() * rounding) > 0.01 * float(self.y_scale[name])
        ]

    def edit(self, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        r"""Return the nearest latent that decodes to the targets y and to the same values of all other quantities.

        The step δ minimises :math:`\|\delta\|` among the least squares solutions of
        :math:`A_q^\top W_q (z + \delta - \bar z) = y_q - \bar y_q` subject to :math:`A_j^\top W_j \delta = 0` for the
        quantities j that are not edited. Exact where the target is within the reach of the k directions and the
        subspaces are independent; else the nearest decodable value, each quantity in units of its scale. Computed in
        float64, so that weak directions of a decoder count too.

        Args:
            z: latents (B, D).
            y: {name: ``(B, *shape)`` or ``shape``}, in the quantity's units.

        Returns:
            Latents (B, D), in the dtype of z (float32 for half precision).

        Raises:
            NameMismatchError: a target is of no quantity of the space.
            ShapeError, DtypeError, NonFiniteError: a target has another shape than the quantity or another batch size
                than z, is not real, or not finite.

        Warns:
            NumericalWarning: some directions of an edited quantity lie within the subspaces of the others. The latent
                does not change along these, so the edit reaches its target only in part.
        """
        zc, space = self._centred(z, torch.float64)
        wanted = self._broadcast_targets(zc, y)
        # With the QR of each decoder, A_q^T = Q R, the P equations of a quantity become k of the same least squares.
        factors = {name: qr(space.A[name].mT / space.y_scale[name]) for name in self.names}
        rows = {name: factors[name][1] @ W for name, W in space.W.items()}
        change = {
            name: ((target - space.y_mean[name]) / space.y_scale[name]) @ factors[name][0] - zc @ rows[name].mT
            for name, target in wanted.items()
        }
        rounding = 100 * self.latent_dim * torch.finfo(self.z_mean.dtype).eps
        parts = [_significant(rows[name], change[name], rounding) for name in wanted]
        equations, asked = torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts], 1)
        kept = [rows[name] for name in self.names if name not in wanted]
        free = self._free_directions(equations, kept, rounding, list(wanted))
        step = asked @ pinv(equations @ free.mT).mT @ free
        return (zc + step + space.z_mean).to(working_dtype(as_tensor(z)))

    def erase(self, z: Tensor, names: Iterable[str]) -> Tensor:
        """Return latents whose coordinates in the subspaces of these quantities are those of the mean latent.

        Inside a subspace nothing varies any more, so no linear probe there reads the quantity.
        """
        zc, space = self._centred(z)
        erased = self._known([names] if isinstance(names, str) else names)
        basis = orthonormal_rows(torch.cat([space.W[name] for name in erased]))
        return zc - _project(zc, basis) + space.z_mean

    def free(self, z: Tensor) -> Tensor:
        """Coordinates (B, D - r) outside all subspaces, r the dimension of their union, in an orthonormal basis."""
        zc, space = self._centred(z)
        return zc @ orthogonal_complement(torch.cat(list(space.W.values()))).mT

    def project(self, z: Tensor, name: str) -> Tensor:
        r"""Orthogonal projection of :math:`z - \bar z` (B, D) onto the row span of W."""
        zc, space = self._centred(z)
        return _project(zc, orthonormal_rows(space.W[self._known([name])[0]]))

    def check_width(self, z: Tensor) -> None:
        """Require latents (B, D) of the D of the space, else raise a ShapeError."""
        z = check_latents(z, min_samples=0, finite=False)
        if z.shape[1] != self.latent_dim:
            raise ShapeError(
                f"The space has D = {self.latent_dim}, got latents of shape {tuple(z.shape)}. Encode with the network "
                "that the space belongs to."
            )

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return the space on another device or in another floating-point type."""
        device = None if device is None else as_device(device)
        if dtype is not None:
            check_dtype(dtype, what="dtype")
        if self.z_mean.device == torch.device(device or self.z_mean.device) and dtype in (None, self.z_mean.dtype):
            return self
        moved = {
            what: {name: t.to(device=device, dtype=dtype) for name, t in getattr(self, what).items()}
            for what in BY_QUANTITY
        }
        return type(self)(z_mean=self.z_mean.to(device=device, dtype=dtype), shapes=self.shapes, **moved)

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
            tensors | {"z_mean": self.z_mean},
            kind="LatentSpace",
            schema=SCHEMA_VERSION,
            names=self.names,
            shapes=shapes,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a space written by :meth:`save`; its checksum is verified where the file has one.

        Raises:
            FileFormatError: the file is missing, damaged, something else, or of a newer schema, or holds NaN or
                infinity.
        """
        return load_tensors(
            path,
            cls._parsed,
            kind="LatentSpace",
            schema=SCHEMA_VERSION,
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
            z_mean=tensors["z_mean"], shapes=dict(zip(names, map(tuple, header["shapes"]), strict=True)), **parts
        )

    def summary(self) -> str:
        """Return a table of the quantities, their dimensions and what is free."""
        rank = len(orthonormal_rows(torch.cat(list(self.W.values()))))
        width = max(len("quantity"), *map(len, self.names))
        lines = [f"{'quantity':<{width}}  {'k':>4}  {'P':>6}  shape"]
        lines += [
            f"{name:<{width}}  {len(W):>4}  {len(self.y_mean[name]):>6}  {self.shapes[name]}"
            for name, W in self.W.items()
        ]
        lines.append(f"{'free':<{width}}  {self.latent_dim - rank:>4}  of D = {self.latent_dim}")
        return "\n".join(lines)

    def _centred(self, z: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Self]:
        z = check_latents(z, min_samples=0)
        self.check_width(z)
        space = self.to(device=z.device, dtype=dtype or working_dtype(z))
        return z.to(space.z_mean.dtype) - space.z_mean, space

    def _known(self, names: Iterable[str]) -> list[str]:
        names = [str(name) for name in names] if isinstance(names, Iterable) else [str(names)]
        unknown = [name for name in names if name not in self.W]
        if unknown or not names:
            raise NameMismatchError(
                f"The space holds the quantities {self.names}, got {names}. Name at least one of them."
            )
        return names

    def _broadcast_targets(self, z: Tensor, y: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_not_empty(y, what="Targets")
        self._known(y)
        expanded = {name: self._expanded(name, target, len(z)) for name, target in y.items()}
        flat = check_targets(expanded, batch=len(z), device=z.device)
        return {name: target.double() for name, target in flat.items()}

    def _expanded(self, name: str, y: Tensor, batch: int) -> Tensor:
        y = as_floating(y, what=f"The target of {name!r}")
        shape = tuple(self.shapes[name])
        if tuple(y.shape) not in (shape, (1, *shape), (batch, *shape)):
            raise ShapeError(
                f"The target of {name!r} must have shape {(batch, *shape)}, one for each latent, or {shape}, one for "
                f"all, got {tuple(y.shape)}."
            )
        return y.expand(batch, *shape)

    def _free_directions(self, equations: Tensor, kept: list[Tensor], rounding: float, names: list[str]) -> Tensor:
        """Orthonormal directions along which a step changes what the equations read, and nothing that is kept.

        The sine of the angle between a direction and the kept rows is what they leave of it. Where that is below
        ``BLOCKED``, or the rounding of the space, it counts as blocked: a step along it would be 1 / sine as long.
        """
        spanned = _orthonormal(_unit_rows(equations), rounding)
        if not kept:
            return spanned
        outside = orthonormal_rows(_unit_rows(torch.cat(kept)))
        _, sines, directions = svd(spanned - _project(spanned, outside))
        free = directions[sines > max(BLOCKED, rounding)]
        if len(free) < len(spanned):
            warn(
                f"Only {len(free)} of {len(spanned)} directions of {names} are free of the other quantities' "
                "subspaces, so the edit reaches the target only in part. Edit the overlapping quantities together, or "
                "train with orthogonal=True."
            )
        return free


def _project(x: Tensor, basis: Tensor) -> Tensor:
    return x @ basis.mT @ basis


def _significant(rows: Tensor, change: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
    """The equations rows δ = change (B, k) of one quantity without those that are rounding of its largest."""
    U, s, Vh = svd(rows)
    keep = s > rounding * s[:1]
    return s[keep, None] * Vh[keep], change @ U[:, keep]


def _unit_rows(M: Tensor) -> Tensor:
    """Rows of length 1, whatever the scale of a latent or quantity; those that are zero left out."""
    lengths = torch.linalg.vector_norm(M, dim=1, keepdim=True)
    return (M / lengths)[lengths.squeeze(1) > 0]


def _orthonormal(M: Tensor, rounding: float) -> Tensor:
    """Orthonormal basis (r, D) of the row span of rows of length 1, r the rank to a relative rounding."""
    _, s, directions = svd(M)
    return directions[s > rounding * s[:1]]
