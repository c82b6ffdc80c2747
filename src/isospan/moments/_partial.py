r"""Moments of weighted samples, and of quantities that only some samples have.

Of samples with weights w that sum to n, the mean is :math:`\tfrac1n \sum w x` and the scatter
:math:`\sum w (x - \bar x)(y - \bar y)^\top`. A sample without a quantity has the weight 0 there. So each quantity has
a state of its own: count, means and scatters over the samples that have it. All are updated and merged alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from isospan._core.processes import Ranks

ENTRIES = 2**18
"""Entries of latents and quantities that are centred at a time; as float64 they take 2 MiB."""

State = Mapping[str, Tensor]
"""count, z_mean, scatter_zz, target_mean, scatter_zy and scatter_yy, which change in place."""


class Rows(NamedTuple):
    """Samples that enter a state: latents (B, D), quantities (B, P) without NaN, and their weights (B,) in float64."""

    z: Tensor
    y: Tensor
    weights: Tensor


def present(flat: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return which samples have each quantity (B,): those without NaN in any entry.

    Example:
        >>> y = {"a": torch.tensor([[1.0, 2.0], [torch.nan, 3.0]])}
        >>> present(y)["a"], filled(y, present(y))["a"][1]
        (tensor([ True, False]), tensor([0., 0.]))
    """
    return {name: ~y.detach().isnan().any(1) for name, y in flat.items()}


