"""The bases and decoders of an objective, as buffers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.states import KeepsPrecision
from isospan.linalg import pinv
from isospan.moments import Moments


class Solution(KeepsPrecision):
    r"""Bases and decoders of all quantities, stacked: K = Σk rows of bases, ΣP entries of targets, in float64.

    The decoders are one matrix (K, ΣP). It is block diagonal: the rows of a quantity decode its own entries alone. So
    one product reads all quantities, :math:`(z - \bar z) W^\top A`.

    Args:
        k: subspace dimension of each quantity, {name: k}.
        latent_dim: D.
        target_dims: entries of each quantity, {name: P}.
    """

    bases: Tensor
    previous: Tensor
    decoders: Tensor
    solves: Tensor

    def __init__(self, k: Mapping[str, int], latent_dim: int, target_dims: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = {name: min(k[name], latent_dim, target_dims[name]) for name in k}
        self.dims = {name: target_dims[name] for name in k}
        rows, entries = sum(self.sizes.values()), sum(self.dims.values())
        for name, shape in (("bases", latent_dim), ("previous", latent_dim), ("decoders", entries)):
            self.register_buffer(name, torch.zeros(rows, shape, dtype=torch.float64))
        self.register_buffer("solves", torch.zeros((), dtype=torch.int64))
        index = torch.arange(len(self.sizes))
        row, entry = (index.repeat_interleave(torch.tensor(list(n.values()))) for n in (self.sizes, self.dims))
        for name, mask in (("same_rows", row[:, None] == row), ("own_entries", row[:, None] == entry)):
            self.register_buffer(name, mask.double(), persistent=False)
        averages = (index[:, None] == entry).double()
        self.register_buffer("averages", averages / averages.sum(1, keepdim=True), persistent=False)

    @property
    def W(self) -> dict[str, Tensor]:
        """Bases {name: (k, D)}."""
        return self._split(self.bases)

    @property
    def W_prev(self) -> dict[str, Tensor] | None:
        """Bases before the last solve; None after the first."""
        return self._split(self.previous) if int(self.solves) > 1 else None

    @property
    def A(self) -> dict[str, Tensor]:
        """Decoders {name: (k, P)} of the standardised quantities."""
        columns = self.decoders.split(list(self.dims.values()), 1)
        return {name: self._split(column)[name] for name, column in zip(self.dims, columns, strict=True)}

    def replace_bases(self, W: Mapping[str, Tensor]) -> None:
        """Set new bases; the old ones become the previous."""
        self.previous.copy_(self.bases)
        self.bases.copy_(torch.cat([W[name] for name in self.sizes]))
        self.solves += 1

    def scales(self, moments: Moments) -> Tensor:
        """Return a standard deviation for each entry (ΣP,), that of its quantity: the root of the mean variance."""
        return ((self.averages @ moments.target_variance) @ (self.averages > 0).double()).sqrt()

    def weights(self) -> Tensor:
        """Weight (ΣP,) of the squared error of each entry: 1/Q for a quantity, in equal parts for its P entries."""
        return self.averages.mean(0)

    def refit(self, moments: Moments, *, ridge: float) -> None:
        r"""Fit the decoders of the standardised quantities to the moments, as read from latents with noise.

        .. math:: A_q = (W_q C_{zz} W_q^\top + \lambda I)^{+}\, W_q C_{zy} / \sigma_q, \qquad
                  \lambda = \text{ridge} \cdot \operatorname{tr}(C_{zz}) / D
        """
        S, W = moments.scatter_zz, self.bases
        gram = (W @ S @ W.mT) * self.same_rows
        gram.diagonal().add_(ridge * S.diagonal().mean())
        cross = (W @ moments.scatter_zy) * self.own_entries
        factor, failed = torch.linalg.cholesky_ex(gram)
        A = pinv(gram, hermitian=True) @ cross if failed else torch.cholesky_solve(cross, factor)
        self.decoders.copy_(A / self.scales(moments))

    def _split(self, rows: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.sizes, rows.split(list(self.sizes.values())), strict=True))
