"""The bases and decoders of an objective, as buffers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from isospan._core.states import KeepsPrecision
from isospan.linalg import solve_gram
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
    same_rows: Tensor
    own_entries: Tensor
    quantity: Tensor
    averages: Tensor
    root_weights: Tensor
    z_offset: Tensor
    target_offset: Tensor
    target_factor: Tensor
    reader: Tensor

    def __init__(self, k: Mapping[str, int], latent_dim: int, target_dims: Mapping[str, int]) -> None:
        super().__init__()
        self._copies: tuple[Tensor, Any, list[Tensor]] | None = None
        self.sizes: dict[str, int] = {name: min(k[name], latent_dim, target_dims[name]) for name in k}
        self.dims: dict[str, int] = {name: target_dims[name] for name in k}
        rows, entries = sum(self.sizes.values()), sum(self.dims.values())
        for name, shape in (("bases", latent_dim), ("previous", latent_dim), ("decoders", entries)):
            self.register_buffer(name, torch.zeros(rows, shape, dtype=torch.float64))
        for name, shape in (("z_offset", latent_dim), ("target_offset", entries), ("target_factor", entries)):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("reader", torch.zeros(latent_dim, entries, dtype=torch.float64))
        self.register_buffer("solves", torch.zeros((), dtype=torch.int64))
        index = torch.arange(len(self.sizes))
        row, entry = (index.repeat_interleave(torch.tensor(list(n.values()))) for n in (self.sizes, self.dims))
        averages = (index[:, None] == entry).double()
        averages /= averages.sum(1, keepdim=True)
        constants = {
            "same_rows": (row[:, None] == row).double(),
            "own_entries": (row[:, None] == entry).double(),
            "quantity": entry,
            "averages": averages,
            "root_weights": averages.mean(0).mul(entries).sqrt(),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

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

    def refit(self, moments: Moments, *, ridge: float, decoders: bool = True) -> None:
        r"""Fit the decoders of the standardised quantities to the moments, as read from latents with noise.

        .. math:: A_q = (W_q C_{zz} W_q^\top + \lambda I)^{+}\, W_q C_{zy} / \sigma_q, \qquad
                  \lambda = \text{ridge} \cdot \operatorname{tr}(C_{zz}) / D

        The means and scales of the loss are those of the moments, too; without ``decoders`` these alone change.
        """
        scales = self.scales(moments)
        if decoders:
            S, W = moments.scatter_zz, self.bases
            gram = (W @ S @ W.mT).mul_(self.same_rows)
            gram.diagonal().add_(S.diagonal().mean(), alpha=ridge)
            cross = (W @ moments.scatter_zy).mul_(self.own_entries)
            torch.div(solve_gram(gram, cross), scales, out=self.decoders)
        self._set_reader(moments, scales)

    def scales(self, moments: Moments) -> Tensor:
        """Return a standard deviation for each entry (ΣP,), that of its quantity: the root of the mean variance."""
        return (self.averages @ moments.target_variance).sqrt_()[self.quantity]

    def _set_reader(self, moments: Moments, scales: Tensor) -> None:
        r"""Set what the loss of a sample reads, the mean square of :math:`(z - o) R - (y - p) f`.

        .. math:: R = W^\top A \sqrt w, \qquad f = \sqrt w / \sigma, \qquad p = \bar y - (\bar z - o) R / f

        The weight w of an entry is ΣP/(QP), for Q quantities and the P entries of its own, 1 on average. The offset o
        is the mean of the latents to 24 bits, which float32 has: there z - o is exact, also about a large mean.
        """
        torch.mm(self.bases.mT, self.decoders * self.root_weights, out=self.reader)
        torch.div(self.root_weights, scales, out=self.target_factor)
        above = moments.z_mean * (2**29 + 1)  # Veltkamp's splitting
        self.z_offset.copy_(above - (above - moments.z_mean))
        rest = (moments.z_mean - self.z_offset) @ self.reader
        self.target_offset.copy_(moments.target_mean - rest / self.target_factor)

    def in_precision(self, dtype: torch.dtype) -> list[Tensor]:
        """Return the offset o and R of :meth:`refit`, as copies that no later solve changes."""
        if self.reader.is_inference() or torch.is_inference_mode_enabled():
            return [t.to(dtype, copy=True) for t in (self.z_offset, self.reader)]
        state = (dtype, self.reader._version, self.z_offset._version)
        if self._copies is None or self._copies[0] is not self.reader or self._copies[1] != state:
            self._copies = (self.reader, state, [t.to(dtype, copy=True) for t in (self.z_offset, self.reader)])
        return self._copies[2]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the copies out: in a copy of this module, tensors count their changes from zero."""
        return self.__dict__ | {"_copies": None}

    @property
    def learnt(self) -> list[Tensor]:
        """What was solved and fitted, and what the loss reads of it."""
        return [self.bases, self.decoders, self.reader, self.z_offset, self.target_offset, self.target_factor]

    def _split(self, rows: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.sizes, rows.split(list(self.sizes.values())), strict=True))
