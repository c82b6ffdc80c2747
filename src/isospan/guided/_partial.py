"""Running moments of partly labelled data and weighted samples."""

from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor

from isospan._core.processes import Ranks
from isospan.guided._batch import Batch
from isospan.guided._segments import Segment, segments_of
from isospan.moments import Moments, add_weighted_, decay_, merge_, sum_states_


def observe_(
    moments: Moments,
    in_period: Tensor,
    z: Tensor,
    batch: Batch,
    *,
    memory: int,
    period: int,
    ranks: Ranks,
    empty: Callable[[], Moments],
) -> None:
    """Add a batch to running moments that decay with the sum of the weights that have arrived, in place.

    Each quantity has its own clock, the labels that it has seen. So its moments are those of a stream of its labelled
    samples alone, and a batch without a label changes nothing. A sample that arrives while a block ends is divided: a
    sample of weight 3 counts as three.

    Args:
        moments: the running moments.
        in_period: weight since a period of blocks began for each of their states (S,), or () of a single one.
        z: latents of this process.
        batch: quantities and weights.
        memory: as of the objective.
        period: weight of the samples of a period.
        ranks: the processes.
        empty: makes moments of the same quantities.
    """
    rows, states = moments.rows(z, batch.flat, weights=batch.weights), moments.states()
    own = torch.stack([part.weights.sum() for part in rows]).tolist()
    shards = ranks.gather(own) if batch.joint is not None else [own]
    arrived = [sum(counts) for counts in zip(*shards, strict=True)]
    clocks = zip(arrived, in_period.reshape(-1).tolist(), states, strict=True)
    plan = [segments_of(n, in_block=at, count=float(state["count"]), memory=memory) for n, at, state in clocks]
    in_period.copy_((in_period + in_period.new_tensor(arrived).reshape(in_period.shape)) % period)
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
        add_weighted_(state, z, y, inside.clamp(min=0))
