"""Validation at the public boundary: each error states the condition, what arrived and the remedy."""

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf, nan
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor

from isospan._core.text import differences
from isospan.errors import (
    DegenerateDataError,
    DeviceMismatchError,
    DimensionError,
    DtypeError,
    IsospanError,
    NameMismatchError,
    NonFiniteError,
    OptionError,
    ShapeError,
)

LARGEST = 1e140
"""Largest magnitude of the data: 1e28 of its squares can be added in float64."""

KEEP_FLOAT64 = "Values that vary by less than 6e-8 of their mean are constant in float32: read or keep them as float64."
"""Remedy for a constant quantity. 6e-8 is half a unit in the last place of float32."""


def check_choice(value: str, choices: Iterable[str], *, what: str) -> str:
    """Return ``value`` if it is one of ``choices``."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise OptionError(f"Invalid {what}: {value!r}. Choose one of {', '.join(map(repr, known))}.")
    return value


def check_flag(value: bool, *, what: str) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{what} must be True or False, got {value!r:.80}.")
    return bool(value)


def check_floating(x: Tensor, *, what: str) -> None:
    """Require a dense real floating-point tensor."""
    if not isinstance(x, Tensor):
        raise DtypeError(
            f"{what} must be a torch.Tensor, got {type(x).__name__}. Convert it with torch.as_tensor, a DataFrame with "
            "torch.as_tensor(frame.to_numpy())."
        )
    if not x.is_floating_point():
        raise DtypeError(f"{what} must be floating point, got {x.dtype}. Convert it with .float() or .double().")
    if x.layout is not torch.strided:
        raise DtypeError(f"{what} must be dense, got the layout {x.layout}. Convert it with .to_dense().")


@contextmanager
def naming_quantity(name: str) -> Iterator[None]:
    """Add the name of a quantity to an error of isospan.

    Example:
        >>> with naming_quantity("heat"):
        ...     check_choice("mean", ("avg", "max"), what="mode")
        Traceback (most recent call last):
        isospan.errors.OptionError: Invalid mode: 'mean'. Choose one of 'avg', 'max'. (quantity 'heat')
    """
    try:
        yield
    except IsospanError as error:
        raise type(error)(f"{error} (quantity {name!r})") from error


def as_tensor(x: Tensor | np.ndarray) -> Tensor:
    """Return a NumPy array as a tensor, without a copy if torch can share its memory, and any other value unchanged.

    Example:
        >>> as_tensor(np.arange(3.0)[::-1])
        tensor([2., 1., 0.], dtype=torch.float64)
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        return x  # type: ignore[return-value]  # refused by check_floating
    is_shared = x.flags.writeable and x.dtype.isnative and min(x.strides, default=0) >= 0
    return torch.from_numpy(x if is_shared else np.array(x, dtype=x.dtype.newbyteorder("=")))


def as_floating(x: Tensor | np.ndarray, *, what: str) -> Tensor:
    """Return a dense real floating-point tensor, also from a NumPy array."""
    x = as_tensor(x)
    check_floating(x, what=what)
    return x


def as_matrix(x: Tensor | np.ndarray, *, what: str) -> Tensor:
    """Return a matrix in float64 if it is float64, else in float32."""
    x = as_floating(x, what=what)
    if x.dim() != 2:
        raise ShapeError(f"{what} must have two dimensions, got shape {tuple(x.shape)}.")
    return as_matrices(x, what=what)


def as_matrices(x: Tensor | np.ndarray, *, what: str, square: bool = False, finite: bool = True) -> Tensor:
    """Return a matrix, or a batch of them (..., m, n), in float64 if it is float64, else in float32."""
    x = as_floating(x, what=what)
    if x.dim() < 2 or (square and x.shape[-1] != x.shape[-2]):
        shape = "(..., n, n)" if square else "(..., m, n)"
        raise ShapeError(f"{what} must have shape {shape}, got {tuple(x.shape)}.")
    if finite:
        check_finite(x, what=what)
    return x.to(working_dtype(x))


