"""What guidance costs with many processes: bytes sent, time, memory, and the precision of moments of 10^10 samples.

Bytes are counted where torch.distributed is called, in 1, 2 and 4 processes on this machine, and compared with the
formulas of docs/scale.rst. Seconds are those of the processor, since the processes may share one.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import log2
from pathlib import Path

import torch
import torch.distributed as dist

from benchmarks.timing import machine
from isospan.guided import EverySteps, ExponentialSchedule, SpaceObjective
from isospan.moments import Moments

RESULTS = Path(__file__).parent / "results"
RANKS = (1, 2, 4)
STEPS, EVERY, BATCH = 24, 4, 64
CASES = {"small": (16, {"a": 4, "b": 3}, {"a": 16, "b": 16}), "large": (256, {"a": 32, "b": 32}, {"a": 512, "b": 512})}
"""D, k and P by quantity."""

MERGES, SAMPLES_EACH = 100_000, 100_000

GPUS, ON_A_MACHINE = 1000, 8
HOP_SECONDS, BYTES_PER_SECOND = 10e-6, 40e9
"""Assumed of a message between machines: start-up time, and bandwidth of 400 Gb/s InfiniBand a GPU less a fifth."""


def formula(case: str) -> dict[str, int]:
    """Bytes of a step and of a solve by docs/scale.rst."""
    D, k, P = CASES[case]
    K, total = sum(k.values()), sum(P.values())
    return {
        "step": 8 * (D + total + 5) + 8 * (D**2 + D * total + total),
        "solve": 8 * (K * D + K * total + D * total + D + 2 * total),
    }


class Count:
    """Bytes and number of the tensors that this process passes to ``torch.distributed``."""

    def __init__(self) -> None:
        self.bytes = self.messages = 0
        for name in ("all_reduce", "broadcast", "all_gather"):
            setattr(dist, name, self.counted(getattr(dist, name)))

    def counted(self, call: Callable) -> Callable:
        """Count what is passed to a collective."""

        def counting(*arguments, **options):
            sent = arguments[1] if isinstance(arguments[0], list) else arguments[0]
            self.bytes += sent.numel() * sent.element_size()
            self.messages += 1
            return call(*arguments, **options)

        return counting


def work(rank: int, world: int, meeting: str) -> None:
    """Train in one of the processes; the first prints what it counted."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    count = Count()
    measured = {case: steps(case, rank, count) for case in CASES}
    if rank == 0:
        print(json.dumps(measured))
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def steps(case: str, rank: int, count: Count) -> dict[str, float]:
    """Median bytes, messages and seconds of steps with and without a solve, after the first."""
    D, k, P = CASES[case]
    generator = torch.Generator().manual_seed(rank)
    # a memory in which no block of samples starts: such a step sends both sums once more
    objective = SpaceObjective(k, D, schedule=EverySteps(EVERY), memory=8 * STEPS * BATCH * 1000)
    rows = []
    for step in range(1, STEPS + 1):
        z = torch.randn(BATCH, D, generator=generator, requires_grad=True)
        y = {name: torch.randn(BATCH, p, generator=generator) for name, p in P.items()}
        before = count.bytes, count.messages, time.process_time()
        objective.total_loss(z.square().mean(), z, y).backward()
        after = count.bytes, count.messages, time.process_time()
        rows.append((step % EVERY == 0, *(b - a for a, b in zip(before, after, strict=True))))
    plain, solved = ([row[1:] for row in rows[EVERY:] if row[0] is solves] for solves in (False, True))
    medians = [[statistics.median(column) for column in zip(*part, strict=True)] for part in (plain, solved)]
    names = ("bytes", "messages", "seconds")
    state = sum(buffer.numel() * buffer.element_size() for buffer in objective.buffers())
    return {
        **{f"{name} of a step": value for name, value in zip(names, medians[0], strict=True)},
        **{f"{name} of a solve": b - a for name, a, b in zip(names, *medians, strict=True)},
        "bytes of the state": state,
    }


