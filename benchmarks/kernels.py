"""Every kernel of linear layers, convolutions and chains of layers beside torch's layers of the same size, in one run.

``python -m benchmarks.kernels``: training steps (forward, backward with the gradient of the input, Adam) of 1,024
vectors, float32, one thread, lower quartiles of interleaved repeats, as multiples of torch's. The last lines are the
constants of ``isospan.nn._base.cost`` that suit these times best.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import torch
from torch import nn

from benchmarks.models import GROUPS, plain, training_step
from benchmarks.timing import lower_quartiles, machine, one_thread
from isospan.groups import SO2, SO3
from isospan.models._regular.network import RegularNetwork
from isospan.nn import Conv1d, Linear
from isospan.nn._base.cost import COSTS, MOVE, MOVE_IN_CHAIN, Shape, chosen_kernel
from isospan.representations import Representation, direct_sum

RESULTS = Path(__file__).parent / "results" / "kernels.json"
ALL_GROUPS = {**GROUPS, "SO2": SO2(), "SO3": SO3()}
LAYERS = {"Linear": 1, "Conv1d 3": 3, "Conv1d 9": 9, "chain": 1}
"""Number of kernel positions of each kind of layer."""
CASES = [
    (layer, features, name)
    for layer, features, name in product(LAYERS, (64, 128, 256, 512, 1024), ALL_GROUPS)
    if LAYERS[layer] * features <= 3072 and (layer != "chain" or name in GROUPS)
]
VECTORS = 1024

Makes = dict[str, Callable[[], nn.Module]]


def copies(name: str, features: int) -> Representation:
    """Copies of the regular representation, or of all irreps up to frequency 2, with about as many features."""
    group = ALL_GROUPS[name]
    irreps = [group.regular_representation] if group.order() else group.irreps(2)
    count = max(round(features / sum(irrep.size for irrep in irreps)), 1)
    return direct_sum([count * irrep for irrep in irreps])


def layers(rep: Representation, layer: str) -> tuple[Makes, torch.Tensor]:
    """What makes each layer, and its input."""
    n, positions = rep.size, LAYERS[layer]
    if layer == "chain":
        reps = 4 * [rep]
        made: Makes = {kernel: lambda k=kernel: RegularNetwork(reps, nn.ReLU(), kernel=k) for kernel in COSTS}
        return {"torch": lambda: plain(4 * [n])} | made, torch.randn(VECTORS, n, requires_grad=True)
    if positions == 1:
        made = {kernel: lambda k=kernel: Linear(rep, rep, kernel=k) for kernel in COSTS}
        return {"torch": lambda: nn.Linear(n, n)} | made, torch.randn(VECTORS, n, requires_grad=True)
    size = {"kernel_size": positions, "padding": positions // 2}
    made = {kernel: lambda k=kernel: Conv1d(rep, rep, **size, kernel=k) for kernel in COSTS}
    return {"torch": lambda: nn.Conv1d(n, n, **size)} | made, torch.randn(16, n, VECTORS // 16, requires_grad=True)


def shape_of(layer: str, features: int, name: str) -> Shape:
    """The problem that the kernels solve."""
    rep = copies(name, features)
    return Shape(rep, rep, LAYERS[layer], in_chain=layer == "chain")


def over_best(seconds: Mapping[str, float], kernel: str) -> float:
    """The share of time that a kernel takes more than the fastest one."""
    return seconds[kernel] / min(seconds[name] for name in COSTS) - 1


def time_case(layer: str, features: int, name: str) -> dict[str, float]:
    """Seconds of a training step of each kernel; print them over torch's."""
    shape = shape_of(layer, features, name)
    makes, x = layers(shape.rep_in, layer)
    steps = {key: training_step(make(), x) for key, make in makes.items()}
    seconds = lower_quartiles(steps, repeats=30 if features < 256 else 10, warm_up=2)
    multiples = "".join(f"{seconds[kernel] / seconds['torch']:10.2f}" for kernel in COSTS)
    chosen = chosen_kernel(shape)
    print(f"  {layer:<10}{name:<12}{shape.rep_in.size:6}{multiples}   {chosen:<10}{over_best(seconds, chosen):6.0%}")
    return seconds


def chosen_with(shape: Shape, move: int) -> str:
    """The kernel that is chosen where a coordinate costs ``move``."""
    change = (move - (MOVE_IN_CHAIN if shape.in_chain else MOVE)) * (shape.rep_in.size + shape.rep_out.size)
    return min(COSTS, key=lambda kernel: COSTS[kernel](shape) + (change if kernel == "isotypic" else 0))


def fit(cases: Sequence[tuple[Shape, Mapping[str, float]]]) -> None:
    """Print the costs of a coordinate whose choices take the least time over that of the best kernels."""
    excess = {
        move: statistics.mean(over_best(seconds, chosen_with(shape, move)) for shape, seconds in cases)
        for move in range(30, 300, 5)
    }
    least = [move for move, value in excess.items() if value < min(excess.values()) + 1e-9]
    print(f"  {least[0]} to {least[-1]}, on average {min(excess.values()):.1%} over the best")


def main() -> None:
    one_thread()
    print(machine())
    print(f"  layer     group         size{''.join(f'{kernel:>10}' for kernel in COSTS)}   chosen    over the best")
    times = [time_case(*case) for case in CASES]
    shapes = [shape_of(*case) for case in CASES]
    cases = list(zip(shapes, times, strict=True))
    near = sum(over_best(seconds, chosen_kernel(shape)) <= 0.1 for shape, seconds in cases)
    print(f"  {near} of {len(cases)} choices are within 10 % of the best kernel. MOVE, MOVE_IN_CHAIN that fit best:")
    for in_chain in (False, True):
        fit([case for case in cases if case[0].in_chain == in_chain])
    RESULTS.parent.mkdir(exist_ok=True)
    results = {" ".join(map(str, case)): seconds for case, seconds in zip(CASES, times, strict=True)}
    RESULTS.write_text(json.dumps({"machine": machine(), "seconds": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
