"""Guide the latent space of an autoencoder of turbulence, read quantities from it, and edit one of them."""

import os

import torch
from torch import nn

from isospan.datasets import decaying_turbulence
from isospan.evaluation import evaluate
from isospan.guided import SpaceObjective
from isospan.quantities import combine
from isospan.quantities.fields import strain_rate_from_vorticity, stream_function
from isospan.sizing import minimal_latent_dim, solve_dims
from isospan.subspaces import LatentSpace

QUICK = bool(os.environ.get("ISOSPAN_QUICK"))
SAMPLES, EPOCHS = (192, 6) if QUICK else (768, 30)

# [fields]
torch.manual_seed(0)
SIZE = 32
SPACING = 2 * torch.pi / SIZE

vorticity = decaying_turbulence(SAMPLES, size=SIZE, viscosity=2e-2)
train, test = vorticity[: -SAMPLES // 4], vorticity[-SAMPLES // 4 :]


def flow(omega):
    return stream_function(omega, dx=SPACING)


def strain(omega):
    return strain_rate_from_vorticity(omega, dx=SPACING)


# [sizes]
targets = {"flow": flow(train), "strain": strain(train)}
dims = solve_dims(targets, max_n=6)
n = dims["flow"][0]
k = {name: k_q for name, (_, k_q) in dims.items()}
D = minimal_latent_dim(k, free_frac=0.3)
quantities = combine(flow, strain).pooled(n)
print(f"{n} x {n} bins, subspaces of {k} dimensions, latent of {D}")

# [network]
encoder = nn.Sequential(
    nn.Conv2d(1, 16, 4, stride=2, padding=1),
    nn.GELU(),
    nn.Conv2d(16, 32, 4, stride=2, padding=1),
    nn.GELU(),
    nn.Flatten(),
    nn.Linear(32 * (SIZE // 4) ** 2, 256),
    nn.GELU(),
    nn.Linear(256, D),
)
decoder = nn.Sequential(
    nn.Linear(D, 32 * (SIZE // 4) ** 2),
    nn.Unflatten(1, (32, SIZE // 4, SIZE // 4)),
    nn.GELU(),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
    nn.GELU(),
    nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
)

# [training]
objective = SpaceObjective(k, latent_dim=D)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)

for _ in range(EPOCHS):
    for x in train[torch.randperm(len(train))].split(32):
        z = encoder(x)
        task_loss = (decoder(z) - x).square().mean()
        loss = objective.total_loss(task_loss, z, quantities(omega=x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# [reading]
space = objective.space
encoder.requires_grad_(False)
decoder.requires_grad_(False)
print(space.summary())

x = test[:1]
print({name: tuple(y.shape) for name, y in space.decode(encoder(x)).items()})

# [evaluation]
result = evaluate(space, encoder(test), quantities(omega=test), fit=(encoder(train), quantities(omega=train)))
for name in result.names:
    print(f"{name}: R2 {result.subspace_r2[name]:.2f}, best rank-k probe {result.rank_k_probe_r2[name]:.2f}")
result.plot().savefig("evaluation.png")

# [editing]
before = quantities(omega=x)["flow"]
x_edited = decoder(space.edit(encoder(x), {"flow": 0.5 * before}))
after = quantities(omega=x_edited)["flow"]
ratio = after.norm() / before.norm()
print(f"asked for half of the stream function, the decoded field has {ratio:.2f} of it")

# [saving]
space.save("space.safetensors")
print(LatentSpace.load("space.safetensors").names)
