"""Every kernel of linear layers and convolutions beside torch's layer of the same size, in one run.

``python -m benchmarks.kernels``: training steps (forward, backward with the gradient of the input, Adam), float32, one
thread, medians of interleaved repeats, as multiples of torch's. The cost model of ``isospan.nn._kernels`` is fitted to
it: the last column is the ``MOVE`` at which both kernels would cost the same for each second that they take,

    MOVE = (dense multiplications * measured ratio - isotypic multiplications) / numbers moved.
"""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from torch import nn

from benchmarks.models import GROUPS, training_step
from benchmarks.timing import machine, medians, one_thread
from isospan.groups import SO2, SO3
from isospan.nn import Conv1d, Linear
from isospan.nn._kernels.choice import KERNELS, kernel_of
from isospan.nn._kernels.kernel import MOVE, Shape
from isospan.representations import Representation, direct_sum

RESULTS = Path(__file__).parent / "results"
ALL_GROUPS = {**GROUPS, "SO2": SO2(), "SO3": SO3()}
FEATURES = 64, 256, 512, 1024
BATCH = 1024


def copies(group: object, features: int) -> Representation:
    """Copies of the regular representation, or of all irreps up to frequency 2, with about as many features."""
    irreps = [group.regular_representation] if group.order() else group.irreps(2)
    count = max(round(features / sum(irrep.size for irrep in irreps)), 1)
    return direct_sum([count * irrep for irrep in irreps])


def layers(rep: Representation, positions: int) -> tuple[dict[str, Callable[[], nn.Module]], torch.Tensor]:
    """What makes each layer, and an input of 1,024 vectors."""
    n = rep.size
    if positions == 1:
        made = {kernel: lambda kernel=kernel: Linear(rep, rep, kernel=kernel) for kernel in KERNELS}
        return {"torch": lambda: nn.Linear(n, n)} | made, torch.randn(BATCH, n, requires_grad=True)
    size = {"kernel_size": positions, "padding": positions // 2}
    made = {kernel: lambda kernel=kernel: Conv1d(rep, rep, **size, kernel=kernel) for kernel in KERNELS}
    return {"torch": lambda: nn.Conv1d(n, n, **size)} | made, torch.randn(16, n, BATCH // 16, requires_grad=True)


def time_case(name: str, features: int, positions: int) -> dict[str, float]:
    """Seconds of a training step of each layer; print them over torch's."""
    rep = copies(ALL_GROUPS[name], features)
    makes, x = layers(rep, positions)
    steps = {key: training_step(make(), x) for key, make in makes.items()}
    seconds = medians(steps, repeats=15 if features < 256 else 5, warm_up=2)
    shape = Shape(rep, rep, positions)
    moved, ratio = 2 * rep.size, seconds["isotypic"] / seconds["dense"]
    dense, isotypic = (KERNELS[kernel].cost(shape) for kernel in ("dense", "isotypic"))
    implied = (dense * ratio - (isotypic - MOVE * moved)) / moved
    multiples = "".join(f"{seconds[kernel] / seconds['torch']:10.2f}" for kernel in KERNELS)
    chosen = next(key for key, kind in KERNELS.items() if type(kernel_of(shape)) is kind)
    print(f"  {name:<12}{rep.size:6}{positions:4}{multiples}   {chosen:<10}{implied:6.0f}", flush=True)
    return seconds


def main() -> None:
    one_thread()
    print(machine())
    print(f"  group       size   K{''.join(f'{kernel:>10}' for kernel in KERNELS)}   chosen      MOVE")
    cases = [case for case in product((1, 3, 9), FEATURES, ALL_GROUPS) if case[0] * case[1] <= 3072]  # a few minutes
    results = {f"{name} {n} {positions}": time_case(name, n, positions) for positions, n, name in cases}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "kernels.json").write_text(json.dumps({"machine": machine(), "seconds": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
