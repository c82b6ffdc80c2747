"""Equivariant convolutions and linear layers beside torch's of the same channels, in one run.

``python -m benchmarks.convolutions``: training steps (forward, backward with the gradient of the input, Adam) on copies
of the regular representation, whose coordinates the group permutes, and in a random orthonormal basis; float32, one
thread, medians of interleaved repeats. The bar of a convolution of permuted channels, from 128 on, is 1.05
times torch's.
"""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.models import GROUPS, training_step
from benchmarks.timing import machine, medians, one_thread, print_table
from isospan.nn import Conv1d, Linear
from isospan.representations import Representation, change_of_basis

RESULTS = Path(__file__).parent / "results"
AT_MOST = 1.05


def in_random_basis(rep: Representation) -> Representation:
    """The representation in a random orthonormal basis."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((rep.size, rep.size)))[0]
    return change_of_basis(rep, Q)


def copies(name: str, channels: int) -> Representation:
    """As many copies of the regular representation as fit, and at least one."""
    regular = GROUPS[name].regular_representation
    return max(channels // regular.size, 1) * regular


def time_layers(title: str, layers: Mapping[str, nn.Module], x: torch.Tensor, *, bar: float | None) -> dict[str, float]:
    """Seconds of a training step of each layer, and what they are over torch's."""
    steps = {name: training_step(layer, x.requires_grad_()) for name, layer in layers.items()}
    seconds = medians(steps, repeats=9, warm_up=2)
    print_table(title, seconds, floor="torch")
    ratio = seconds["permuted"] / seconds["torch"]
    if bar is not None:
        print(f"  training over torch's: {ratio:.2f} (at most {bar}) {'met' if ratio <= bar else 'MISSED'}")
    return seconds


def time_convolution(name: str, channels: int) -> dict[str, float]:
    rep = copies(name, channels)
    reps = {"permuted": rep, "random basis": in_random_basis(rep)}
    layers = {"torch": nn.Conv1d(rep.size, rep.size, 9, padding=4)}
    layers |= {key: Conv1d(r, r, 9, padding=4) for key, r in reps.items()}
    title = f"Conv1d, {name}, {rep.size} channels, kernel 9, batch 32 x 64"
    return time_layers(title, layers, torch.randn(32, rep.size, 64), bar=AT_MOST if channels >= 128 else None)


def time_linear(name: str, features: int, batch: int) -> dict[str, float]:
    rep = copies(name, features)
    layers = {"torch": nn.Linear(rep.size, rep.size), "permuted": Linear(rep, rep)}
    layers["random basis"] = Linear(in_random_basis(rep), in_random_basis(rep))
    return time_layers(
        f"Linear, {name}, {rep.size} features, batch {batch}", layers, torch.randn(batch, rep.size), bar=None
    )


def main() -> None:
    one_thread()
    print(machine())
    results = {f"Conv1d {n} {c}": time_convolution(n, c) for n, c in product(GROUPS, (48, 240))}
    results |= {f"Linear {n} {f} {b}": time_linear(n, f, b) for f, b, n in product((48, 480), (64, 1024), GROUPS)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "convolutions.json").write_text(json.dumps({"machine": machine(), "seconds": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
