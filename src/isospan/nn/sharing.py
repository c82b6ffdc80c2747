"""Parameters that stand at many places of a dense weight."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan.nn._spread import Spread
from isospan.nn.regular_linear import RegularLinear, element_places, quotients


class Sharing(torch.nn.Module):
    r"""The dense weights and biases of several group convolutions, from all their parameters at once.

    Every parameter stands at \|G\| places, so one gather spreads them all, and their gradients are sums of \|G\|
    terms that one more gather brings together: nothing is scattered.

    Args:
        layers: of one group, with biases or all without.
    """

    def __init__(self, layers: Sequence[RegularLinear]) -> None:
        super().__init__()
        places, start = [], 0
        for layer in layers:
            places.append(start + _places_of_parameters(layer))
            start += sum(parameter.numel() for parameter in layer.parameters())
        spread = np.concatenate(places)
        n = len(layers[0].coefficients)
        gather = np.argsort(spread, kind="stable").reshape(-1, n).T
        self._runs = [(n, start)]
        self._lengths = [len(part) for part in places]
        self._shapes = [(layer.rep_out.size, layer.rep_in.size) for layer in layers]
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.int32), persistent=False)
        self.register_buffer("gather", torch.tensor(gather.ravel(), dtype=torch.int32), persistent=False)

    def forward(self, parameters: Any) -> list[tuple[Tensor, Tensor | None]]:
        """Weight (rep_out.size, rep_in.size) and bias of every layer."""
        flat = torch.cat([parameter.flatten() for parameter in parameters])
        entries = Spread.apply(flat, self.spread, self.gather, self._runs).split(self._lengths)  # type: ignore[union-attr]
        return [_weight_and_bias(part, shape) for part, shape in zip(entries, self._shapes, strict=True)]


def _weight_and_bias(entries: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    count = shape[0] * shape[1]
    return entries[:count].view(shape), entries[count:] if len(entries) > count else None


def _places_of_parameters(layer: RegularLinear) -> np.ndarray:
    """Number of the parameter at every entry of the dense weight and bias, flat."""
    n, m_out, m_in = layer.coefficients.shape
    rows, columns = element_places(layer.rep_out), element_places(layer.rep_in)
    coefficient = np.arange(n * m_out * m_in).reshape(n, m_out, m_in)
    weight = np.empty((n * m_out, n * m_in), dtype=np.int64)
    weight[rows[:, None, :, None], columns[None, :, None, :]] = coefficient[quotients(layer.rep_in.group)]
    if layer.bias_coefficients is None:
        return weight.ravel()
    bias = np.empty(n * m_out, dtype=np.int64)
    bias[rows] = coefficient.size + np.arange(m_out)
    return np.concatenate([weight.ravel(), bias])
