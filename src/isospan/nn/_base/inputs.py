"""What every layer checks of its input."""

from torch import Tensor

from isospan._core.checks import check_floating
from isospan.errors import OptionError, ShapeError


def check_features(x: Tensor, size: int, *, dim: int = -1) -> None:
    """Require a floating-point tensor whose axis ``dim`` has the size of the representation."""
    check_floating(x, what="The input")
    if x.dim() < -dim or x.shape[dim] != size:
        shape = "(..., D)" if dim == -1 else "(B, D, T) or (D, T)"
        raise ShapeError(
            f"The input must have shape {shape} with D = {size}, the size of the representation, got {tuple(x.shape)}."
        )


def check_probability(p: float) -> float:
    """Return a probability of dropping, between 0 and 1."""
    if not 0 <= p <= 1:
        raise OptionError(f"The probability p of dropping must be between 0 and 1, got {p}.")
    return p
