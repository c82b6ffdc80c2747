"""Changes of quantities: their targets, and the fields and quantities before and after."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan._core.files import explained
from isospan._core.numpy_files import open_npy, open_npz
from isospan.errors import DtypeError, FileFormatError, OptionError, ShapeError
from isospan.quantities import pool

Change = str | float | os.PathLike[str] | Tensor | np.ndarray


@dataclass(frozen=True, eq=False)
class Edited:
    """The result of an edit: fields and quantities before and after.

    Attributes:
        before: fields (N, C, H, W) decoded from the latents before the edit.
        after: fields (N, C, H, W) decoded from the edited latents.
        targets: values that the quantities were set to {name: (N, ...)}.
        read_before: every quantity, read from the latents before the edit.
        read_after: every quantity, read from the edited latents.
        latents: the edited latents (N, D).
        computed_before: quantities that are functions of the fields, computed from ``before``.
        computed_after: the same, computed from ``after``.
        sample_coordinate: sample coordinate of NetCDF, HDF5 and Zarr files, an ``xarray.DataArray``; else None.
        scales: one standard deviation of each quantity.
        decoded: names of the quantities that were edited through the decoder.
    """

    before: Tensor
    after: Tensor
    targets: dict[str, Tensor]
    read_before: dict[str, Tensor]
    read_after: dict[str, Tensor]
    latents: Tensor
    computed_before: dict[str, Tensor] = field(default_factory=dict)
    computed_after: dict[str, Tensor] = field(default_factory=dict)
    sample_coordinate: Any = None
    scales: Mapping[str, float] = field(default_factory=dict)
    decoded: tuple[str, ...] = ()

    def __repr__(self) -> str:
        edits = shorten(", ".join(f"{name} fidelity {self.fidelity(name):.2g}" for name in self.targets), 120)
        return f"Edited({edits}; {len(self.after)} fields {tuple(self.after.shape[1:])})"

    def fidelity(self, name: str) -> float:
        r"""Return the edit fidelity of a quantity: the fraction of the change asked for that the fields show.

        .. math:: \langle y' - y,\, t - \hat y\rangle \,/\, \|t - \hat y\|^2

        Here y and y' are computed from the fields before and after, and t is the target. :math:`\hat y` is y where the
        quantity was edited through the decoder; else it is read from the latents before. NaN where the quantity is not
        edited or not a function of the fields, or where :math:`t = \hat y`.
        """
        if name not in self.computed_after or name not in self.targets:
            return float("nan")
        before = self.computed_before if name in self.decoded else self.read_before
        asked = (self.targets[name].cpu() - before[name].cpu()).double()
        shown = (self.computed_after[name] - self.computed_before[name]).double().cpu()
        return float((shown * asked).sum() / asked.square().sum())

    @property
    def side_effects(self) -> dict[str, float]:
        """Root mean square change of each quantity that is not edited, in its standard deviations.

        It is computed from the fields where the quantity is a function of them; else it is read from the latents.
        """
        effects = {}
        for name in [name for name in self.scales if name not in self.targets]:
            computed = name in self.computed_after
            before, after = (
                (self.computed_before, self.computed_after) if computed else (self.read_before, self.read_after)
            )
            change = (after[name] - before[name]).double()
            effects[name] = float(change.square().mean().sqrt()) / self.scales[name]
        return effects


def parse_change(name: str, how: Change, read: Tensor) -> Tensor:
    """Return the target of a quantity, from its values (N, ...) read from the latents.

    Example:
        >>> parse_change("heat", "*1.5", torch.tensor([[2.0, 4.0]])), parse_change("heat", "3", torch.zeros(1, 2))
        (tensor([[3., 6.]]), tensor([[3., 3.]]))
    """
    if isinstance(how, str) and how[:1] in ("*", "+"):
        factor = _number(name, how[1:])
        return read * factor if how[0] == "*" else read + factor
    if isinstance(how, (Tensor, np.ndarray)):
        return _fitting(name, torch.as_tensor(how), read)
    if not isinstance(how, (int, float)) and Path(how).suffix in (".npy", ".npz"):
        return _fitting(name, _load_array(Path(how), name), read)
    return torch.full_like(read, _number(name, how))


def _number(name: str, text: object) -> float:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise OptionError(
            f"The target of {name!r} must be a number, '*1.5', '+0.2', or the path of a .npy or .npz file, got "
            f"{text!r}."
        ) from None


def _load_array(path: Path, name: str) -> Tensor:
    """Return the array of a .npy file, or the one of this name in a .npz file."""
    if not path.is_file():
        raise FileFormatError(f"The target of {name!r} must be a file that exists, got {path}. Check the path.")
    remedy = f"Save it with numpy.save, or with numpy.savez under the name {name!r}."
    with explained(path, what=f"cannot be read as an array of numbers for {name!r}", remedy=remedy):
        arrays = open_npz(path) if path.suffix == ".npz" else open_npy(path, name)
        return torch.from_numpy(np.array(arrays[name].values))


def _fitting(name: str, target: Tensor, read: Tensor) -> Tensor:
    """Return a target (N, ...): an array of one sample is repeated, and one at full resolution is pooled."""
    if target.is_complex():
        raise DtypeError(f"The target of {name!r} must be real, got {target.dtype}. Pass its real part.")
    target = target.to(read)
    shape = tuple(read.shape[1:])
    if len(shape) == 3 and tuple(target.shape[-2:]) != shape[-2:] and target.dim() >= 2:
        grid = target.shape[-2:]
        target = pool(target.reshape(-1, 1, *grid), shape[-1]).reshape(*target.shape[:-2], *shape[-2:])
    try:
        return torch.broadcast_to(target, read.shape)
    except RuntimeError:
        raise ShapeError(
            f"The target of {name!r} must broadcast to (N, ...) = {tuple(read.shape)}, got {tuple(target.shape)}. Pass "
            f"one sample of shape {shape}, or one for each of the {len(read)} samples."
        ) from None