def check_finite(x: Tensor, *, what: str, most: float = inf) -> None:
    """Require that all entries are finite and at most ``most`` in magnitude, except where a compiler traces."""
    x = _physical(x)
    if torch.compiler.is_compiling() or x.is_meta or not x.numel():
        return
    largest = max(abs(float(bound)) for bound in x.detach().aminmax())
    if largest <= most and largest < inf:
        return
    bad = int((~torch.isfinite(x.detach())).sum())
    if bad:
        raise NonFiniteError(
            f"{what} must be finite, got {bad} NaN or infinite of {x.numel()} entries. Remove or fill them."
        )
    raise NonFiniteError(
        f"{what} must be at most {most:g}, so that squares are finite, got {largest:g}. Take another unit."
    )


def _physical(x: Tensor) -> Tensor:
    """Return the tensor inside the wrappers of ``torch.func``, with all samples of a ``vmap``."""
    while not torch.compiler.is_compiling() and is_functorch_wrapped_tensor(x):
        x = get_unwrapped(x)
    return x


def check_count(value: int, *, what: str, error: type[IsospanError] = OptionError, least: int = 1) -> int:
    """Return a whole number of at least ``least`` as an int."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except (TypeError, RuntimeError):  # such as from a tensor of several numbers
        number = None
    if number is None:
        raise error(f"{what} must be a whole number, got {value!r:.80}. Pass an int.")
    if number < least:
        raise error(f"{what} must be at least {least}, got {number}.")
    return number


def as_number(value: Any) -> float:
    """Return a real number, or a tensor or array of shape (), as a float; NaN for any other value.

    Example:
        >>> as_number(np.float32(0.5)), as_number(torch.tensor(2)), as_number("1"), as_number(True)
        (0.5, 2.0, nan, nan)
    """
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        try:
            value = value.item()
        except RuntimeError:  # such as from a meta tensor
            return nan
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:  # such as from 10**400
        return nan


def check_number(
    value: Any,
    *,
    what: str,
    least: float = 0.0,
    above: float = -inf,
    most: float = inf,
    below: float = inf,
    must: str | None = None,
    remedy: str = "",
) -> float:
    """Return a finite number within bounds as a float; ``must`` replaces the bounds in the message."""
    number = as_number(value)
    if not (least <= number <= most and above < number < below):
        lower = f"above {above:g}" if above >= least else f"of at least {least:g}"
        upper = f" and at most {most:g}" if most < inf else f" and below {below:g}" if below < inf else ""
        finite = " that is finite" * (number == inf)
        raise OptionError(
            f"{what} must be {must or f'a number {lower}{upper}{finite}'}, got {value!r:.80}. {remedy}".rstrip()
        )
    return number


def check_latents(z: Tensor, *, min_samples: int = 2, finite: bool = True) -> Tensor:
    """Return floating-point latents (B, D) with enough samples, also from a NumPy array."""
    z = as_floating(z, what="Latents z")
    if z.dim() != 2:
        raise ShapeError(
            f"Latents z must have shape (B, D), got {tuple(z.shape)}. Tokens (B, T, D) become samples with "
            "z.flatten(0, -2), a feature map becomes one latent with z.flatten(1), and one latent a batch with z[None]."
        )
    if z.shape[1] == 0:
        raise ShapeError(
            f"Latents z need at least one dimension, got shape {tuple(z.shape)}. Check the encoder's output."
        )
    if z.shape[0] < min_samples:
        raise DegenerateDataError(
            f"At least {min_samples} samples are needed, got a batch of {z.shape[0]}. Pass a larger batch "
            "(drop_last=True in a DataLoader avoids a short last one)."
        )
    if finite:
        check_finite(z, what="Latents z", most=LARGEST)
    return z


def as_latents(z: Tensor, latent_dim: int, *, of: str) -> Tensor:
    """Return finite floating-point latents (..., D), also from a NumPy array."""
    z = as_floating(z, what="Latents z")
    if z.shape[-1:] != (latent_dim,):
        raise ShapeError(
            f"{of} has D = {latent_dim}, got latents of shape {tuple(z.shape)}. Pass (..., D): encode with the network "
            "that it belongs to, and move the axis of the latent to the end with z.movedim."
        )
    check_finite(z, what="Latents z", most=LARGEST)
    return z


def as_names(names: Iterable[str], known: Iterable[str], *, of: str) -> list[str]:
    """Return names of known quantities as a list without repetition, also from the name of one."""
    single = isinstance(names, (str, Tensor, np.ndarray)) or not isinstance(names, Iterable)
    listed, known = [str(name) for name in ([names] if single else names)], list(known)
    if not listed or not set(listed) <= set(known):
        raise NameMismatchError(f"{of} the quantities {known}, got {listed!r:.120}. Name at least one of them.")
    return list(dict.fromkeys(listed))


def as_kept(keep: Iterable[str], known: Iterable[str], changed: Iterable[str], *, of: str) -> list[str]:
    """Return names of known quantities that are kept, or none; none of them is changed."""
    if isinstance(keep, Collection) and not isinstance(keep, str) and not len(keep):
        return []
    kept = as_names(keep, known, of=of)
    check_disjoint(changed, kept, how="changed")
    return kept


def check_disjoint(changed: Iterable[str], kept: Iterable[str], *, how: str) -> None:
    """Require that no quantity is both changed and kept."""
    if both := sorted({*kept} & {*changed}):
        raise NameMismatchError(f"A quantity is either {how} or kept, got {both} in both. Name it once.")


def check_not_empty(named: Mapping[str, object], *, what: str) -> None:
    """Require a dict with at least one quantity, by name."""
    if not isinstance(named, Mapping):
        raise NameMismatchError(
            f"{what} must be a dict of name: value, got {type(named).__name__}. Name each quantity."
        )
    if not named:
        raise DegenerateDataError(f"{what} names no quantity. Pass a dict with at least one.")
    nameless = [name for name in named if not isinstance(name, str)]
    if nameless:
        raise NameMismatchError(f"{what} must name quantities by strings, got {nameless!r:.80}. Name each quantity.")


def check_not_reserved(names: Iterable[str]) -> None:
    """Require that no quantity has the name "free", which is the part outside all subspaces."""
    if "free" in names:
        raise NameMismatchError(
            "A quantity may not be called 'free', which names the part of the latent outside all subspaces. Rename it."
        )


def check_names(expected: Iterable[str], got: Iterable[str], *, what: str, against: str) -> None:
    """Require the same names in two arguments, in any order."""
    expected, got = list(expected), list(got)
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected), key=str)
    if missing or extra:
        raise NameMismatchError(
            f"{what} must name the quantities of {against} {sorted(expected)}, got {sorted(got, key=str)} "
            f"(missing {missing}, unknown {extra}). Use the same names in both."
        )


def check_named(expected: Iterable[str], got: Mapping[str, object], *, what: str, against: str) -> None:
    """Require a dict of the same names as another argument, in any order."""
    check_not_empty(got, what=what)
    check_names(expected, got, what=what, against=against)


def as_device(device: torch.device | str, *, what: str = "device") -> torch.device:
    """Return a device, also from its name."""
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(f"{what} must be a device such as 'cpu' or 'cuda', got {device!r:.80}.") from error


def check_dtype(dtype: torch.dtype, *, what: str) -> None:
    """Require a real floating-point data type."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise DtypeError(f"{what} must be floating point, got {dtype!r:.80}. Pass torch.float32 or torch.float64.")


