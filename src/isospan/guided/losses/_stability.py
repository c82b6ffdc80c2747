"""The change of the subspaces since the previous solve."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from isospan._core.checks import as_floating, check_bases, check_choice, check_device, check_named, check_not_empty
from isospan.errors import ShapeError

Metric = Literal["frobenius", "projector"]


def stability_loss(
    W: Mapping[str, Tensor], W_prev: Mapping[str, Tensor] | None, *, metric: Metric = "frobenius"
) -> Tensor:
    r"""Return the mean over quantities of the squared change of their bases or subspaces.

    .. math:: L_\text{frobenius} = \frac1Q \sum_q \|W_q - W_{q,\text{prev}}\|_F^2, \qquad
              L_\text{projector} = \frac1Q \sum_q \tfrac12 \|P_q - P_{q,\text{prev}}\|_F^2

    with Q quantities and the projectors :math:`P = W^\top W`. The first depends on the choice of the bases. The second
    does not: it is the sum of the squared sines of the principal angles. Both W and W_prev have a gradient.

    Args:
        W: bases {name: (k, D)}, orthonormal rows.
        W_prev: bases before the last solve, of the same shapes, or None before the second solve.
        metric: ``"frobenius"`` or ``"projector"``.

    Returns:
        Scalar without unit, in the precision of W; 0 if W_prev is None.

    Raises:
        NameMismatchError: W and W_prev are not dicts with the same names.
        ShapeError: a basis is not (k, D), or its previous one has another shape.
        DtypeError: a basis is not real floating point.
        DeviceMismatchError: bases are on different devices.
        DegenerateDataError: no quantity.
        OptionError: another metric.

    Example:
        >>> import torch
        >>> e = torch.eye(3)
        >>> rotated = {"a": e[[1, 0]]}  # another basis of the same plane
        >>> stability_loss({"a": e[:2]}, rotated), stability_loss({"a": e[:2]}, rotated, metric="projector")
        (tensor(4.), tensor(0.))
    """
    check_choice(metric, get_args(Metric), what="stability metric")
    check_not_empty(W, what="W")
    first = as_floating(next(iter(W.values())), what="W")
    W = check_bases(W, finite=False, latent_dim=first.shape[-1] if first.dim() else 0, device=first.device)
    return change_of_bases(W, W_prev, metric)


def change_of_bases(W: Mapping[str, Tensor], W_prev: Mapping[str, Tensor] | None, metric: str) -> Tensor:
    """The stability loss of checked bases W, and bases W_prev to check."""
    if W_prev is None:
        return torch.cat([W_q[:0].flatten() for W_q in W.values()]).sum()
    check_named(W, W_prev, what="W_prev", against="W")
    W_prev = {name: as_floating(W_prev[name], what=f"W_prev of quantity {name!r}") for name in W}
    for name, W_q in W.items():
        check_device(W_prev[name], W_q.device, what=f"W_prev of quantity {name!r}")
        if W_prev[name].shape != W_q.shape:
            raise ShapeError(
                f"W_prev of quantity {name!r} must have the shape of W {tuple(W_q.shape)}, got "
                f"{tuple(W_prev[name].shape)}. Pass None after k has changed."
            )
    if metric == "projector":
        return torch.stack([_projector_distance(W_q, W_prev[name].to(W_q)) for name, W_q in W.items()]).mean()
    change = torch.cat(list(W.values())) - torch.cat([W_prev[name].to(W_q) for name, W_q in W.items()])
    return change.square().sum() / len(W)


def _projector_distance(W: Tensor, W_prev: Tensor) -> Tensor:
    """½ ‖P - P_prev‖² = ‖W (I - P_prev)‖² for equal k: a sum of squares, so no digits cancel for equal subspaces."""
    return (W - W @ W_prev.mT @ W_prev).square().sum()
