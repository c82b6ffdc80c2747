"""``python -m benchmarks.error_bars``: coverage of 90 % intervals on samples that nothing was fitted to.

Networks are trained with guidance on sets of ``benchmarks.guided_recipe``. Half of the held-out samples, or 32 of them,
calibrate, and the other half is covered or not, in random splits. Compared are intervals of the training residuals,
calibrated ones, those with one quantile for all entries of a quantity, and two lines of NumPy.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from benchmarks.guided_recipe.sets import N_TRAIN, SETS, Set
from benchmarks.timing import one_thread
from isospan.errors import NumericalWarning
from isospan.guided import SpaceObjective
from isospan.subspaces import LatentSpace

LEVEL, NORMAL = 0.9, 1.6449
"""The level, and the two-sided quantile of a normal distribution."""
SPLITS, FEW = 60, 32
SEEDS = (0, 1, 2)
STUDIED = {name: (N_TRAIN, 10) for name in ("digits", "three bodies", "cahn-hilliard", "turbulence", "waves")}
STUDIED["digits, overfitted"] = (128, 100)
"""{title: (samples to train on, epochs)}; the title begins with the name of a set."""
Values = dict[str, Tensor]


def study() -> None:
    """Print a table: for each quantity the mean coverage in percent, and the least and largest of its entries."""
    one_thread()
    warnings.simplefilter("ignore", NumericalWarning)
    print("| set | quantity | training residuals | calibrated | one quantile | NumPy | calibrated, 32 | NumPy, 32 |")
    print("|---|---|---|---|---|---|---|---|")
    for title, (n, epochs) in STUDIED.items():
        data = SETS[title.split(",")[0]]()
        runs = [coverage(*trained(data, seed, n, epochs)) for seed in SEEDS]
        for name in data.y:
            columns = torch.stack([run[name] for run in runs]).mean(0)
            cells = (f"{c.mean():.1f} ({c.min():.1f}-{c.max():.1f})" for c in 100 * columns)
            print(f"| {title} | {name} | {' | '.join(cells)} |", flush=True)


def trained(data: Set, seed: int, n: int, epochs: int) -> tuple[LatentSpace, Tensor, Values]:
    """Train on n samples; return the space of these, and latents and quantities of the held-out samples."""
    torch.manual_seed(seed)
    encoder, decoder = data.network()
    objective, order = SpaceObjective(data.k, data.latent_dim), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(n, generator=order).split(32):
            x, y = data.x[rows], {name: values[rows] for name, values in data.y.items()}
            z = encoder(x)
            loss = objective.total_loss((decoder(z) - x).square().mean() / data.x.var(0).mean(), z, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        objective.end_epoch()
    with torch.no_grad():
        z = encoder(data.x).double()
    y = {name: values.double() for name, values in data.y.items()}
    space = objective.solve(z[:n], _rows(y, slice(n)))
    return space, z[N_TRAIN:], _rows(y, slice(N_TRAIN, None))


@torch.no_grad()
def coverage(space: LatentSpace, z: Tensor, y: Values) -> Values:
    """Return the fraction (6, P) of samples inside, for the columns of the table, as a mean over the splits."""
    generator, half = torch.Generator().manual_seed(0), len(z) // 2
    decoded, std = space.decode(z, std=True)
    error = {name: (y[name] - decoded[name]).abs() for name in y}
    found: dict[str, list[Tensor]] = {name: [] for name in y}
    for _ in range(SPLITS):
        order = torch.randperm(len(z), generator=generator)
        rest = order[half:]
        calibrated = {
            m: space.calibrate(z[order[:m]], _rows(y, order[:m])).interval(z[rest], level=LEVEL) for m in (half, FEW)
        }
        for name in y:
            inside = {
                m: (low[name] <= y[name][rest]) & (y[name][rest] <= high[name]) for m, (low, high) in calibrated.items()
            }
            columns = [
                error[name][rest] <= NORMAL * std[name][rest],
                inside[half],
                _one_quantile(error[name] / std[name], order[:half], rest),
                _numpy(error[name], order[:half], rest),
                inside[FEW],
                _numpy(error[name], order[:FEW], rest),
            ]
            found[name].append(torch.stack([column.double().mean(0) for column in columns]))
    return {name: torch.stack(splits).mean(0) for name, splits in found.items()}


def _numpy(error: Tensor, fitted: Tensor, rest: Tensor) -> Tensor:
    """The plain alternative."""
    half_width = np.quantile(error[fitted].numpy(), LEVEL, axis=0)
    return error[rest] <= torch.as_tensor(half_width)


def _one_quantile(scores: Tensor, fitted: Tensor, rest: Tensor) -> Tensor:
    """One conformal quantile for all entries of a quantity."""
    return scores[rest] <= torch.quantile(scores[fitted].flatten(), LEVEL, interpolation="higher")


def _rows(y: Values, rows: Tensor | slice) -> Values:
    return {name: values[rows] for name, values in y.items()}


if __name__ == "__main__":
    study()
