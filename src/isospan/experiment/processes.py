"""The processes that torchrun starts for one run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist

RUNS = count()
"""Numbers of the groups that were made, the same in every process."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Let the processes of torchrun work together inside the block, each on a GPU of its own where ``device`` is one.

    Other launchers will do that set the same variables: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. One
    process alone, and processes that are together already, stay as they are. After an error the group is left as it
    is: the others learn of it when this process ends.

    Args:
        device: ``"cuda"`` means the GPU of this process's number on its machine.

    Example:
        >>> with joined("cpu"):
        ...     dist.is_initialized()
        False
    """
    together = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)
    if not together or int(os.environ["WORLD_SIZE"]) == 1 or dist.is_initialized():
        yield
        return
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, world = next(dist.rendezvous("env://"))
    own = dist.PrefixStore(f"isospan run {next(RUNS)}", store)  # keys of an earlier group would be taken for ours
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=own, rank=rank, world_size=world)
    yield
    dist.destroy_process_group()


def first_to_fail() -> bool:
    """Claim, for this process, to be the first of those of torchrun that fails: what the others say then follows.

    Returns:
        Whether it is so; also where there are no others, or torchrun cannot be asked.
    """
    if not dist.is_torchelastic_launched():
        return True
    address, port, attempt = (os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"))
    try:
        store = dist.TCPStore(address, int(port), is_master=False, timeout=timedelta(seconds=10))
        return store.add(f"isospan failed {attempt}", 1) == 1
    except RuntimeError:
        return True
