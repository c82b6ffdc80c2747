"""The coefficient of determination, from second moments."""

import torch

from isospan._core.checks import KEEP_FLOAT64
from isospan.errors import DegenerateDataError
from isospan.evaluation._probes import Pair, Probe
from isospan.moments import Moments, varies
from isospan.subspaces import LatentSpace


@torch.no_grad()
def stored_r2(space: LatentSpace, moments: Moments, name: str) -> float:
    r"""Return R² of a quantity by the stored decoder of a space, over the data of the moments.

    .. math:: R^2 = 1 - \sum \|y-\hat y\|^2 / \sum \|y-\bar y\|^2

    over all entries together, in float64.

    Raises:
        DegenerateDataError: the quantity is constant up to rounding, or no sample has it.

    Example:
        >>> from isospan.subspaces import solve_from_moments
        >>> z = torch.randn(50, 3)
        >>> moments = Moments.of(z, {"sum": z.sum(1)})
        >>> round(stored_r2(solve_from_moments(moments, k=1), moments, "sum"), 3)
        1.0
    """
    total = squared_deviation(name, moments)
    space = space.to(device=moments.z_mean.device, dtype=torch.float64)
    return 1 - Probe.stored(space, name).squared_error(Pair.of_latents(moments, name)) / total


def squared_deviation(name: str, moments: Moments) -> float:
    """Return the sum of squared deviations of a quantity from its mean.

    Raises:
        DegenerateDataError: the quantity is constant up to rounding.
    """
    skips = moments.missing == "skip"
    moments = moments.labelled(name) if skips else moments
    if skips and not float(moments.count) > 0:
        raise DegenerateDataError(
            f"No sample that is scored has the quantity {name!r}, so R2 is undefined. Score it on labelled data."
        )
    variance = moments.var_y[name]
    if not varies(variance, moments.y_mean[name]):
        raise DegenerateDataError(
            f"Quantity {name!r} is constant over the {float(moments.count):g} samples that are scored, so R2 is "
            f"undefined. Score it on varied data. {KEEP_FLOAT64}"
        )
    return float(moments.count * variance.sum())
