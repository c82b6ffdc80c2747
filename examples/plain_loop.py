"""Guidance is one line in a training loop of your own: here, the energy of a signal. Run it again and it continues."""

import torch
from torch import nn

from isospan.evaluation import evaluate
from isospan.guided import SpaceObjective
from isospan.integrations import Checkpoints, Means

torch.manual_seed(0)
x = torch.randn(2048, 8) @ torch.randn(8, 40) / 8**0.5
train, test = x[:1536], x[1536:]


def quantities(x):
    return {"energy": x.square().reshape(len(x), 4, 10).mean(2)}  # of four stretches of the signal


encoder = nn.Sequential(nn.Linear(40, 128), nn.GELU(), nn.Linear(128, 16))
decoder = nn.Sequential(nn.Linear(16, 128), nn.GELU(), nn.Linear(128, 40))
objective = SpaceObjective({"energy": 4}, latent_dim=16)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)

parts = {"encoder": encoder, "decoder": decoder, "objective": objective, "optimizer": optimizer}
checkpoints, means, first = Checkpoints("checkpoints"), Means(), 0
if saved := checkpoints.latest():
    first = saved["epoch"]
    torch.set_rng_state(saved["random"])
    for name, part in parts.items():
        part.load_state_dict(saved[name])

for epoch in range(first, 20):
    for batch in train[torch.randperm(len(train))].split(64):
        z = encoder(batch)
        task_loss = nn.functional.mse_loss(decoder(z), batch)
        loss = objective.total_loss(task_loss, z, quantities(batch))  # the one line
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        means.add(objective.terms, samples=len(batch))
    objective.end_epoch()
    logged = means.read()
    print(f"epoch {epoch + 1}: task {logged['task']:.4f}, not explained {logged['alignment']:.4f}")
    state = {name: part.state_dict() for name, part in parts.items()}
    checkpoints.save(epoch + 1, {"epoch": epoch + 1, "random": torch.get_rng_state(), **state})

with torch.no_grad():
    score = evaluate(objective.space, encoder(test), quantities(test), fit=(encoder(train), quantities(train)))
    loss = nn.functional.mse_loss(decoder(encoder(test)), test) / test.var()
print(f"held out: energy R2 {score.subspace_r2['energy']:.3f} from its {len(objective.space.W['energy'])} directions,")
print(f"          {score.rank_k_probe_r2['energy']:.3f} by the best rank-k probe, reconstruction error {loss:.4f}")

objective.space.save("energy.safetensors")
