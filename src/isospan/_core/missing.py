"""Samples without some quantities, and weights of samples."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from isospan._core.checks import LARGEST, as_tensor, check_choice, check_device, check_finite
from isospan.errors import DtypeError, IsospanError, NonFiniteError, OptionError, ShapeError

Missing = Literal["raise", "skip"]
"""What happens to samples that do not have a quantity, with NaN in any entry: see :class:`isospan.moments.Moments`."""


def check_missing(missing: str) -> None:
    """Require ``"raise"`` or ``"skip"``."""
    check_choice(missing, ("raise", "skip"), what="missing")


def check_weights(weights: Tensor | None, *, batch: int, device: torch.device) -> Tensor | None:
    """Return weights (B,) of samples in float64, each at least 0."""
    if weights is None:
        return None
    weights = as_tensor(weights)
    if not isinstance(weights, Tensor) or weights.is_complex():
        got = weights.dtype if isinstance(weights, Tensor) else type(weights).__name__
        raise DtypeError(f"weights must be a tensor of one real number a sample, got {got}.")
    if tuple(weights.shape) != (batch,):
        raise ShapeError(
            f"weights must have one number for each of the {batch} samples, shape ({batch},), got "
            f"{tuple(weights.shape)}."
        )
    check_device(weights, device, what="weights")
    weights = weights.detach().double()
    check_finite(weights, what="weights")
    if batch and float(weights.min()) < 0:
        raise OptionError(f"weights must be at least 0, got {float(weights.min()):.3g}. Zero leaves a sample out.")
    return weights


def without_zero_weights(
    z: Tensor, y: dict[str, Tensor], weights: Tensor | None
) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
    """Return the samples of weights above zero, whose values alone are looked at."""
    if weights is None or bool((weights > 0).all()):
        return z, y, weights
    rows = weights > 0
    return z[rows], {name: values[rows] for name, values in y.items()}, weights[rows]


def weighted_samples(
    z: Tensor, y: Mapping[str, Any], weights: Tensor | None
) -> tuple[Tensor, Mapping[str, Any], Tensor | None]:
    """Return the samples of weights above zero, before z and y are checked."""
    z = as_tensor(z)
    if weights is None or not isinstance(z, Tensor) or not z.dim() or not isinstance(y, Mapping):
        return z, y, weights
    try:
        checked = check_weights(weights, batch=len(z), device=z.device)
    except IsospanError:  # of several processes each says so together with the others, when it checks the batch
        return z, y, weights
    values = {name: as_tensor(value) for name, value in y.items()}
    fits = all(isinstance(value, Tensor) and value.dim() and len(value) == len(z) for value in values.values())
    return without_zero_weights(z, values, checked) if fits else (z, y, checked)


def check_present(y: Mapping[str, Tensor]) -> None:
    """Require quantities (B, P) that are finite in every sample without NaN."""
    for name, values in y.items():
        if not values.numel():
            continue
        largest = values.detach().nan_to_num(nan=0.0, posinf=float("inf"), neginf=float("inf")).abs().max()
        if not float(largest) <= LARGEST:
            raise NonFiniteError(
                f"Targets of quantity {name!r} must be finite or NaN, which is missing, and at most {LARGEST:g}, got "
                f"{float(largest):g}. Remove or fill it."
            )
