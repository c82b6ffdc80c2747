"""What an edit of decoded outputs is given: a decoder, the quantities of its output, and a callback."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Decoder = Callable[[Tensor], Any]
"""Maps latents (n, D) to an output."""
Quantities = Callable[[Any], Mapping[str, Tensor]] | Mapping[str, Callable[[Any], Tensor]]
"""Maps an output to {name: (n, ...)}, or the function of each quantity by name."""
Progress = Callable[[int, int], None]
"""Called with the passes of the decoder that are done, and with their total."""


def quantities_of(output: Any, quantities: Quantities) -> Mapping[str, Tensor]:
    """Return the quantities {name: (n, ...)} of an output.

    Example:
        >>> import torch
        >>> quantities_of(torch.ones(2, 3), {"sum": lambda x: x.sum(1)})
        {'sum': tensor([3., 3.])}
    """
    if callable(quantities):
        return quantities(output)
    return {name: function(output) for name, function in quantities.items()}
