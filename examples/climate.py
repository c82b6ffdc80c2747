"""Train on the output of a climate model, score it on other years, and warm the fields by two kelvin."""

import os
from pathlib import Path

import iris_sample_data

from isospan.experiment import TrainConfig, decode, edit, train

QUICK = bool(os.environ.get("ISOSPAN_QUICK"))


def contrast(field):
    """How much warmer the southern half is than the northern, in kelvin, of fields (B, 1, latitude, longitude)."""
    south, north = field.chunk(2, dim=-2)
    return south.mean((-2, -1)) - north.mean((-2, -1))


# Air temperature over North America in 240 years.
file = Path(iris_sample_data.path) / "A1B_north_america.nc"
config = TrainConfig(
    files=[file],
    quantities={"temperature": "local_mean", "contrast": contrast},
    out="climate",
    epochs=2 if QUICK else 40,
    batch_size=16,
    baseline=False,
)
result = train(config)

scores = result.guided.evaluation
for name in scores.names:
    print(f"{name}: R2 {scores.subspace_r2[name]:.2f}, best rank-k probe {scores.rank_k_probe_r2[name]:.2f}")
print(f"The report is {result.report}")

temperature = decode("climate", file)["temperature"]
print(f"{temperature.shape} temperatures from {temperature.min():.0f} to {temperature.max():.0f} kelvin")

warmer = edit("climate", file, {"temperature": "+2"})
print(f"The decoded fields are {float((warmer.after - warmer.before).mean()):.2f} kelvin warmer")
