"""Blocks of convolutional networks."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from isospan._core.checks import check_choice
from isospan.errors import OptionError
from isospan.models._network import NormGates, hidden_activation
from isospan.nn import BatchNorm1d, Conv1d, FiLM, RMSNorm, TimeDistributed
from isospan.nn._base.activations import as_activation
from isospan.representations import Representation

Norm = Literal["batch", "rms"] | None


class ConvBlock(nn.Module):
    """One layer of a convolutional network, (B, rep_in.size, T) to (B, rep_out.size, T').

    RMSNorm has no scales, since the convolution scales its channels already.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.
        kernel_size: number of kernel positions.
        stride: steps of the input for each of the output.
        padding: entries on both sides.
        norm: "batch" for BatchNorm1d, "rms" for RMSNorm at every time, None for none.
        activation: name of an activation in torch.nn, see :func:`hidden_activation`.

    Raises:
        OptionError: an unknown name.
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        norm: Norm,
        activation: str,
    ) -> None:
        super().__init__()
        as_activation(activation)  # gates do not use it, but a wrong name is an error for each group
        act = hidden_activation(rep_out, activation)
        self.conv: Conv1d = Conv1d(rep_in, act.rep_in, kernel_size, stride, padding)
        self.norm: nn.Module = _normalization(norm, act.rep_in)
        self.activation: TimeDistributed = TimeDistributed(act)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, rep_out.size, T')."""
        return self.activation(self.norm(self.conv(x)))

    @torch.no_grad()
    def export(self) -> tuple[nn.Conv1d, nn.Module]:
        """Return a plain convolution and activation of the same function in evaluation.

        Raises:
            OptionError: torch has no module for the normalization or activation.
        """
        act = self.activation.layer
        if isinstance(self.norm, TimeDistributed) or isinstance(act, NormGates):
            raise OptionError(
                "torch has no RMSNorm of channels before time, and no norms of irreps, so a network with norm='rms' or "
                "where the group mixes hidden coordinates has no plain counterpart. Use "
                "torch.export.export(model.freeze(), ...), or norm='batch' and a hidden_rep of permutations."
            )
        plain = self.conv.export()
        return _folded(plain, self.norm) if isinstance(self.norm, BatchNorm1d) else plain, copy.deepcopy(act.activation)


def _normalization(norm: Norm, rep: Representation) -> nn.Module:
    if norm is None:
        return nn.Identity()
    check_choice(norm, ("batch", "rms"), what="norm other than None")
    return BatchNorm1d(rep) if norm == "batch" else TimeDistributed(RMSNorm(rep, eps=1e-5, elementwise_affine=False))


def _folded(conv: nn.Conv1d, norm: BatchNorm1d) -> nn.Conv1d:
    """A convolution followed by a batch norm in evaluation, the map M x + t of vectors, as one convolution."""
    norm = copy.deepcopy(norm).double().eval()
    unit = torch.eye(conv.out_channels, dtype=torch.float64, device=conv.weight.device)
    t = norm(torch.zeros_like(unit))[0]
    M = (norm(unit) - t).mT
    weight = torch.einsum("oi,ikt->okt", M, conv.weight.double())
    bias = t if conv.bias is None else M @ conv.bias.double() + t
    conv.weight, conv.bias = (nn.Parameter(values.to(conv.weight)) for values in (weight, bias))
    return conv


class ResidualBlock(nn.Module):
    """Two convolutional layers with a residual shortcut. A condition modulates the features between them.

    Args:
        rep_in: representation of the input. The shortcut is a linear map where it is not ``rep_out``.
        rep_out: representation of the output.
        rep_cond: representation of the condition; None where there is none.
        kernel_size: number of kernel positions; odd, so that series keep their length.
        activation: see :class:`ConvBlock`.
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        rep_cond: Representation | None,
        *,
        kernel_size: int,
        activation: str,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"padding": kernel_size // 2, "norm": "rms", "activation": activation}
        self.first: ConvBlock = ConvBlock(rep_in, rep_out, kernel_size, **options)
        self.second: ConvBlock = ConvBlock(rep_out, rep_out, kernel_size, **options)
        self.film: FiLM | None = None if rep_cond is None else FiLM(rep_out, rep_cond)
        self.residual: nn.Identity | Conv1d = nn.Identity() if rep_in == rep_out else Conv1d(rep_in, rep_out, 1)

    def forward(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Return y (B, rep_out.size, T) of x (B, rep_in.size, T) and conditions (B, rep_cond.size)."""
        h = self.first(x)
        if self.film is not None:
            h = self.film(h, cond)
        return self.second(h) + self.residual(x)
