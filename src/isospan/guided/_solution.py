"""The bases and decoders of an objective, as buffers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.states import KeepsPrecision


class Solution(KeepsPrecision):
    """W, A and the W before, by quantity, in float64 buffers (whose names cannot be those of the quantities)."""

    def __init__(self, k: Mapping[str, int], latent_dim: int, target_dims: Mapping[str, int]) -> None:
        super().__init__()
        self.names: list[str] = list(k)
        for i, name in enumerate(self.names):
            size = min(k[name], latent_dim, target_dims[name])
            for kind, width in (("W", latent_dim), ("W_prev", latent_dim), ("A", target_dims[name])):
                self.register_buffer(f"{kind}{i}", torch.zeros(size, width, dtype=torch.float64))
        self.register_buffer("solves", torch.zeros((), dtype=torch.int64))

    @property
    def W(self) -> dict[str, Tensor]:
        """Bases {name: (k, D)}."""
        return self._get("W")

    @property
    def W_prev(self) -> dict[str, Tensor] | None:
        """Bases before the last solve; None after the first."""
        return self._get("W_prev") if int(self.solves) > 1 else None

    @property
    def A(self) -> dict[str, Tensor]:
        """Decoders {name: (k, P)} of the standardised quantities."""
        return self._get("A")

    def replace_bases(self, W: Mapping[str, Tensor]) -> None:
        """Take new bases; the old ones become the previous."""
        for i, name in enumerate(self.names):
            self.get_buffer(f"W_prev{i}").copy_(self.get_buffer(f"W{i}"))
            self.get_buffer(f"W{i}").copy_(W[name])
        self.solves += 1

    def replace_decoders(self, A: Mapping[str, Tensor]) -> None:
        """Take new decoders."""
        for i, name in enumerate(self.names):
            self.get_buffer(f"A{i}").copy_(A[name])

    def _get(self, kind: str) -> dict[str, Tensor]:
        return {name: self.get_buffer(f"{kind}{i}") for i, name in enumerate(self.names)}
