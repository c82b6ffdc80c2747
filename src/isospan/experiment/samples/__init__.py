"""Samples in memory or in files: batches in order or shuffled, shards of processes, held-out samples."""

from isospan.experiment.samples._samples import Rows, Samples, field_statistics, read_batches, shuffled_batches
from isospan.experiment.samples._shards import Shard
from isospan.experiment.samples._splits import hold_out, select, spread

__all__ = [
    "Rows",
    "Samples",
    "Shard",
    "field_statistics",
    "hold_out",
    "read_batches",
    "select",
    "shuffled_batches",
    "spread",
]
