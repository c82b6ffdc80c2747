"""How running moments weigh a stream of samples, whatever its batches."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from isospan.guided._batch import Batch
from isospan.moments import Moments

BLOCKS = 8
"""Blocks of samples that the running moments hold; all samples of a block weigh the same."""


class Segment(NamedTuple):
    """Samples start to stop of a batch, which are in one block, and the factor of all samples before them."""

    factor: float
    start: Any
    stop: Any


def segments_of(n: Any, *, in_block: Any, count: float, memory: int) -> list[Segment]:
    """Cut the next n samples where a block starts. There all earlier samples are multiplied by 7/8, or to the memory.

    So the weight of a sample depends on its number in the stream alone.

    Args:
        n: samples of a batch, or the sum of their weights; the numbers of a segment are of the same kind.
        in_block: samples of the present block that came before.
        count: weight of all samples that came before.
        memory: number of samples, a multiple of 8.

    Example:
        >>> segments_of(30, in_block=15, count=95.0, memory=160)
        [Segment(factor=1.0, start=0, stop=5), Segment(factor=0.875, start=5, stop=25), Segment(factor=0.875, ...)]
    """
    block = memory // BLOCKS
    start, filled, segments = 0, in_block % block, []
    while start < n:
        stop = min(n, start + block - filled)
        factor = (1 - 1 / BLOCKS) * min(1.0, memory / max(count, 1.0)) if filled == 0 else 1.0
        segments.append(Segment(factor, start, stop))
        start, filled, count = stop, 0, count * factor + stop - start
    return segments


def add_segments_(moments: Moments, segments: Sequence[Segment], z: Tensor, batch: Batch, *, first: int = 0) -> Moments:
    """Add the samples of a shard to moments by segments; its first sample has the number ``first`` in the batch."""
    for factor, start, stop in segments:
        if factor < 1:
            moments.decay_(factor)
        rows = slice(max(start - first, 0), max(stop - first, 0))
        if rows.start < min(rows.stop, len(z)):
            batch.add_to(moments, z, rows)
    return moments
