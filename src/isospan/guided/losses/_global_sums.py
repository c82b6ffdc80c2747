"""Sums over the global batch, for losses of a process that has only a shard of it."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from isospan.moments import Moments


class GlobalSums(NamedTuple):
    """Sums over the samples of the global batch. A loss depends on the samples of other processes only through these.

    Attributes:
        count: number of samples.
        scatter_zz: Σ z zᵀ of the centred latents, (D, D).
        errors: sum of the squared decoding errors of each quantity, (Q,).
    """

    count: int
    scatter_zz: Tensor
    errors: Tensor

    @classmethod
    @torch.no_grad()
    def from_moments(cls, moments: Moments, W: Mapping[str, Tensor], A: Mapping[str, Tensor]) -> "GlobalSums":
        r"""Compute the sums for bases W and decoders A from the moments of the global batch.

        .. math:: \sum_b \|A_q^\top W_q z_b - y_b\|^2
                  = \langle A_q A_q^\top, W_q S_{zz} W_q^\top \rangle - 2 \langle A_q, W_q S_{zy} \rangle + \sum S_{yy}

        with centred latents and quantities. In float64, because a small error is a difference of large terms.
        """
        scatter_zy, var_y = moments.split(moments.scatter_zy), moments.var_y
        errors = []
        for name, W_q in W.items():
            basis, decoder = W_q.double(), A[name].double()
            gram = basis @ moments.scatter_zz @ basis.mT
            mixed = (decoder * (gram @ decoder - 2 * (basis @ scatter_zy[name]))).sum()
            errors.append((mixed + moments.count * var_y[name].sum()).clamp(min=0))
        dtype = next(iter(W.values())).dtype
        return cls(int(moments.count), moments.scatter_zz, torch.stack(errors).to(dtype))

    def rescaled(self, scale: Tensor) -> "GlobalSums":
        """Return the sums for latents divided by a scale and decoders multiplied by it."""
        return self._replace(scatter_zz=self.scatter_zz / scale.double() ** 2)

    def gram(self, F: Tensor) -> Tensor:
        """F S_zz Fᵀ (K, K) for directions F (K, D): the Gram matrix of the coordinates of all samples."""
        return (F.double() @ self.scatter_zz @ F.double().mT).to(F.dtype)
