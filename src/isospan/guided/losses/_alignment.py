"""How well each quantity is read from its subspace."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.guided.losses._fused import Gradients, with_gradient
from isospan.guided.losses._inputs import (
    centred,
    checked_bases,
    checked_decoders,
    checked_latents,
    checked_quantities,
    sizes,
    stacked,
)
from isospan.guided.losses._whole import Whole


def alignment_loss(Z: Tensor, W: Mapping[str, Tensor], A: Mapping[str, Tensor], Y: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean over quantities of the mean squared error of decoding.

    .. math:: L = \frac1Q \sum_q \operatorname{mean}\bigl( (Z_c W_q^\top A_q - Y_{q,c})^2 \bigr)

    Args:
        Z: latents (B, D), B ≥ 2.
        W: bases {name: (k, D)}.
        A: decoders {name: (k, P)}.
        Y: quantities {name: (B, ...)}, flattened to (B, P).

    Returns:
        Scalar, in squared units of the quantities, in the precision of Z (float32 for half precision).

    Raises:
        NameMismatchError: W, A and Y name different quantities.
        ShapeError, DtypeError, DeviceMismatchError, DegenerateDataError: what the message says. NaN is not looked for;
            it makes the loss NaN.

    Example:
        >>> import torch
        >>> z, W = torch.randn(10, 3), {"a": torch.eye(3)[:1]}
        >>> alignment_loss(z, W, {"a": torch.tensor([[2.0]])}, {"a": 2 * z[:, :1] + 7}).round(decimals=4)
        tensor(0.)
    """
    Z = checked_latents(Z)
    with full_precision(Z):
        Zc, W = centred(Z), checked_bases(W, Z)
        Y = checked_quantities(Y, W, Z)
        A = checked_decoders(A, W, Y)
        S = Zc @ stacked(W).mT
        kernel = partial(decoding_error, sizes(W))
        return with_gradient(kernel, S, *(A[name] for name in W), *(Y[name] for name in W), traceable=True)


def decoding_error(
    k: Sequence[int], needed: Sequence[bool], S: Tensor, *rest: Tensor, whole: Whole | None = None
) -> tuple[Tensor, Gradients]:
    """Mean over quantities of mean((S_q A_q - Y_q,c)²) and its gradients in the stacked S (B, Σk), the A and the Y.

    With R = S_q A_q - Y_q,c they are ‖R‖², 2 R Aᵀ, 2 Sᵀ R and -2 R, all over Q·B·P. One R lives at a time. The mean of
    R is zero but for the rounding of a large mean of Y, which is taken off the value; the centring of S takes it off
    the gradient in Z. Where these are a part of a ``whole`` batch, Y is centred already, the value is that of the
    whole, and the gradients are what this part adds to them.
    """
    Q, B = len(k), len(S) if whole is None else whole.count
    squares, shares, for_S, for_A, for_Y = [], [], [], [], []
    parts = zip(S.split(k, dim=1), rest[:Q], rest[Q:], needed[1 : Q + 1], needed[Q + 1 :], strict=True)
    for S_q, A, Y, need_A, need_Y in parts:
        R = (Y - (Y.mean(0) if whole is None else 0)).addmm_(S_q, A, beta=-1)
        share = 1 / (Q * B * R.shape[1])
        if needed[0]:
            for_S.append((R @ A.mT).mul_(2 * share))
        left = R.mean(0) if whole is None else R.new_zeros(())
        if whole is None:
            flat = R.reshape(-1)
            squares.append(flat.dot(flat) - B * left.dot(left))
        shares.append(share)
        for_A.append(2 * share * (S_q.mT @ R) if need_A else None)
        for_Y.append(2 * share * (left - R) if need_Y else None)
    errors = torch.stack(squares) if whole is None else whole.errors
    value = errors.dot(torch.tensor(shares, dtype=S.dtype, device=S.device))
    return value, (torch.cat(for_S, 1) if needed[0] else None, *for_A, *for_Y)
