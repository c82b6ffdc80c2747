"""What every loss does first: check shapes, names and devices, centre the latents, stack the bases.

The values are not looked at: a NaN in Z or Y makes a loss NaN, and no check waits for the device.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._checks import (
    check_bases,
    check_device,
    check_floating,
    check_latents,
    check_names,
    check_targets,
    working_dtype,
)
from isospan.errors import ShapeError
from isospan.moments import Moments


def centred(Z: Tensor, whole: Moments | None = None) -> Tensor:
    """Checked latents minus the mean of their batch, or of the whole batch that they are a part of; float32 or float64.

    The mean is held constant: the gradients of all losses in Zc have columns of sum zero already, so what the mean
    would add to them is zero.
    """
    check_latents(Z, finite=False, min_samples=2 if whole is None else 0)
    Z = Z.to(working_dtype(Z))
    return Z - (Z.detach().mean(0) if whole is None else whole.z_mean.to(Z.dtype))


def checked_bases(W: Mapping[str, Tensor], Z: Tensor) -> dict[str, Tensor]:
    """Bases (k, D) of the latents Z, in the precision of the loss."""
    check_bases(W, latent_dim=Z.shape[1], device=Z.device)
    dtype = working_dtype(Z)
    return {name: W_q.to(dtype) for name, W_q in W.items()}


def checked_decoders(A: Mapping[str, Tensor], W: Mapping[str, Tensor], Y: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Decoders (k, P) that lead from the bases to the targets (B, P), in the precision of the bases."""
    check_names(W, A, what="A", against="W")
    for name, W_q in W.items():
        label, expected = f"A of quantity {name!r}", (len(W_q), Y[name].shape[1])
        check_floating(A[name], what=label)
        check_device(A[name], W_q.device, what=label)
        if A[name].shape != expected:
            raise ShapeError(
                f"{label} must have shape (k, P) = {expected} (rows of W, entries of Y), got {tuple(A[name].shape)}. "
                "Fit the decoders with these bases and targets."
            )
    return {name: A[name].to(W_q.dtype) for name, W_q in W.items()}


def checked_quantities(Y: Mapping[str, Tensor], W: Mapping[str, Tensor], Z: Tensor) -> dict[str, Tensor]:
    """Targets flattened to (B, P), in the precision of the loss."""
    check_names(W, Y, what="Y", against="W")
    flat = check_targets(Y, batch=len(Z), device=Z.device, finite=False, what="Y")
    dtype = working_dtype(Z)
    return {name: y.to(dtype) for name, y in flat.items()}


def sizes(W: Mapping[str, Tensor]) -> list[int]:
    """Rows of each basis."""
    return [len(W_q) for W_q in W.values()]


def stacked(W: Mapping[str, Tensor]) -> Tensor:
    """All bases on top of each other, (Σk, D)."""
    return torch.cat(list(W.values()))
