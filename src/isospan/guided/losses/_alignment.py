"""The error of decoding each quantity from its subspace."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.guided.losses._global_sums import GlobalSums
from isospan.guided.losses._inputs import (
    centred,
    checked_bases,
    checked_decoders,
    checked_latents,
    checked_quantities,
    sizes,
    stacked,
)
from isospan.guided.losses._precomputed_gradient import Gradients, with_precomputed_gradient


def alignment_loss(z: Tensor, W: Mapping[str, Tensor], A: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean squared error of decoding the quantities from their subspaces.

    .. math:: L = \frac1Q \sum_q \operatorname{mean}\bigl( (z_c W_q^\top A_q - y_{q,c})^2 \bigr)

    with Q quantities, and latents :math:`z_c` and quantities :math:`y_{q,c}` minus their means over the batch.

    Args:
        z: latents (B, D), B ≥ 2.
        W: bases {name: (k, D)}.
        A: decoders {name: (k, P)}.
        y: quantities {name: (B, ...)}, flattened to (B, P).

    Returns:
        Scalar, in squared units of the quantities, in the precision of z (float32 for half precision).
        Values are not checked: NaN or infinity in an argument makes it NaN or infinite.

    Raises:
        NameMismatchError: W, A and y are not dicts with the same names.
        ShapeError: z, W or A has another shape, or y another number of samples or no entries.
        DtypeError: a tensor is not real floating point.
        DeviceMismatchError: a tensor is on another device than z.
        DegenerateDataError: fewer than two samples, or no quantity.

    Example:
        >>> import torch
        >>> z, W = torch.randn(10, 3), {"a": torch.eye(3)[:1]}
        >>> alignment_loss(z, W, {"a": torch.tensor([[2.0]])}, {"a": 2 * z[:, :1] + 7}).round(decimals=4)
        tensor(0.)
    """
    z = checked_latents(z)
    with full_precision(z):
        zc, W = centred(z), checked_bases(W, z)
        y = checked_quantities(y, W, z)
        A = checked_decoders(A, W, y)
        S = zc @ stacked(W).mT
        kernel = partial(decoding_error, sizes(W))
        return with_precomputed_gradient(kernel, S, *(A[name] for name in W), *(y[name] for name in W), traceable=True)


def decoding_error(
    k: Sequence[int], needed: Sequence[bool], S: Tensor, *A_and_Y: Tensor, sums: GlobalSums | None = None
) -> tuple[Tensor, Gradients]:
    """The alignment loss of centred coordinates S (B, Σk) of all quantities, and its gradients in S, the A and the Y.

    With the residual R = S_q A_q - (Y_q - mean Y_q), the terms of a quantity are ‖R‖², 2 R Aᵀ, 2 Sᵀ R and -2 R, each
    divided by Q·B·P. Only one residual is in memory at a time. The mean of R is zero up to the rounding of a large mean
    of Y, and is subtracted from the value and from the gradient in Y; the centring of S subtracts it from that in z.

    With the ``sums`` of a global batch, of which S and Y are a shard, Y is centred already. The value is that of the
    global batch, and the gradients are those of its samples in the shard.
    """
    Q, B = len(k), len(S) if sums is None else sums.count
    errors, weights, dS, dA, dY = [], [], [], [], []
    quantities = zip(S.split(k, dim=1), A_and_Y[:Q], A_and_Y[Q:], needed[1 : Q + 1], needed[Q + 1 :], strict=True)
    for S_q, A, Y, need_A, need_Y in quantities:
        R = (Y - (Y.mean(0) if sums is None else 0)).addmm_(S_q, A, beta=-1)
        mean = R.mean(0) if sums is None else R.new_zeros(())
        weight = 1 / (Q * B * R.shape[1])
        weights.append(weight)
        if sums is None:
            flat = R.reshape(-1)
            errors.append(flat.dot(flat) - B * mean.dot(mean))
        if needed[0]:
            dS.append((R @ A.mT).mul_(2 * weight))
        dA.append(2 * weight * (S_q.mT @ R) if need_A else None)
        dY.append(2 * weight * (mean - R) if need_Y else None)
    squares = torch.stack(errors) if sums is None else sums.errors
    value = squares.dot(torch.tensor(weights, dtype=S.dtype, device=S.device))
    return value, (torch.cat(dS, 1) if needed[0] else None, *dA, *dY)
