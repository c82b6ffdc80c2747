"""Guidance in a training step that torch.compile takes: two functions, before the latents and after them.

Between them z is a tensor that both sides see, where guidance and the task are weighed against each other. The losses
are those of the step that is not compiled. Whether they come faster depends on the network and the machine: the ratio
is printed.
"""

import os
import time
from statistics import median

import torch
from torch import nn

from isospan.guided import SpaceObjective

# Inductor, the default, needs a C++ compiler on a CPU; this one passes all of the compiler but the code it writes.
QUICK = bool(os.environ.get("ISOSPAN_QUICK"))
BACKEND, STEPS = ("aot_eager", 40) if QUICK else ("inductor", 400)

torch.manual_seed(0)
x = torch.randn(4096, 8) @ torch.randn(8, 40) / 8**0.5
energy = x.square().reshape(len(x), 4, 10).mean(2)


def training_step(compiled):
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Linear(40, 256), nn.GELU(), nn.Linear(256, 16))
    decoder = nn.Sequential(nn.Linear(16, 256), nn.GELU(), nn.Linear(256, 40))
    objective = SpaceObjective({"energy": 4}, latent_dim=16)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)

    def loss_at(z, x, y):
        return objective.total_loss((decoder(z) - x).square().mean(), z, y)

    if compiled:
        encoder.compile(backend=BACKEND)  # in place: the names in its state_dict stay
        loss_at = torch.compile(loss_at, backend=BACKEND)

    def step(rows):
        started = time.perf_counter()
        loss = loss_at(encoder(x[rows]), x[rows], {"energy": energy[rows]})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item(), time.perf_counter() - started

    return step


plain, fast = training_step(compiled=False), training_step(compiled=True)
taken = [(plain(rows), fast(rows)) for rows in torch.randint(len(x), (STEPS, 256))]
apart = max(abs(one / other - 1) for (one, _), (other, _) in taken)
first = sum(seconds for _, (_, seconds) in taken[: STEPS // 2])
ratio = median(other / one for (_, one), (_, other) in taken[STEPS // 2 :])
print(f"{BACKEND}: losses within {apart:.0e} of those of the plain step, the last {taken[-1][1][0]:.4f}")
print(f"{ratio:.2f} times the time of the plain step, after {first:.1f} s of the first {STEPS // 2} steps")
if apart > 1e-3:  # float32, whose rounding Adam carries on
    raise SystemExit("the compiled step is another")