def run(world: int) -> dict[str, dict[str, float]]:
    """Start the processes; what the first counted."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks.scale", "--work"]
        started = [
            subprocess.Popen(
                [*command, str(rank), str(world), f"{directory}/meeting"],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(world)
        ]
        said = [process.communicate(timeout=500)[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"A process of {world} failed.")
    return json.loads(said[0])


def print_counts(case: str, measured: Mapping[int, dict[str, float]]) -> None:
    D, k, P = CASES[case]
    print(f"\n{case}: D = {D}, k = {list(k.values())}, P = {list(P.values())}, {BATCH} samples a process")
    print("  processes   bytes a step   messages   bytes a solve   ms a step   ms a solve")
    for world, row in measured.items():
        print(
            f"  {world:9}   {row['bytes of a step']:12,.0f}   {row['messages of a step']:8.0f}"
            f"   {row['bytes of a solve']:13,.0f}   {1e3 * row['seconds of a step']:9.2f}"
            f"   {1e3 * row['seconds of a solve']:10.1f}"
        )
        expected = formula(case) if world > 1 else {"step": 0, "solve": 0}
        got = {kind: row[f"bytes of a {kind}"] for kind in expected}
        if got != expected:
            raise RuntimeError(f"The formula gives {expected}, counted were {got}.")
    expected, state = formula(case), measured[1]["bytes of the state"]
    print(f"  formula     {expected['step']:12,} {'':13} {expected['solve']:13,}       state {state:,} bytes")


def at_scale(case: str) -> dict[str, float]:
    """Seconds of the messages of a step and of a solve with many GPUs, by a tree over machines."""
    hops, bytes_of = 2 * log2(GPUS / ON_A_MACHINE), formula(case)
    seconds = lambda messages, size: messages * hops * HOP_SECONDS + 2 * size / BYTES_PER_SECOND  # noqa: E731
    return {"step": seconds(2, bytes_of["step"]), "solve": seconds(1, bytes_of["solve"]) / 2}


def exact(parts: list[Moments]) -> tuple[list[Fraction], list[list[Fraction]]]:
    """Mean and covariance of z of equally many repetitions of some moments, in rational arithmetic."""
    means = [[Fraction(float(v)) for v in part.z_mean] for part in parts]
    scatters = [[[Fraction(float(v)) for v in row] for row in part.scatter_zz] for part in parts]
    D, n = len(means[0]), Fraction(SAMPLES_EACH)
    mean = [sum(m[i] for m in means) / len(parts) for i in range(D)]
    cov = [
        [
            sum(S[i][j] / n + (m[i] - mean[i]) * (m[j] - mean[j]) for S, m in zip(scatters, means, strict=True))
            / len(parts)
            for j in range(D)
        ]
        for i in range(D)
    ]
    return mean, cov


def precision(offset: float) -> dict[str, float]:
    """Errors of moments of 10^10 samples, merged one after the other, in standard deviations."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(8):
        z = offset + torch.randn(SAMPLES_EACH, 4, generator=generator, dtype=torch.float64)
        parts.append(Moments(4, {"y": 1}).update(z, {"y": z[:, :1]}))
    merged = Moments(4, {"y": 1})
    for i in range(MERGES):
        merged.merge(parts[i % len(parts)])
    mean, cov = exact(parts)
    errors = [
        abs(float(Fraction(float(merged.cov_zz[i, j])) - cov[i][j])) / float(cov[i][i] * cov[j][j]) ** 0.5
        for i in range(4)
        for j in range(4)
    ]
    shift = [abs(float(Fraction(float(merged.z_mean[i])) - mean[i])) / float(cov[i][i]) ** 0.5 for i in range(4)]
    return {"samples": float(merged.count), "mean": max(shift), "covariance": max(errors)}


def solves(steps: int) -> int:
    """How often the default schedule solves in a number of steps."""
    schedule, step, number = ExponentialSchedule(), 0, 0
    while step < steps:
        step += 1
        number += schedule.due_at_step(step)
    return number


def main() -> None:
    counted = {world: run(world) for world in RANKS}
    by_case = {case: {world: counted[world][case] for world in RANKS} for case in CASES}
    for case, measured in by_case.items():
        print_counts(case, measured)
    expected = {case: at_scale(case) for case in CASES}
    print(f"\nmessages with {GPUS} GPUs, {ON_A_MACHINE} a machine, {HOP_SECONDS * 1e6:.0f} µs a hop, 40 GB/s")
    for case, seconds in expected.items():
        print(f"  {case}: {1e3 * seconds['step']:.2f} ms a step, {1e3 * seconds['solve']:.2f} ms a solve")
    n_steps = 10**10 // (BATCH * GPUS)
    print(
        f"  10^10 samples are {n_steps:,} steps of {BATCH} a GPU; the default schedule solves {solves(n_steps)} times"
    )
    errors = {f"mean of {offset:g} deviations": precision(offset) for offset in (0.0, 1e3, 1e6)}
    for name, error in errors.items():
        print(f"  {name}: {error['samples']:.0e} samples, errors {error['mean']:.1e} (mean), {error['covariance']:.1e}")
    RESULTS.mkdir(exist_ok=True)
    results = {"machine": machine(), "counted": by_case, "formula": {case: formula(case) for case in CASES}}
    results |= {"seconds of messages with 1000 GPUs": expected, "solves": solves(n_steps), "precision": errors}
    (RESULTS / "scale.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        main()
