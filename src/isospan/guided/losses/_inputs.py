"""Input checks that all losses share, and the centred latents and stacked bases that they compute with.

Only shapes, names, dtypes and devices are checked. The values are not read, since that would wait for the device: a NaN
in z or y makes a loss NaN.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.checks import (
    as_floating,
    check_bases,
    check_device,
    check_latents,
    check_named,
    check_names,
    check_targets,
    working_dtype,
)
from isospan.errors import DegenerateDataError, ShapeError
from isospan.linalg import power_of_two
from isospan.moments import Moments


def checked_latents(z: Tensor, global_moments: Moments | None = None) -> Tensor:
    """Latents (B, D) with B ≥ 2; a shard of a global batch may have any B."""
    return check_latents(z, finite=False, min_samples=2 if global_moments is None else 0)


def centred(z: Tensor, global_moments: Moments | None = None) -> Tensor:
    """Latents minus their mean over the batch or the global batch, in float32 or float64.

    The mean of a batch is subtracted twice, the first time as a constant. The second time removes the rounding error of
    a mean that is far from zero.
    """
    dtype = working_dtype(z)
    if global_moments is not None:
        return (z - global_moments.z_mean).to(dtype)
    z = z.to(dtype)
    z = z - z.detach().mean(0)
    return z - z.mean(0)


def rescaled(zc: Tensor) -> tuple[Tensor, Tensor]:
    """Latents divided by a power of two near their largest entry, so that squares fit the dtype, and that power."""
    scale = power_of_two(zc) if zc.numel() else zc.new_ones(())
    return zc / scale, scale


def checked_bases(W: Mapping[str, Tensor], z: Tensor) -> dict[str, Tensor]:
    """Bases (k, D) for the latents z, in the precision of the loss."""
    W = check_bases(W, latent_dim=z.shape[1], device=z.device, finite=False)
    dtype = working_dtype(z)
    return {name: W_q.to(dtype) for name, W_q in W.items()}


def checked_decoders(A: Mapping[str, Tensor], W: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Decoders (k, P) from the coordinates of W (k, D) to the targets y (B, P), in the precision of W."""
    check_named(W, A, what="A", against="W")
    A = {name: as_floating(A[name], what=f"A of quantity {name!r}") for name in W}
    for name, W_q in W.items():
        label, expected = f"A of quantity {name!r}", (len(W_q), y[name].shape[1])
        check_device(A[name], W_q.device, what=label)
        if A[name].shape != expected:
            raise ShapeError(
                f"{label} must have shape (k, P) = {expected} (rows of W, entries of y), got {tuple(A[name].shape)}. "
                "Fit the decoders with these bases and targets."
            )
    return {name: A[name].to(W_q.dtype) for name, W_q in W.items()}


def checked_quantities(
    y: Mapping[str, Tensor], W: Mapping[str, Tensor], z: Tensor, global_moments: Moments | None = None
) -> dict[str, Tensor]:
    """Targets flattened to (B, P), in the precision of the loss.

    The mean of a global batch is subtracted. The mean of a batch is subtracted only before a cast from float64 to
    float32, where it would cost digits.
    """
    check_named(W, y, what="y", against="W")
    flat = check_targets(y, batch=len(z), device=z.device, finite=False, what="y")
    dtype = working_dtype(z)
    if global_moments is not None:
        check_global_moments(global_moments, latent_dim=z.shape[1], sizes={name: flat[name].shape[1] for name in W})
        return {name: (flat[name] - mean).to(dtype) for name, mean in global_moments.y_mean.items()}
    shrinks = {name: t.dtype == torch.float64 and dtype == torch.float32 for name, t in flat.items()}
    return {name: (t - t.detach().mean(0) if shrinks[name] else t).to(dtype) for name, t in flat.items()}


def check_global_moments(moments: Moments, *, latent_dim: int, sizes: Mapping[str, int]) -> None:
    """Require moments of latents and targets of these sizes, from at least two samples."""
    check_names(sizes, moments.names, what="global_moments", against="W")
    if moments.latent_dim != latent_dim or any(moments.target_dims[name] != size for name, size in sizes.items()):
        raise ShapeError(
            f"global_moments must be of D = {latent_dim} and targets of {sizes} entries, got "
            f"D = {moments.latent_dim} and {moments.target_dims}. Collect them from the same latents and targets."
        )
    if float(moments.count) < 2:
        raise DegenerateDataError(
            f"At least 2 samples are needed, got {float(moments.count):g} in the global batch. Pass a larger batch."
        )


def sizes(W: Mapping[str, Tensor]) -> list[int]:
    """Number of rows k of each basis."""
    return [len(W_q) for W_q in W.values()]


def stacked(W: Mapping[str, Tensor]) -> Tensor:
    """The rows of all bases, (Σk, D)."""
    return torch.cat(list(W.values()))
