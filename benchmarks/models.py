"""Equivariant perceptrons beside plain ones of the same widths, in one run.

``python -m benchmarks.models``: training steps (forward, backward, Adam) and frozen evaluation at hidden widths 128 x 3
and 512 x 3, with one or four regular representations in and out, float32, one thread, lower quartiles of interleaved
repeats. The bars over the plain network: training at 512 x 3 and batch 1024 at most 0.75 for C4, 0.45 for D6 and 0.65
for the icosahedral group, at batch 256 at most 1.0; at 128 x 3 at most 1.25; evaluation at most 1.05.
"""

import json
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import torch
from torch import nn

from benchmarks.timing import lower_quartiles, machine, one_thread, print_table
from isospan.groups import CyclicGroup, DihedralGroup, IcosahedralGroup
from isospan.models import EMLP

RESULTS = Path(__file__).parent / "results"
GROUPS = {"C4": CyclicGroup(4), "D6": DihedralGroup(6), "icosahedral": IcosahedralGroup()}


def plain(widths: list[int]) -> nn.Sequential:
    """A dense network of these widths."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def training_step(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return step


def evaluation(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    @torch.no_grad()
    def call() -> None:
        model(x)

    return call


def at_most(name: str, width: int, batch: int) -> float:
    """The bar of a training step."""
    if width == 128:
        return 1.25
    return {"C4": 0.75, "D6": 0.45, "icosahedral": 0.65}[name] if batch == 1024 else 1.0


def time_case(name: str, width: int, batch: int, copies: int) -> dict[str, float]:
    regular = GROUPS[name].regular_representation
    end, hidden = copies * regular, -(-width // regular.size) * regular.size
    models = {"plain": plain([end.size, hidden, hidden, hidden, end.size]), "equivariant": EMLP(end, end, [width] * 3)}
    x = torch.randn(batch, end.size)
    repeats = 15 if width == 512 else 60  # steps of a few milliseconds vary more
    seconds = lower_quartiles(
        {key: training_step(model, x) for key, model in models.items()}, repeats=repeats, warm_up=3
    )
    models["equivariant"].freeze()
    calls = {f"{key}, evaluation": evaluation(model, x) for key, model in models.items()}
    seconds |= lower_quartiles(calls, repeats=2 * repeats, warm_up=3)
    print_table(f"{name}, hidden {width} x 3, batch {batch}, {copies} regular in and out", seconds)
    ratio = seconds["equivariant"] / seconds["plain"]
    bar = at_most(name, width, batch)
    print(f"  training over plain: {ratio:.2f} (at most {bar}) {'met' if ratio <= bar else 'MISSED'}")
    ratio = seconds["equivariant, evaluation"] / seconds["plain, evaluation"]
    print(f"  evaluation over plain: {ratio:.2f} (at most 1.05) {'met' if ratio <= 1.05 else 'MISSED'}")
    return seconds


def main() -> None:
    one_thread()
    print(machine())
    cases = product((512, 128), (1024, 256), GROUPS, (1, 4))
    results = {f"{n} {w} {b} {c}": time_case(n, w, b, c) for w, b, n, c in cases}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "models.json").write_text(json.dumps({"machine": machine(), "seconds": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
