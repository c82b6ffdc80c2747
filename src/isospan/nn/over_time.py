"""Layers of vectors on time series."""

from typing import Any

from torch import Tensor

from isospan.nn._inputs import check_features
from isospan.nn.freezes import Freezes
from isospan.representations import check_representation


class OverTime(Freezes):
    """A layer of vectors (..., D) at every time of a series (..., D, T), whose channels stand where Conv1d has them.

    Args:
        layer: a layer of this package, with ``rep_in`` and ``rep_out``.

    Attributes:
        rep_in, rep_out: those of the layer.

    Shapes:
        (..., rep_in.size, T) to (..., rep_out.size, T).

    Raises:
        RepresentationError: the layer has none, as those of torch.nn.
        ShapeError, DtypeError: what the message says.

    Example:
        >>> import torch
        >>> from isospan.groups import SO2
        >>> from isospan.nn import NormActivation
        >>> layer = OverTime(NormActivation(SO2().irrep(1), "ReLU", bias=False))
        >>> layer(torch.tensor([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]]))
        tensor([[15.,  0.,  1.],
                [20.,  0.,  0.]])
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        for name in ("rep_in", "rep_out"):
            check_representation(getattr(layer, name, None))
        self.rep_in, self.rep_out = layer.rep_in, layer.rep_out
        self.layer = layer
        self._size = self.rep_in.size

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's values (..., rep_out.size, T)."""
        check_features(x, self._size, dim=-2)
        return self.layer(x.mT).mT