def check_device(x: Tensor, device: torch.device, *, what: str, against: str = "the latents") -> None:
    """Require a tensor on a device."""
    if x.device != device:
        raise DeviceMismatchError(
            f"{what} is on {x.device} but {against} are on {device}. Move it with .to({str(device)!r})."
        )


def check_targets(
    targets: Mapping[str, Tensor], *, batch: int, device: torch.device, finite: bool = True, what: str = "Targets"
) -> dict[str, Tensor]:
    """Return targets with the batch and device of the latents, flattened to {name: (B, P)}, as tensors."""
    check_not_empty(targets, what=what)
    targets = {name: as_floating(y, what=f"{what} of quantity {name!r}") for name, y in targets.items()}
    for name, y in targets.items():
        label = f"{what} of quantity {name!r}"
        check_device(y, device, what=label)
        if y.dim() == 0 or y.shape[0] != batch:
            raise ShapeError(
                f"{label} must have one row for each of the {batch} samples, got shape {tuple(y.shape)}. "
                "Latents and targets must come from the same batch; where the samples are tokens, a row of y for each, "
                "such as y.flatten(0, 1) or y.repeat_interleave(T, 0)."
            )
        if y.numel() == 0 and batch:
            raise ShapeError(f"{label} must have at least one entry a sample, got shape {tuple(y.shape)}.")
        if finite:
            check_finite(y, what=label, most=LARGEST)
    return {name: y.flatten(1) if y.dim() > 1 else y.unsqueeze(1) for name, y in targets.items()}


