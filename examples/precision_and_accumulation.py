"""Guidance with mixed precision, and with the gradients of several batches accumulated."""

import torch
from torch import nn

from isospan.evaluation import evaluate
from isospan.guided import SpaceObjective

torch.manual_seed(0)
x = torch.randn(2048, 8) @ torch.randn(8, 40) / 8**0.5
energy = x.square().reshape(len(x), 4, 10).mean(2)
train, test = slice(1536), slice(1536, None)


def fit(*, strength=0.3, bfloat16=False, accumulate=1):
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Linear(64, 16))
    decoder = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 40))
    # The running moments weigh samples, so two halves of a batch give those of the whole batch.
    objective = SpaceObjective({"energy": 4}, 16, strength=strength)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    # The scale cancels: guidance is weighed by a ratio of gradient norms.
    scaler = torch.amp.GradScaler("cpu", enabled=bfloat16)

    def loss_of(rows):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            z = encoder(x[rows])
            task_loss = (decoder(z) - x[rows]).square().mean()
            return objective.total_loss(task_loss, z, {"energy": energy[rows]})

    for _ in range(8):
        for rows in torch.randperm(1536).split(64):
            for part in rows.chunk(accumulate):
                scaler.scale(loss_of(part) / accumulate).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    with torch.no_grad():
        latents = encoder(x)
        fitted = latents[train], {"energy": energy[train]}
        return evaluate(objective.space, latents[test], {"energy": energy[test]}, fit=fitted).subspace_r2["energy"]


unguided, whole = fit(strength=0.0), fit()
print(f"held out: energy R2 {unguided:.3f} unguided, {whole:.3f} guided")
for options in ({"bfloat16": True}, {"accumulate": 2}):
    score = fit(**options)
    print(f"          {score:.3f} with {options}")
    if not unguided + 0.1 < score or abs(score - whole) > 0.05:
        raise SystemExit(f"{options}: {score}, not {whole}")
