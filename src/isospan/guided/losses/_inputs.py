"""What every loss does first: check shapes, names and devices, centre the latents, stack the bases.

The values are not looked at: a NaN in Z or Y makes a loss NaN, and no check waits for the device.
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


def checked_latents(Z: Tensor, whole: Moments | None = None) -> Tensor:
    """Latents (B, D), at least two of them where they are no part of a whole batch."""
    return check_latents(Z, finite=False, min_samples=2 if whole is None else 0)


def centred(Z: Tensor, whole: Moments | None = None) -> Tensor:
    """Latents minus the mean of their batch, or of the whole batch that they are a part of; float32 or float64.

    The mean of a batch is taken off twice, first as a constant: what rounding leaves of a mean far from zero is gone.
    """
    dtype = working_dtype(Z)
    if whole is not None:
        return (Z - whole.z_mean).to(dtype)
    Z = Z.to(dtype)
    Z = Z - Z.detach().mean(0)
    return Z - Z.mean(0)


def in_units(Zc: Tensor) -> tuple[Tensor, Tensor]:
    """Latents divided by a unit, and the unit: the power of two below their largest entry, so that squares fit."""
    scale = power_of_two(Zc) if Zc.numel() else Zc.new_ones(())
    return Zc / scale, scale


def checked_bases(W: Mapping[str, Tensor], Z: Tensor) -> dict[str, Tensor]:
    """Bases (k, D) of the latents Z, in the precision of the loss."""
    W = check_bases(W, latent_dim=Z.shape[1], device=Z.device, finite=False)
    dtype = working_dtype(Z)
    return {name: W_q.to(dtype) for name, W_q in W.items()}


def checked_decoders(A: Mapping[str, Tensor], W: Mapping[str, Tensor], Y: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Decoders (k, P) that lead from the bases to the targets (B, P), in the precision of the bases."""
    check_named(W, A, what="A", against="W")
    A = {name: as_floating(A[name], what=f"A of quantity {name!r}") for name in W}
    for name, W_q in W.items():
        label, expected = f"A of quantity {name!r}", (len(W_q), Y[name].shape[1])
        check_device(A[name], W_q.device, what=label)
        if A[name].shape != expected:
            raise ShapeError(
                f"{label} must have shape (k, P) = {expected} (rows of W, entries of Y), got {tuple(A[name].shape)}. "
                "Fit the decoders with these bases and targets."
            )
    return {name: A[name].to(W_q.dtype) for name, W_q in W.items()}


def checked_quantities(
    Y: Mapping[str, Tensor], W: Mapping[str, Tensor], Z: Tensor, whole: Moments | None = None
) -> dict[str, Tensor]:
    """Targets flattened to (B, P), in the precision of the loss.

    Where a cast would lose digits to a mean far from zero, the mean is taken off before; that of a ``whole`` batch is.
    """
    check_named(W, Y, what="Y", against="W")
    flat = check_targets(Y, batch=len(Z), device=Z.device, finite=False, what="Y")
    dtype = working_dtype(Z)
    if whole is not None:
        check_fits(whole, latent_dim=Z.shape[1], sizes={name: flat[name].shape[1] for name in W})
        return {name: (flat[name] - mean).to(dtype) for name, mean in whole.y_mean.items()}
    shrinks = {name: y.dtype == torch.float64 and dtype == torch.float32 for name, y in flat.items()}
    return {name: (y - y.detach().mean(0) if shrinks[name] else y).to(dtype) for name, y in flat.items()}


def check_fits(whole: Moments, *, latent_dim: int, sizes: Mapping[str, int]) -> None:
    """Require moments of latents and quantities of these sizes, and of at least two samples."""
    check_names(sizes, whole.names, what="The moments of the whole batch", against="W")
    if whole.latent_dim != latent_dim or any(whole.target_dims[name] != size for name, size in sizes.items()):
        raise ShapeError(
            f"The moments of the whole batch must be of D = {latent_dim} and targets of {sizes} entries, got "
            f"D = {whole.latent_dim} and {whole.target_dims}. Collect them from the same latents and targets."
        )
    if float(whole.count) < 2:
        raise DegenerateDataError(
            f"At least 2 samples are needed, got {float(whole.count):g} in the whole batch. Pass a larger batch."
        )


def sizes(W: Mapping[str, Tensor]) -> list[int]:
    """Rows of each basis."""
    return [len(W_q) for W_q in W.values()]


def stacked(W: Mapping[str, Tensor]) -> Tensor:
    """All bases on top of each other, (Σk, D)."""
    return torch.cat(list(W.values()))
