"""What the losses need of a batch of which this process holds only a part."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from isospan._checks import check_names
from isospan.errors import DegenerateDataError, ShapeError
from isospan.moments import Moments


class Whole(NamedTuple):
    """Sums over the whole batch; every loss depends on the samples of others through these alone.

    Shapes: count, y_mean {name: (P,)}, scatter_zz (D, D), errors (Q,), the sums of squared errors of decoding.
    """

    count: int
    y_mean: list[Tensor]
    scatter_zz: Tensor
    errors: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, moments: Moments, W: Mapping[str, Tensor], A: Mapping[str, Tensor]) -> "Whole":
        r"""Take the sums from the moments of the whole batch.

        .. math:: \sum_b \|A_q^\top W_q z_b - y_b\|^2
                  = \langle A_q A_q^\top, W_q S_{zz} W_q^\top \rangle - 2 \langle A_q, W_q S_{zy} \rangle + \sum S_{yy}

        of centred latents and quantities, in float64, so that a small error is not lost in the difference.
        """
        _check_fits(moments, W, A)
        cross, squares, mean = moments.split(moments.scatter_zy), moments.var_y, moments.y_mean
        errors = []
        for name, W_q in W.items():
            basis, decoder = W_q.double(), A[name].double()
            gram = basis @ moments.scatter_zz @ basis.mT
            mixed = (decoder * (gram @ decoder - 2 * (basis @ cross[name]))).sum()
            errors.append((mixed + moments.count * squares[name].sum()).clamp(min=0))
        dtype = next(iter(W.values())).dtype
        return cls(
            count=int(moments.count),
            y_mean=[mean[name].to(dtype) for name in W],
            scatter_zz=moments.scatter_zz,
            errors=torch.stack(errors).to(dtype),
        )

    def gram(self, frame: Tensor) -> Tensor:
        """F S_zz Fᵀ (K, K) for directions F (K, D), the Gram matrix of the coordinates of all samples."""
        return (frame.double() @ self.scatter_zz @ frame.double().mT).to(frame.dtype)


def _check_fits(moments: Moments, W: Mapping[str, Tensor], A: Mapping[str, Tensor]) -> None:
    check_names(W, moments.names, what="The moments of the whole batch", against="W")
    D, sizes = next(iter(W.values())).shape[1], {name: A_q.shape[1] for name, A_q in A.items()}
    if moments.latent_dim != D or any(moments.target_dims[name] != sizes[name] for name in sizes):
        raise ShapeError(
            f"The moments of the whole batch must be of D = {D} and targets of {sizes} entries, got "
            f"D = {moments.latent_dim} and {moments.target_dims}. Collect them from the same latents and targets."
        )
    if float(moments.count) < 2:
        raise DegenerateDataError(
            f"At least 2 samples are needed, got {float(moments.count):g} in the whole batch. Pass a larger batch."
        )
