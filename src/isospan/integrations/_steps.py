"""The change of latents that erases and edits quantities: one affine map, solved once and applied at many calls."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from isospan._core.checks import LARGEST, as_floating, check_finite
from isospan._core.labels import as_scores
from isospan.errors import ShapeError
from isospan.subspaces import Eraser, LatentSpace

Target = Tensor | np.ndarray | float | Callable[[Tensor], Tensor | np.ndarray | float]
"""A target of a quantity, or a function from its current value to one."""


class Erasure(NamedTuple):
    r"""The map :math:`z' = z - (z F^\top - f)\, P`; F has no rows where nothing is erased."""

    F: Tensor
    P: Tensor
    f: Tensor
    z_mean: Tensor

    @classmethod
    def of(cls, space: LatentSpace, erase: Collection[str] | Eraser) -> Self:
        """Of quantities of a space or of an eraser, in float64 on the device of the space."""
        z_mean = space.z_mean.double()
        none = z_mean.new_zeros(0, len(z_mean))
        if isinstance(erase, Eraser):
            F, P, fixed = (tensor.to(none) for tensor in (erase.filters, erase.patterns, erase.z_mean))
        else:
            F = torch.cat([none, *(space.W[name].double() for name in erase)])
            P, fixed = space.patterns(erase) if erase else none, z_mean
        return cls(F, P, F @ fixed, z_mean)

    def before(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return N' and n with :math:`z N'^\top + n = (z' - \bar z) N^\top`, for rows N (m, D)."""
        rows = rows.double()
        cross = rows @ self.P.mT
        return rows - cross @ self.F, cross @ self.f - rows @ self.z_mean


class ReadOut(NamedTuple):
    r"""A quantity of latents (..., D), :math:`y = z W^\top A + b` with P entries."""

    W: Tensor
    A: Tensor
    b: Tensor
    shape: tuple[int, ...]

    @classmethod
    def solved(cls, space: LatentSpace, name: str, erasure: Erasure) -> Self:
        """As the space decodes it from the latents that an erasure leaves."""
        W, s = erasure.before(space.W[name])
        A = space.A[name].double()
        return cls(W, A, space.y_mean[name].double() + s @ A, space.shapes[name])

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return it on a device, in a dtype."""
        return self._replace(**{what: getattr(self, what).to(device, dtype) for what in ("W", "A", "b")})

    def at(self, x: Tensor) -> Tensor:
        """Return the quantity ``(..., *shape)``."""
        return linear(linear(x, self.W), self.A.mT, self.b).reshape((*x.shape[:-1], *self.shape))


class TargetCoordinates(NamedTuple):
    r"""The coordinates :math:`(y - \bar y)\, T` of a target (κ,), or (..., κ) for each latent."""

    target: Tensor | Callable[[Tensor], Any]
    current: ReadOut
    name: str
    y_mean: Tensor
    T: Tensor

    @property
    def is_constant(self) -> bool:
        """Whether it is one target for all latents, for which nobody asks a gradient."""
        return isinstance(self.target, Tensor) and self.target.dim() == 1 and not self.target.requires_grad

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return it on a device, in a dtype. A target with gradients may change, so it is moved at every call."""
        target = self.target
        if isinstance(target, Tensor) and not target.requires_grad:
            target = target.to(device, dtype)
        return self._replace(
            target=target,
            current=self.current.to(device, dtype),
            y_mean=self.y_mean.to(device, dtype),
            T=self.T.to(device, dtype),
        )

    def at(self, x: Tensor) -> Tensor:
        """Return the coordinates (..., κ) for latents x."""
        y, shape = self.target, self.current.shape
        if not isinstance(y, Tensor):
            y = flat_target(y(self.current.at(x)), shape, name=self.name)
        batch, lead = x.shape[:-1], y.shape[:-1]
        if len(lead) > len(batch) or any(n not in (1, m) for n, m in zip(lead[::-1], batch[::-1], strict=False)):
            raise ShapeError(
                f"The target of {self.name!r} must have shape {shape}, one for all latents, or {(*batch, *shape)}, one "
                f"for each of this call, got {(*lead, *shape)}. Pass one for all, or a function of the current value, "
                "which has the shape of the call."
            )
        return self.in_coordinates(y.to(x)).expand(*batch, -1)

    def in_coordinates(self, y: Tensor) -> Tensor:
        """Return the coordinates of a target (..., P)."""
        return (y - self.y_mean) @ self.T


