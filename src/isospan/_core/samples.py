"""Latents, quantities and weights of a batch, checked together."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from isospan._core.checks import check_latents, check_targets
from isospan._core.labels import encoded
from isospan._core.missing import Missing, check_missing, check_present, check_weights, without_zero_weights


class Checked(NamedTuple):
    """Latents (B, D), quantities {name: (B, P)} as tensors, and weights (B,) in float64, all above zero."""

    z: Tensor
    flat: dict[str, Tensor]
    weights: Tensor | None


def checked_samples(
    z: Tensor,
    y: Mapping[str, Any],
    *,
    classes: Mapping[str, int],
    missing: Missing = "raise",
    weights: Tensor | None = None,
    min_samples: int = 2,
    finite: bool = True,
) -> Checked:
    """Return the samples of a batch: class labels as indicators, and without samples of weight zero.

    With ``missing="skip"`` the quantities of a sample may have NaN. ``finite=False`` leaves out the checks that look at
    values of quantities without weights.
    """
    check_missing(missing)
    simple = weights is None and missing == "raise"
    z = check_latents(z, min_samples=min_samples if simple else 0, finite=simple and finite)
    flat = check_targets(encoded(y, classes, missing=missing), batch=len(z), device=z.device, finite=simple and finite)
    if simple:
        return Checked(z, flat, None)
    samples = without_zero_weights(z, flat, check_weights(weights, batch=len(z), device=z.device))
    check_latents(samples[0], min_samples=min_samples)
    if missing == "skip":
        check_present(samples[1])
    else:
        check_targets(samples[1], batch=len(samples[0]), device=z.device)
    return Checked(*samples)
