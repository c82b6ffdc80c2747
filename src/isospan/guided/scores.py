"""The coefficient of determination."""

from torch import Tensor

from isospan.errors import DegenerateDataError
from isospan.moments import varies


def r_squared(y: Tensor, prediction: Tensor) -> float:
    r"""Return :math:`R^2 = 1 - \sum \|y-\hat y\|^2 / \sum \|y-\bar y\|^2` over all entries together, in float64.

    Args:
        y: true values (B, ...).
        prediction: of the same shape.

    Raises:
        DegenerateDataError: y is constant over the samples, to rounding.

    Example:
        >>> import torch
        >>> y = torch.tensor([0.0, 1.0, 2.0])
        >>> r_squared(y, y), r_squared(y, torch.ones(3))
        (1.0, 0.0)
    """
    y = y.double()
    mean = y.mean(0)
    squares = (y - mean).square()
    if not varies(squares.mean(0), mean):
        raise DegenerateDataError(
            f"A quantity is constant over the {len(y)} samples that are scored, so R2 is undefined. "
            "Score it on varied data."
        )
    return float(1 - (y - prediction).square().sum() / squares.sum())
