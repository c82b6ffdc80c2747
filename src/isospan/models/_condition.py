"""Embeddings of a condition and of a diffusion step."""

import numpy as np
import torch
from torch import Tensor, nn

from isospan._core.checks import check_count
from isospan.errors import MissingArgumentError, OptionError, ShapeError
from isospan.models._hidden import hidden_representations
from isospan.models._perceptrons import EMLP
from isospan.nn._base.layer import Constants
from isospan.representations import Representation, direct_sum


class StepEmbedding(Constants):
    r"""Invariant features of the step of a diffusion: sinusoids, then a small perceptron.

    .. math:: t \mapsto f(\sin \omega_0 t, \dots, \cos \omega_0 t, \dots), \qquad \omega_i = 10^{-8 i / n}

    Args:
        dim: number n of features; even.

    Shapes:
        steps (...) to (..., n).

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
        self.network: nn.Sequential = nn.Sequential(nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim))

    def forward(self, step: Tensor) -> Tensor:
        """Return the features (..., dim) of steps (...)."""
        exact = torch.promote_types(self.frequencies.dtype, torch.float32)  # half precision would round long phases
        phases = step.to(exact).unsqueeze(-1) * self.frequencies.to(exact)
        return self.network(torch.cat([phases.sin(), phases.cos()], dim=-1).to(self.frequencies.dtype))


class Condition(nn.Module):
    """An equivariant embedding of a vector, of a step, of both or of neither.

    Args:
        trivial: the trivial representation of the group.
        rep_cond: representation of the vector; None where there is none.
        units: width of its embedding.
        step_embed_dim: width of the embedding of the step; None where there is none.
        activation, hidden_rep: as in :class:`EMLP`.

    Attributes:
        rep_out: representation of the embedding; None where nothing conditions.
    """

    vector: EMLP | None
    step: StepEmbedding | None

    def __init__(
        self,
        trivial: Representation,
        rep_cond: Representation | None,
        units: int,
        step_embed_dim: int | None,
        *,
        activation: str,
        hidden_rep: Representation | None,
    ) -> None:
        super().__init__()
        self.vector = self.step = None
        reps = []
        if rep_cond is not None:
            reps += hidden_representations(rep_cond, (units,), hidden_rep)
            self.vector = EMLP(rep_cond, reps[0], (units,), activation, hidden_rep)
        if step_embed_dim is not None:
            self.step = StepEmbedding(step_embed_dim)
            reps.append(step_embed_dim * trivial)
        self.rep_out: Representation | None = direct_sum(reps) if reps else None

    def forward(self, cond: Tensor | None, step: Tensor | float | None, batch: torch.Size) -> Tensor | None:
        """Return the embedding (*batch, rep_out.size) of vectors (*batch, rep_cond.size) and steps, of each or of all.

        Raises:
            MissingArgumentError: a condition is not given.
            OptionError: a condition is given that the network does not take.
            ShapeError: the number of conditions is not that of the samples.
        """
        _check_given("cond", cond, taken=self.vector is not None, option="rep_cond")
        _check_given("step", step, taken=self.step is not None, option="step_embed_dim")
        parts = []
        if self.vector is not None and cond is not None:
            _check_shape("cond", cond, (*batch, self.vector.rep_in.size))
            parts.append(self.vector(cond))
        if self.step is not None and step is not None:
            step = torch.as_tensor(step, device=self.step.frequencies.device)
            _check_shape("step", step, () if step.dim() == 0 else tuple(batch))
            parts.append(self.step(step.expand(batch)))
        return torch.cat(parts, dim=-1) if parts else None


def _check_given(name: str, value: Tensor | float | None, *, taken: bool, option: str) -> None:
    if taken and value is None:
        raise MissingArgumentError(f"A network that was built with {option} needs {name}, got none. Pass {name}=.")
    if not taken and value is not None:
        raise OptionError(
            f"A network that was built without {option} takes no {name}, got one. Leave it out, or build the network "
            f"with {option}=."
        )


def _check_shape(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ShapeError(f"Each sample must have its {name}, of shape {shape} together, got {tuple(value.shape)}.")
