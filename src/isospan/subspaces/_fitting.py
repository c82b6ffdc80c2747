"""The latent space of data that are known by their second moments."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.checks import KEEP_FLOAT64, check_flag, check_named
from isospan.errors import DegenerateDataError
from isospan.moments import Moments, check_moments, varies
from isospan.subspaces._criteria import Method
from isospan.subspaces._decoders import decoders_from_moments
from isospan.subspaces._latent_space import LatentSpace
from isospan.subspaces._solve import solve_from_moments
from isospan.subspaces._space import Space


@torch.no_grad()
def space_from_moments(
    moments: Moments,
    k: int | Mapping[str, int],
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    method: Method = "regression",
    orthogonal: bool = False,
    separation: float | None = None,
    previous: Mapping[str, Tensor] | None = None,
    ridge: float = 1e-3,
) -> LatentSpace:
    """Return the latent space of the data that the moments have seen, which need not have fitted in memory.

    Quantities are standardised for the solve, so that no unit dominates; the decoders give them in their units.

    Args:
        moments: of latents and quantities; with ``target_covariance=True`` where :func:`needs_target_covariance`.
        k: subspace dimension, one for all or {name: k}.
        shapes: shape of one target of each quantity; (P,) by default.
        method: what the bases maximise; see :func:`solve_subspaces`.
        orthogonal: make the subspaces mutually orthogonal.
        separation: as in :class:`SpaceObjective`, where it is explained; by default :func:`default_separation`.
        previous: bases onto which the new ones are turned.
        ridge: of solver and decoders.

    Raises:
        DegenerateDataError, DimensionError, NameMismatchError, OptionError: as in :func:`solve_from_moments`.
        ShapeError: a shape is none, or has another number of entries than the quantity.

    Example:
        >>> import torch
        >>> z = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
        >>> batches = ((part, {"heat": 3 * part[:, 0] + 20}) for part in z.split(50))
        >>> space = space_from_moments(Moments.of_batches(batches), k=1, shapes={"heat": ()}, ridge=0.0)
        >>> torch.allclose(space.decode(z)["heat"], 3 * z[:, 0] + 20, atol=1e-5)
        True
    """
    check_moments(moments)
    check_flag(orthogonal, what="orthogonal")
    if shapes is not None:
        check_named(moments.names, shapes, what="shapes", against="the moments")
    if separation is None:
        separation = default_separation(method, orthogonal, len(moments.names))
    W = solve_standardised(
        moments, k, method=method, orthogonal=orthogonal, separation=separation, previous=previous, ridge=ridge
    ).W
    scale, mean = target_scales(moments), moments.y_mean
    return LatentSpace(
        W=W,
        A=decoders_from_moments(moments, W, ridge=ridge),
        z_mean=moments.z_mean.clone(),
        y_mean={name: mean[name].clone() for name in W},
        y_scale={name: scale[name] for name in W},
        shapes={name: (P,) if shapes is None else shapes[name] for name, P in moments.target_dims.items()},
    )


def solve_standardised(
    moments: Moments,
    k: int | Mapping[str, int],
    *,
    method: Method,
    orthogonal: bool,
    separation: float,
    previous: Mapping[str, Tensor] | None,
    ridge: float,
) -> Space:
    """Return the bases, decoders and directions of the standardised quantities."""
    return solve_from_moments(
        moments.scaled({name: 1 / scale for name, scale in target_scales(moments).items()}),
        k,
        method=method,
        orthogonal=orthogonal,
        separation=separation,
        previous=previous,
        ridge=ridge,
    )


def target_scales(moments: Moments) -> dict[str, Tensor]:
    """One standard deviation a quantity: the root of the mean variance of its entries.

    Raises:
        DegenerateDataError: a quantity is constant.
    """
    variance, mean = moments.var_y, moments.y_mean
    constant = [name for name, var in variance.items() if not varies(var, mean[name])]
    if constant:
        raise DegenerateDataError(
            f"The quantities {constant} have been constant over {float(moments.count):g} samples, so they "
            f"cannot guide anything. Leave them out, or check how they are computed. {KEEP_FLOAT64}"
        )
    return {name: var.mean().sqrt() for name, var in variance.items()}


def default_separation(method: Method, orthogonal: bool, n_quantities: int) -> float:
    """1 where an orthogonal regression has quantities to keep apart, else 0.

    Example:
        >>> default_separation("regression", True, 2), default_separation("regression", True, 1)
        (1.0, 0.0)
    """
    return 1.0 if orthogonal and method == "regression" and n_quantities > 1 else 0.0
