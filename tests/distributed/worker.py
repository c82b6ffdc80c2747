"""One of several processes: ``python worker.py RANK WORLD DIRECTORY`` runs every case and saves what it returns."""

import sys
import traceback
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES


def main(rank: int, world: int, directory: Path) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{directory / 'meeting'}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    results = {}
    for name, case in CASES.items():
        try:
            results[name] = case(rank, world)
        except Exception:
            # the others may wait for this process now: what they return is an error too, and the rest is not run
            results[name] = {"error": traceback.format_exc()}
            break
        finally:
            torch.save(results, directory / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
