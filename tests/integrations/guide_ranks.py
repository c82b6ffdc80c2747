"""One of two processes with unequal parts of each batch: run by test_guide.py as `guide_ranks.py RANK DIR`."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from isospan.guided import EverySteps, SpaceObjective
from isospan.integrations._guide import Guide

BATCHES = ((16, 5), (12, 0), (20, 14))
"""How many samples a batch has, and how many of them are those of the first process."""


def means(parts: list[slice]) -> dict[str, float]:
    """What is logged of the batches, of which this process has these rows."""
    guide = Guide(SpaceObjective({"a": 2}, 5, schedule=EverySteps(1)))
    generator = torch.Generator().manual_seed(0)
    for number, ((n, _), rows) in enumerate(zip(BATCHES, parts, strict=True), start=1):
        whole = number * torch.randn(n, 5, dtype=torch.float64, generator=generator)
        z = whole[rows].requires_grad_()
        guide.total_loss(z.square().mean(), z, {"a": z.detach()[:, :3].square()})
    return guide.training.read()


if __name__ == "__main__":
    rank, directory = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{directory / 'store'}", rank=rank, world_size=2)
    parts = [slice(first, None) if rank else slice(first) for _, first in BATCHES]
    print(json.dumps(means(parts)))
    dist.destroy_process_group()
