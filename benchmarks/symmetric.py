"""Least squares and covariance under a group beside torch's, on the same data in one run.

``python -m benchmarks.symmetric``: N = 10,000 samples of sums of regular representations, float32, one thread, medians
of interleaved repeats. The bars: ``lstsq`` takes at most 0.4 of ``torch.linalg.lstsq``; ``cov`` at most 0.7 of
``torch.cov`` at D = 512 for D6, D8 and the icosahedral group, and nowhere above 1.1.
"""

import json
from pathlib import Path

import torch

from benchmarks.timing import machine, medians, one_thread, print_table
from isospan.groups import CyclicGroup, DihedralGroup, FiniteGroup, IcosahedralGroup
from isospan.representations import Representation
from isospan.symmetric import cov, lstsq

RESULTS = Path(__file__).parent / "results"
N = 10_000
GROUPS = {"C4": CyclicGroup(4), "D6": DihedralGroup(6), "D8": DihedralGroup(8), "icosahedral": IcosahedralGroup()}
SIZES = (256, 512)


def regular_copies(group: FiniteGroup, size: int) -> Representation:
    """As many copies of the regular representation as come nearest to a size."""
    return max(1, round(size / group.order())) * group.regular_representation


def time_group(name: str, size: int) -> dict[str, float]:
    rep = regular_copies(GROUPS[name], size)
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, N, rep.size, generator=g)
    calls = {
        "torch.cov": lambda: torch.cov(x.mT),
        "cov": lambda: cov(x, rep),
        "torch.linalg.lstsq": lambda: torch.linalg.lstsq(x, y),
        "lstsq": lambda: lstsq(x, y, rep, rep),
    }
    seconds = medians(calls, repeats=5)
    print_table(f"{name}, D = {rep.size}", seconds)
    bar = 0.7 if size == 512 and name != "C4" else 1.1
    for ours, theirs, at_most in (("cov", "torch.cov", bar), ("lstsq", "torch.linalg.lstsq", 0.4)):
        ratio = seconds[ours] / seconds[theirs]
        print(f"  {ours} over torch's: {ratio:.2f} (at most {at_most}) {'met' if ratio <= at_most else 'MISSED'}")
    return seconds


def main() -> None:
    one_thread()
    print(machine())
    results = {f"{name} {size}": time_group(name, size) for name in GROUPS for size in SIZES}
    RESULTS.mkdir(exist_ok=True)
    report = {"machine": machine(), "samples": N, "seconds": results}
    (RESULTS / "symmetric.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
