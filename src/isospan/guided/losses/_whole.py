"""What the losses need of a batch of which this process holds only a part."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from isospan.moments import Moments


class Whole(NamedTuple):
    """Sums over the whole batch; every loss depends on the samples of others through these alone.

    Shapes: count, scatter_zz (D, D), errors (Q,), the sums of squared errors of decoding.
    """

    count: int
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
        cross, squares = moments.split(moments.scatter_zy), moments.var_y
        errors = []
        for name, W_q in W.items():
            basis, decoder = W_q.double(), A[name].double()
            gram = basis @ moments.scatter_zz @ basis.mT
            mixed = (decoder * (gram @ decoder - 2 * (basis @ cross[name]))).sum()
            errors.append((mixed + moments.count * squares[name].sum()).clamp(min=0))
        dtype = next(iter(W.values())).dtype
        return cls(
            count=int(moments.count),
            scatter_zz=moments.scatter_zz,
            errors=torch.stack(errors).to(dtype),
        )

    def in_units(self, unit: Tensor) -> "Whole":
        """Return the sums of latents that are divided by a unit, whose decoders are multiplied by it."""
        return self._replace(scatter_zz=self.scatter_zz / unit.double() ** 2)

    def gram(self, frame: Tensor) -> Tensor:
        """F S_zz Fᵀ (K, K) for directions F (K, D), the Gram matrix of the coordinates of all samples."""
        return (frame.double() @ self.scatter_zz @ frame.double().mT).to(frame.dtype)