@dataclass(frozen=True, eq=False)
class Step:
    r"""The affine map of latents (..., D) that an eraser and then an editor are together, of rank r.

    .. math:: z' = z + (c - z\, G^\top)\, H

    A row of G is a filter of the eraser, or a read-out of the editor as it reads z before the erasure. A row of H is
    the pattern or the step of this row. A target enters c alone.

    Attributes:
        G, H: (r, D).
        c: (r,), with the coordinates of the targets that are constant.
        targets: for each quantity that is edited its number of rows, and its target unless that is constant.
    """

    G: Tensor
    H: Tensor
    c: Tensor
    targets: tuple[tuple[int, TargetCoordinates | None], ...]

    @classmethod
    def of(cls, space: LatentSpace, erase: Collection[str] | Eraser, edit: Mapping[str, Target]) -> Self:
        """Solve it, in float64 on the device of the space."""
        erasure = Erasure.of(space, erase)
        G, H, c, targets = [erasure.F], [erasure.P], [erasure.f], []
        if edit:
            editor = space.editor(list(edit))
            for name, E in editor.E.items():
                current = ReadOut.solved(space, name, erasure)
                target = as_target(_in_scores(edit[name], space.classes.get(name), name), current.shape, name=name)
                coordinates = TargetCoordinates(target, current, name, editor.y_mean[name], editor.T[name])
                coordinates = coordinates.to(E.device, torch.float64)
                rows, n = erasure.before(E)
                G.append(rows)
                H.append(editor.S[name].double())
                if isinstance(coordinates.target, Tensor) and coordinates.is_constant:
                    c.append(coordinates.in_coordinates(coordinates.target) - n)
                    targets.append((len(E), None))
                else:
                    c.append(-n)
                    targets.append((len(E), coordinates))
        return cls(torch.cat(G), torch.cat(H), torch.cat(c), tuple(targets))

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return it on a device, in a dtype."""
        G, H, c = (tensor.to(device, dtype) for tensor in (self.G, self.H, self.c))
        return type(self)(G, H, c, tuple((n, target and target.to(device, dtype)) for n, target in self.targets))

    def apply(self, x: Tensor) -> Tensor:
        """Return the changed latents, in the dtype of the step."""
        return x + linear(self.constants(x) - linear(x, self.G), self.H.mT)

    def constants(self, x: Tensor) -> Tensor:
        """Return c (r,), or (..., r) where targets are not constant."""
        if all(target is None for _, target in self.targets):
            return self.c
        parts = [self.c.new_zeros(*x.shape[:-1], n) if target is None else target.at(x) for n, target in self.targets]
        erased = self.c.new_zeros(*x.shape[:-1], len(self.c) - sum(n for n, _ in self.targets))
        return self.c + torch.cat([erased, *parts], -1)


def _in_scores(y: Target, C: int | None, name: str) -> Any:
    """Return the target of a quantity of C classes with classes as their indicators, also those of a function."""
    if C is None:
        return y
    return (lambda now: as_scores(y(now), C, name=name)) if callable(y) else as_scores(y, C, name=name)


def as_target(y: Any, shape: tuple[int, ...], *, name: str) -> Tensor | Callable[[Tensor], Any]:
    """Return a function, or a finite target as a tensor."""
    if callable(y):
        return y
    y = flat_target(y, shape, name=name)
    check_finite(y, what=f"The target of {name!r}", most=LARGEST)
    return y


def flat_target(y: Any, shape: tuple[int, ...], *, name: str) -> Tensor:
    """Return a target (P,) for all latents or (..., P) for each, also of a number or an array."""
    if isinstance(y, Real) and not isinstance(y, bool):
        y = torch.tensor(float(y), dtype=torch.float64)
    y = as_floating(y, what=f"The target of {name!r}")
    lead = y.shape[: max(y.dim() - len(shape), 0)]
    if any(n not in (1, m) for n, m in zip(y.shape[len(lead) :][::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"The target of {name!r} must have shape {shape}, one for all latents, or end in it, got {tuple(y.shape)}. "
            "Reshape it, or pass a number for all entries."
        )
    return y.broadcast_to((*lead, *shape)).reshape(*lead, torch.Size(shape).numel())