def check_k(k: int | Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Return the subspace dimension of every quantity, each at least 1."""
    names = list(names)
    per_name = dict(k) if isinstance(k, Mapping) else dict.fromkeys(names, k)
    check_names(names, per_name, what="k", against="the targets")
    return {name: check_count(per_name[name], what=f"k of quantity {name!r}", error=DimensionError) for name in names}


def check_partition(k: Mapping[str, int], latent_dim: int) -> None:
    """Require that the sum of k is at most D, so that mutually orthogonal subspaces exist."""
    total = sum(k.values())
    if total > latent_dim:
        raise DimensionError(
            f"Mutually orthogonal subspaces need the sum of k = {total} at most D = {latent_dim} (k = {dict(k)}). "
            f"Use a latent dimension of at least {total}, or smaller k, or orthogonal=False."
        )


def check_bases(
    W: Mapping[str, Tensor], *, latent_dim: int, device: torch.device, what: str = "W", finite: bool = True
) -> dict[str, Tensor]:
    """Return bases (k, D) of subspaces as tensors on the device of the latents."""
    check_not_empty(W, what=what)
    bases = {name: as_floating(basis, what=f"{what} of quantity {name!r}") for name, basis in W.items()}
    for name, basis in bases.items():
        label = f"{what} of quantity {name!r}"
        check_device(basis, device, what=label)
        if basis.dim() != 2 or basis.shape[0] == 0 or basis.shape[1] != latent_dim:
            raise ShapeError(
                f"{label} must have shape (k, D) with D = {latent_dim}, got {tuple(basis.shape)}. "
                "A basis has one row a direction; solve it for latents of this size."
            )
        if finite:
            check_finite(basis, what=label)
    return bases


def check_ridge(ridge: float) -> float:
    """Return a finite relative ridge of at least 0."""
    return check_number(ridge, what="The ridge")


def check_shape(shape: Sequence[int], *, what: str) -> tuple[int, ...]:
    """Return a shape as a tuple of whole numbers of at least 1."""
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise ShapeError(f"{what} must be a tuple of whole numbers, got {shape!r:.80}.")
    return tuple(check_count(n, what=f"Each size of {what[0].lower()}{what[1:]}", error=ShapeError) for n in shape)


def working_dtype(*tensors: Tensor) -> torch.dtype:
    """Return the dtype of a computation: float64 if a tensor is float64, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def check_same_run(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Require that a checkpoint is of a run with these settings."""
    if changed := differences(saved, now, where=("then", "now")):
        raise OptionError(
            f"{path} is of a run with other settings ({changed}). Resume with the same ones, or train "
            "from the start in another directory."
        )
