"""The guidance by partly labelled data and weighted samples: running moments, decoders, and the loss."""

from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor

from isospan._core.processes import Ranks
from isospan.guided._alignment import error_of_moments
from isospan.guided._batch import Batch
from isospan.guided._segments import BLOCKS, Segment, segments_of
from isospan.guided._solution import Solution
from isospan.linalg import solve_gram
from isospan.moments import Moments, add_rows_, decay_, filled, merge_, present, sum_states_


def is_plain(batch: Batch, moments: Moments, in_block: float) -> bool:
    """Whether all samples have all quantities and weigh 1, also those that have arrived in the present block."""
    return moments.missing == "raise" and batch.weights is None and in_block.is_integer()


def observe_(
    moments: Moments,
    in_block: Tensor,
    z: Tensor,
    batch: Batch,
    *,
    memory: int,
    ranks: Ranks,
    empty: Callable[[], Moments],
) -> None:
    """Add a batch to running moments that decay with the sum of the weights that have arrived, in place.

    Each quantity has its own clock, the labels that it has seen. So its moments are those of a stream of its labelled
    samples alone, and a batch without a label changes nothing. A sample that arrives while a block ends is divided: a
    sample of weight 3 counts as three.

    Args:
        moments: the running moments.
        in_block: weight since each of their states was last multiplied (S,), or () of a single one.
        z: latents of this process.
        batch: quantities and weights.
        memory: as of the objective.
        ranks: the processes.
        empty: makes moments of the same quantities.
    """
    rows, states = moments.rows(z, batch.flat, weights=batch.weights), moments.states()
    own = torch.stack([part.weights.sum() for part in rows]).tolist()
    shards = ranks.gather(own) if batch.joint is not None else [own]
    arrived = [sum(counts) for counts in zip(*shards, strict=True)]
    clocks = zip(arrived, in_block.reshape(-1).tolist(), states, strict=True)
    plan = [segments_of(n, in_block=at, count=float(state["count"]), memory=memory) for n, at, state in clocks]
    in_block.copy_((in_block + in_block.new_tensor(arrived).reshape(in_block.shape)) % (memory // BLOCKS))
    if batch.joint is None:
        for state, part, segments in zip(states, rows, plan, strict=True):
            _add_(state, part.z, part.y, part.weights, segments, first=0.0)
    elif all(len(segments) <= 1 for segments in plan):
        for state, joint, segments in zip(states, batch.joint.states(), plan, strict=True):
            decay_(state, prod(segment.factor for segment in segments))
            merge_(state, joint)
    else:  # of the samples of this process, those before the start of a block weigh less
        shard = empty().states()
        for i, (state, part, segments) in enumerate(zip(shard, rows, plan, strict=True)):
            first = sum(counts[i] for counts in shards[: ranks.rank])
            _add_(state, part.z, part.y, part.weights, segments, first=first)
        sum_states_(shard, ranks)
        for state, joint, segments in zip(states, shard, plan, strict=True):
            decay_(state, prod(segment.factor for segment in segments))
            merge_(state, joint)


def _add_(
    state: Mapping[str, Tensor], z: Tensor, y: Tensor, weights: Tensor, segments: list[Segment], *, first: float
) -> None:
    """Add the samples of a shard to a state by segments; the weight of the samples before the shard is ``first``."""
    end = first + weights.cumsum(0)
    for factor, start, stop in segments:
        decay_(state, factor)
        inside = weights if len(segments) == 1 else end.clamp(max=stop) - (end - weights).clamp(min=start)
        add_rows_(state, z, y, inside.clamp(min=0))


def refit_(solution: Solution, moments: Moments, *, ridge: float) -> None:
    """Fit the decoders as :meth:`Solution.refit`, of each quantity to the samples that have it."""
    scales = solution.scales(moments)
    row, column = 0, 0
    for name, k in solution.sizes.items():
        own, P = moments.labelled(name), solution.dims[name]
        W = solution.bases[row : row + k]
        gram = W @ own.scatter_zz @ W.mT
        gram.diagonal().add_(own.scatter_zz.diagonal().mean(), alpha=ridge)
        A = solve_gram(gram, W @ own.scatter_zy) / scales[column : column + P]
        solution.decoders[row : row + k, column : column + P] = A
        row, column = row + k, column + P


def offset_of_targets(moments: Moments, reader: Tensor) -> Tensor:
    r"""Return :math:`(\bar z - \bar z_q) R_q` (ΣP,), of the mean of all latents and that of those with a quantity."""
    if moments.missing == "raise":
        return reader.new_zeros(reader.shape[1])
    parts = zip(moments.names, moments.split(reader).values(), strict=True)
    return torch.cat([(moments.z_mean - moments.labelled(name).z_mean) @ R for name, R in parts])


def roots_of_weights(moments: Moments, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    r"""Return targets without NaN, and :math:`\sqrt{w_i / n_q}` (B, ΣP), 0 where a sample lacks the quantity.

    The loss is then a sum over the samples: for each quantity a weighted mean over those of the global batch that have
    it, with the sum :math:`n_q` of their weights. One that no sample has adds nothing.
    """
    flat, some = batch.flat, next(iter(batch.flat.values()))
    weights = some.new_ones(len(some), dtype=torch.float64) if batch.weights is None else batch.weights
    own = {name: weights for name in flat}
    if moments.missing == "skip":
        masks = present(flat)
        flat = filled(flat, masks)
        own = {name: weights * mask for name, mask in masks.items()}
    totals = {name: _total(name, own[name], batch.joint) for name in flat}
    tiny = torch.finfo(torch.float64).tiny
    columns = [(own[name] / totals[name].clamp(min=tiny)).sqrt()[:, None].expand_as(y) for name, y in flat.items()]
    return flat, torch.cat(columns, 1)


def _total(name: str, weights: Tensor, joint: Moments | None) -> Tensor:
    return weights.sum() if joint is None else joint.labelled(name).count


def error_of_labelled(joint: Moments, running: Moments, reader: Tensor, factor: Tensor) -> Tensor:
    """Return the loss of a global batch, each quantity from the moments of the samples that have it."""
    readers, factors = running.split(reader), running.split(factor)
    errors = [
        error_of_moments(joint.labelled(name), running.labelled(name), readers[name], factors[name])
        for name in running.names
        if float(joint.labelled(name).count) > 0
    ]
    return torch.stack(errors).sum() if errors else reader.new_zeros(())


def labels_vary(moments: Moments, block: int, varies: Mapping[str, bool]) -> bool:
    """Whether each quantity varies over its labels, or has seen more of them than a block of samples."""
    return all(varies[name] or float(moments.labelled(name).count) > block for name in moments.names)
