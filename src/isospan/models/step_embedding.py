"""Features of a step of diffusion."""

import numpy as np
import torch
from torch import Tensor, nn

from isospan._core.checks import check_count
from isospan.errors import OptionError
from isospan.nn._constants import Constants


class StepEmbedding(Constants):
    r"""Invariant features of the step of a diffusion: waves, then a small perceptron.

    .. math:: t \mapsto f(\sin \omega_0 t, \dots, \cos \omega_0 t, \dots), \qquad \omega_i = 10^{-8 i / n}

    Args:
        dim: number n of features; even.

    Shapes:
        numbers (...) to (..., n).

    Raises:
        OptionError: dim is odd, or below 1.

    Source: Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models, 2020.

    Example:
        >>> StepEmbedding(16)(torch.tensor([3, 500])).shape
        torch.Size([2, 16])
    """

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if check_count(dim, what="step_embed_dim") % 2:
            raise OptionError(f"A sine and a cosine of every frequency need an even step_embed_dim, got {dim}.")
        self.register_constant("frequencies", 10_000.0 ** -(np.arange(0, dim, 2) / dim))
        self.network = nn.Sequential(nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim))

    def forward(self, step: Tensor) -> Tensor:
        """Return the features (..., dim) of steps (...)."""
        exact = torch.promote_types(self.frequencies.dtype, torch.float32)  # half precision has no room for long phases
        phases = step.to(exact).unsqueeze(-1) * self.frequencies.to(exact)
        return self.network(torch.cat([phases.sin(), phases.cos()], dim=-1).to(self.frequencies.dtype))
