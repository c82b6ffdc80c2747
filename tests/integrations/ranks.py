"""One of two processes that keep checkpoints together: run by test_checkpoints.py as `ranks.py RANK DIR`."""

import sys
from pathlib import Path

import torch.distributed as dist

from isospan.errors import FileFormatError
from isospan.integrations import Checkpoints


def outcome(checkpoints: Checkpoints) -> str:
    try:
        return repr(checkpoints.latest())
    except FileFormatError as error:
        return str(error).split(" in ")[0]
    finally:
        dist.barrier()


def outcomes(rank: int, directory: Path) -> list[str]:
    shared, own = Checkpoints(directory / "shared"), Checkpoints(directory / f"own{rank}")
    found = [outcome(shared)]
    for checkpoints in (shared, own):
        for number in (1, 2):
            checkpoints.save(number, {"number": number, "rank": rank})
        found.append(str(len(checkpoints.paths())))
        dist.barrier()
    found.append(outcome(shared))
    for damaged in ("000002", "000001"):
        if rank == 0:
            (directory / "shared" / f"{damaged}.safetensors").write_bytes(b"damaged")
        found.append(outcome(shared))
    found.append(outcome(own))  # rank 1 does not see the file of rank 0
    shared.clear()
    dist.barrier()
    return [*found, outcome(shared)]


if __name__ == "__main__":
    rank, directory = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{directory / 'store'}", rank=rank, world_size=2)
    print("|".join(outcomes(rank, directory)))
    dist.destroy_process_group()
