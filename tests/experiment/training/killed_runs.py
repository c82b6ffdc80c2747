"""A program that trains, is killed, and resumes: run by test_kills.py, where killing a process harms nobody else.

`killed_runs.py train DIR` trains once; `killed_runs.py random DIR SEED KILLS` and `killed_runs.py writes DIR` train in
children of this process, kill them, resume, and compare with a run that nobody killed.
"""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

import isospan._core.tensor_files
from isospan._core.randomness import seeded
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.training import fit
from isospan.guided import ExponentialSchedule, SpaceObjective
from isospan.integrations import Checkpoints, load_tree, save_tree
from isospan.quantities import pool

torch.set_num_threads(1)
torch.optim.Adam([nn.Parameter(torch.zeros(1))])  # imports what takes seconds, before there are children
EPOCHS, SAMPLES, BATCH = 3, 48, 6


def train(directory: Path) -> None:
    """Train with a checkpoint after every step, resuming where there is one, and write down the result."""
    with seeded(1):
        encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 6))
        x, model = torch.randn(SAMPLES, 1, 8, 8), ConvAutoencoder(1, (8, 8), 6, width=4, encoder=encoder)
    objective = SpaceObjective({"mean": 2, "power": 2}, 6, schedule=ExponentialSchedule(first=3))
    history = fit(
        model,
        x,
        objective=objective,
        quantities=lambda batch: {"mean": pool(batch.fields, 2), "power": pool(batch.fields**2, 2)},
        epochs=EPOCHS,
        batch_size=BATCH,
        augment=True,
        checkpoints=Checkpoints(directory / "checkpoints", every_steps=1),
        resume=True,
    )
    result = {"model": model.state_dict(), "objective": objective.state_dict(), "task": history.losses["task"]}
    save_tree(directory / "result", result, kind="result")


def child(directory: Path, prepare=lambda: None) -> int:
    """Start to train in a child."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prepare()
        train(directory)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def was_killed(pid: int) -> bool:
    """Wait for a child; whether it was killed before it was done."""
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("a child failed")
    return os.WIFSIGNALED(status)


def kill_at_random(directory: Path, seed: int, kills: int) -> None:
    """Kill and resume runs until each is done, and start new ones until there were ``kills`` kills.

    How many kills one run takes depends on what else the machine does.
    """
    started = time.perf_counter()
    was_killed(child(directory / "expected"))
    first = 3 * (time.perf_counter() - started) / kills
    moments, killed, unfinished, runs = random.Random(seed), 0, 0, 0
    while killed < kills:
        run, longest, runs = directory / f"killed-{runs}", first, runs + 1
        while True:
            pid = child(run)
            time.sleep(moments.uniform(0, longest))
            os.kill(pid, signal.SIGKILL)
            if not was_killed(pid):
                break
            killed, longest = killed + 1, 1.03 * longest
            unfinished += any((run / "checkpoints").glob(".*"))
        compare(run, directory / "expected")
    print(f"{killed} kills of {runs} runs, {unfinished} of them in a write")


def kill_in_writes(directory: Path) -> None:
    """Kill in every part of a write, once; then resume."""
    was_killed(child(directory / "expected"))
    for part, prepare in WRITE.items():
        if not was_killed(child(directory / part, lambda prepare=prepare: prepare(7))):
            raise SystemExit(f"{part}: it was not killed")
        if was_killed(child(directory / part)):
            raise SystemExit(f"{part}: killed by somebody else")
        compare(directory / part, directory / "expected")


def die(*args: object, **options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_call(owner: object, name: str, count: int, *, instead=die) -> None:
    """Let the process die at the n-th call of a function, in its place."""
    calls, original = [0], getattr(owner, name)

    def counted(*args: object, **options: object) -> object:
        calls[0] += 1
        return instead(*args, **options) if calls[0] == count else original(*args, **options)

    setattr(owner, name, counted)


def half_written(tensors: dict, path: Path, metadata: dict) -> None:
    content = save(tensors, metadata)
    path.write_bytes(content[: len(content) // 2])
    path.with_name(".tmpX").write_bytes(content)
    die()


WRITE = {
    "half written": lambda n: kill_at_call(isospan._core.tensor_files, "save_file", n, instead=half_written),
    "flush of the file": lambda n: kill_at_call(os, "fsync", 2 * n - 1),
    "rename": lambda n: kill_at_call(Path, "replace", n),
    "flush of the name": lambda n: kill_at_call(os, "fsync", 2 * n),
    "removal of an old one": lambda n: kill_at_call(Path, "unlink", n),
}


def compare(resumed: Path, expected: Path) -> None:
    """Require the same result, bit for bit, and nothing left but the last two checkpoints."""
    ours, theirs = (load_tree(path / "result", kind="result") for path in (resumed, expected))
    for part in ("model", "objective"):
        for name, tensor in theirs[part].items():
            if not torch.equal(ours[part][name], tensor):
                raise SystemExit(f"{resumed}: {part} {name} differs")
    if ours["task"] != theirs["task"]:
        raise SystemExit(f"{resumed}: the losses differ")
    steps, names = EPOCHS * SAMPLES // BATCH, sorted(os.listdir(resumed / "checkpoints"))
    if names != [f"{step:06d}.safetensors" for step in (steps - 1, steps)]:
        raise SystemExit(f"{resumed}: the checkpoints are {names}")


if __name__ == "__main__":
    command, directory, *numbers = sys.argv[1:]
    {"train": train, "random": kill_at_random, "writes": kill_in_writes}[command](Path(directory), *map(int, numbers))
