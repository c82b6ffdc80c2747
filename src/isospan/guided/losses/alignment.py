"""How well each quantity is read from its subspace."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from isospan.guided.losses.inputs import (
    centred,
    checked_bases,
    checked_decoders,
    checked_quantities,
    exact_products,
    sizes,
    stacked,
)


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
    with exact_products(Z):
        Zc, W = centred(Z), checked_bases(W, Z)
        Y = checked_quantities(Y, W, Z)
        A = checked_decoders(A, W, Y)
        coordinates = (Zc @ stacked(W).mT).split(sizes(W), dim=1)
        return decoding_error(coordinates, [A[name] for name in W], [Y[name] for name in W])


def decoding_error(coordinates: Iterable[Tensor], decoders: Iterable[Tensor], targets: Iterable[Tensor]) -> Tensor:
    """Mean over quantities of mean((S A - Y_c)²), for centred coordinates S (B, k)."""
    errors = []
    for S, A, Y in zip(coordinates, decoders, targets, strict=True):
        residual = (Y - Y.mean(0)).addmm_(S, A, beta=-1)
        errors.append(torch.linalg.vector_norm(residual) ** 2 / residual.numel())
    return torch.stack(errors).mean()