def filled(flat: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the quantities with zeros in the samples that do not have them."""
    return {name: y.masked_fill(~masks[name][:, None], 0.0) for name, y in flat.items()}


def add_weighted_(state: State, z: Tensor, y: Tensor, weights: Tensor) -> None:
    """Add the samples of :class:`Rows` to a state, in place. Nothing waits for values on a device.

    Example:
        >>> from isospan.moments import Moments
        >>> z, weights = torch.tensor([[1.0], [4.0]]), torch.tensor([1.0, 2.0]).double()
        >>> moments = Moments(1, {"a": 1})
        >>> add_weighted_(moments.states()[0], z, 2 * z, weights)
        >>> float(moments.count), float(moments.z_mean), float(moments.y_mean["a"])
        (3.0, 3.0, 6.0)
    """
    step = max(1, ENTRIES // (z.shape[1] + y.shape[1]))
    for start in range(0, len(z), step):
        part = slice(start, start + step)
        merge_(
            state, _state_of(z[part].double(), y[part].double(), weights[part], square=state["scatter_yy"].dim() == 2)
        )


def _state_of(z: Tensor, y: Tensor, w: Tensor, *, square: bool) -> dict[str, Tensor]:
    """The state of some samples. The mean is subtracted twice: the second time removes the rounding of the first."""
    x, D, count = torch.cat([z, y], 1), z.shape[1], w.sum()
    mean = w @ x / count.clamp(min=torch.finfo(w.dtype).tiny)
    x = x - mean
    rounding = w @ x / count.clamp(min=torch.finfo(w.dtype).tiny)
    x, mean = x - rounding, mean + rounding
    zc, yc = x.split([D, x.shape[1] - D], 1)
    weighted = zc * w[:, None]
    return {
        "count": count,
        "z_mean": mean[:D],
        "scatter_zz": _symmetric(weighted.mT @ zc),
        "target_mean": mean[D:],
        "scatter_zy": weighted.mT @ yc,
        "scatter_yy": _symmetric((yc * w[:, None]).mT @ yc) if square else (yc.square() * w[:, None]).sum(0),
    }


def _symmetric(S: Tensor) -> Tensor:
    """Return the symmetric part: a weighted product differs from its transpose by rounding."""
    return (S + S.mT) / 2


def merge_(state: State, other: State) -> None:
    r"""Add the state of other samples by Chan's formula, in place.

    .. math:: S = S_a + S_b + \frac{n_a n_b}{n_a + n_b} (m_b - m_a)(m_b - m_a)^\top

    Example:
        >>> from isospan.moments import Moments
        >>> one, other = (Moments.of(z, {"a": z}) for z in torch.arange(8.0).view(2, 4, 1))
        >>> merge_(one.states()[0], other.states()[0])
        >>> float(one.z_mean), float(one.cov_zz)
        (3.5, 5.25)
    """
    share = other["count"] / (state["count"] + other["count"]).clamp(min=torch.finfo(torch.float64).tiny)
    dz, dy = other["z_mean"] - state["z_mean"], other["target_mean"] - state["target_mean"]
    _add_between_(state, state["count"] * share, dz, dy)
    for name in ("scatter_zz", "scatter_zy", "scatter_yy", "count"):
        state[name].add_(other[name])
    state["z_mean"].add_(share * dz)
    state["target_mean"].add_(share * dy)


def _add_between_(state: State, weight: Tensor, dz: Tensor, dy: Tensor) -> None:
    """Add the products of deviations of means to the scatters."""
    yy = state["scatter_yy"]
    state["scatter_zz"].add_(weight * dz.outer(dz))
    state["scatter_zy"].add_(weight * dz.outer(dy))
    yy.add_(weight * (dy.outer(dy) if yy.dim() == 2 else dy.square()))


def decay_(state: State, factor: float) -> None:
    """Multiply the weight of all samples so far.

    Example:
        >>> from isospan.moments import Moments
        >>> moments = Moments.of(torch.arange(4.0).view(4, 1), {"a": torch.ones(4)})
        >>> decay_(moments.states()[0], 0.5)
        >>> float(moments.count), float(moments.cov_zz)
        (2.0, 1.25)
    """
    for name in ("count", "scatter_zz", "scatter_zy", "scatter_yy"):
        state[name].mul_(factor)


def sum_states_(states: Sequence[State], ranks: Ranks, *, also: Sequence[Tensor] = ()) -> None:
    """Replace states on every process, in place, by those of the samples of all processes, in two messages.

    As ``sum_over_ranks_`` of one state: first counts and weighted means, then the scatters about the common means.
    """
    own = [{name: state[name].clone() for name in ("count", "z_mean", "target_mean")} for state in states]
    for state in states:
        state["z_mean"].mul_(state["count"])
        state["target_mean"].mul_(state["count"])
    ranks.sum_([state[name] for state in states for name in ("count", "z_mean", "target_mean")] + [*also])
    for state, before in zip(states, own, strict=True):
        count = state["count"].clamp(min=torch.finfo(torch.float64).tiny)
        dz = before["z_mean"] - state["z_mean"].div_(count)
        dy = before["target_mean"] - state["target_mean"].div_(count)
        _add_between_(state, before["count"], dz, dy)
    ranks.sum_([state[name] for state in states for name in ("scatter_zz", "scatter_zy", "scatter_yy")])


def latent_state(state: State) -> dict[str, Tensor]:
    """Return the part of a state that is of the latents alone: no quantity."""
    yy = state["scatter_yy"]
    none = {"target_mean": state["target_mean"][:0], "scatter_zy": state["scatter_zy"][:, :0]}
    return (
        {name: state[name] for name in ("count", "z_mean", "scatter_zz")}
        | none
        | {"scatter_yy": yy[:0, :0] if yy.dim() == 2 else yy[:0]}
    )


def columns_of(state: State, columns: slice) -> dict[str, Tensor]:
    """Return the part of a state that is of some columns of the quantities, as views."""
    yy = state["scatter_yy"]
    return {
        "target_mean": state["target_mean"][columns],
        "scatter_zy": state["scatter_zy"][:, columns],
        "scatter_yy": yy[columns, columns] if yy.dim() == 2 else yy[columns],
    }


def slices(dims: Mapping[str, int]) -> Iterator[tuple[str, slice]]:
    """Yield the columns of each quantity."""
    start = 0
    for name, P in dims.items():
        yield name, slice(start, start + P)
        start += P
