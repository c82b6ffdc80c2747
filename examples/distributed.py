"""Two processes train together: each sees half of every batch, and the subspaces are those of the whole.

With several GPUs or machines, ``torchrun`` starts the processes and passes their numbers in the
environment; here they are started by hand, on the CPU.
"""

import os
import tempfile
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from isospan.guided import SpaceObjective

WORLD, STEPS = 2, 60 if os.environ.get("ISOSPAN_QUICK") else 400


def signals(n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=generator) @ torch.linspace(-1, 1, 8 * 40).reshape(8, 40).sin()
    return x, {"energy": x.square().reshape(n, 4, 10).mean(2)}


def train(rank, meeting):
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = DistributedDataParallel(nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Linear(64, 16)))
    decoder = DistributedDataParallel(nn.Linear(16, 40))
    objective = SpaceObjective({"energy": 4}, latent_dim=16)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    for step in range(STEPS):
        x, y = signals(32, seed=WORLD * step + rank)  # a DistributedSampler would hand them out
        z = encoder(x)
        loss = objective.total_loss(nn.functional.mse_loss(decoder(z), x), z, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    everywhere = [torch.empty_like(objective.solution.W["energy"]) for _ in range(WORLD)]
    distributed.all_gather(everywhere, objective.solution.W["energy"])
    if rank == 0:  # what one process does alone needs no other
        x, y = signals(500, seed=10**6)
        with torch.no_grad():
            decoded = objective.space.decode(encoder.module(x))["energy"]
        left = (decoded - y["energy"]).square().mean() / y["energy"].var(0).mean()
        print(f"{WORLD} processes, {STEPS} steps, {int(objective.moments.count)} samples in the running moments")
        print(f"the same subspace in every process: {all(torch.equal(W, everywhere[0]) for W in everywhere)}")
        print(f"energy not explained, held out: {left:.3f}")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        multiprocessing.spawn(train, args=(Path(directory) / "meeting",), nprocs=WORLD)
