"""The device of a process, and the group of the processes that torchrun starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist

from isospan.errors import OptionError

RUNS = count()
"""Numbers the process groups; the same in every process."""


def own_device(device: str) -> str:
    """Return the device of this process: under torchrun ``"cuda"`` is the GPU with the local rank of the process.

    Where ``torch.distributed`` is already initialised, the device does not change: ``"cuda"`` is then torch's current
    GPU, which each process sets by ``torch.cuda.set_device``.

    Raises:
        OptionError: the device names one GPU for all processes, the machine has fewer GPUs than processes, or
            LOCAL_RANK is not set.

    Example:
        >>> own_device("cuda")
        'cuda'
    """
    kind, _, index = device.partition(":")
    if kind != "cuda" or not _to_be_joined():
        return device
    if "LOCAL_RANK" not in os.environ:
        raise OptionError(
            "LOCAL_RANK must be the number of this process on its machine, and so of its GPU, but only RANK and "
            "WORLD_SIZE are set. Start with torchrun, or set it."
        )
    local_rank, gpus = os.environ["LOCAL_RANK"], torch.cuda.device_count()
    if index not in ("", local_rank):
        raise OptionError(
            f"device must be 'cuda' where several processes train, each on its own GPU, got {device!r} in process "
            f"{local_rank} of this machine. Pass 'cuda', and choose GPUs with CUDA_VISIBLE_DEVICES."
        )
    if 0 < gpus <= int(local_rank):
        raise OptionError(
            f"Each process needs its own GPU, but process {local_rank} of this machine, counted from 0, sees only "
            f"{gpus}. Start at most {gpus} there, or make more GPUs visible with CUDA_VISIBLE_DEVICES."
        )
    return f"cuda:{local_rank}"


def check_usable(device: str) -> None:
    """Require a device that torch can use.

    Raises:
        OptionError: torch does not know the device, is not built for it, or does not find it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(
            f"device must be one that torch can use here, got {device!r}: {reason}. Use 'cpu'."
        ) from error


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes of torchrun in one group inside the block, each on its own GPU where ``device`` is one.

    The launcher must set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun does. For a single
    process, and for processes already in a group, nothing is done. After an error the group is not destroyed: the other
    processes fail when this process ends.

    Args:
        device: the device of this process, from :func:`own_device`.

    Example:
        >>> with joined("cpu"):
        ...     dist.is_initialized()
        False
    """
    if not _to_be_joined():
        yield
        return
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    store, rank, world = next(dist.rendezvous("env://"))
    group_store = dist.PrefixStore(f"isospan run {next(RUNS)}", store)  # keys of earlier groups remain
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=group_store, rank=rank, world_size=world)
    yield
    dist.destroy_process_group()


def _to_be_joined() -> bool:
    """Whether a launcher has started several processes that are not in a group yet."""
    several = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)
    return several and int(os.environ["WORLD_SIZE"]) > 1 and not dist.is_initialized()


def first_to_fail() -> bool:
    """Return whether this process is the first of torchrun's processes to fail.

    Only that one reports its error. True also for a single process, and where the store of torchrun cannot be reached.
    """
    if not dist.is_torchelastic_launched():
        return True
    address, port, attempt = (os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"))
    try:
        store = dist.TCPStore(address, int(port), is_master=False, timeout=timedelta(seconds=10))
        return store.add(f"isospan failed {attempt}", 1) == 1
    except RuntimeError:
        return True
