"""The main job from Python: what ``isospan train`` does, on a file of one's own, then read and edit its quantities."""

import os

import numpy as np

from isospan.datasets import cahn_hilliard
from isospan.experiment import TrainConfig, decode, edit, train

QUICK = bool(os.environ.get("ISOSPAN_QUICK"))

fields = cahn_hilliard(160 if QUICK else 640, size=32, times=(10.0, 60.0))
np.savez("mixtures.npz", composition=fields.numpy())

result = train(
    TrainConfig(
        files=["mixtures.npz"],
        quantities={"steepness": "gradient_magnitude_squared", "curvature": "laplacian"},
        periodic=True,
        epochs=3 if QUICK else 20,
        max_bins=4,
        out="mixtures-run",
    )
)
print(result.space.summary())
for name, r2 in result.guided.evaluation.subspace_r2.items():
    print(f"{name}: R2 {r2:.3f}, without guidance {result.unguided.evaluation.rank_k_probe_r2[name]:.3f}")
print(f"reconstruction error {result.guided.nmse:.4f}, without guidance {result.unguided.nmse:.4f}")
print(f"the report is {result.report}")

read = decode("mixtures-run", "mixtures.npz")
print({name: values.shape for name, values in read.items()})
smoother = edit("mixtures-run", "mixtures.npz", {"steepness": "*0.5", "curvature": "*0.7"})
print("fields after the edit:", tuple(smoother.after.shape))
