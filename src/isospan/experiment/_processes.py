"""The processes that torchrun starts for one run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist

from isospan.errors import OptionError

RUNS = count()
"""Numbers of the groups that were made, the same in every process."""


def own_device(device: str) -> str:
    """Return the device of this process: under torchrun ``"cuda"`` is the GPU of its number on its machine.

    Where ``torch.distributed`` is initialised already, a device stays as it is: ``"cuda"`` is then torch's current GPU,
    which each process chooses by ``torch.cuda.set_device``.

    Raises:
        OptionError: the GPU is named, which would be that of all processes, or there are fewer than processes, or the
            launcher does not say which number this one has.

    Example:
        >>> own_device("cuda")
        'cuda'
    """
    kind, _, index = device.partition(":")
    if kind != "cuda" or not _to_be_joined():
        return device
    if "LOCAL_RANK" not in os.environ:
        raise OptionError(
            "LOCAL_RANK must hold the number of this process on its machine, which is that of its GPU, and is not set, "
            "though RANK and WORLD_SIZE are. Start with torchrun, or set it."
        )
    own, gpus = os.environ["LOCAL_RANK"], torch.cuda.device_count()
    if index not in ("", own):
        raise OptionError(
            f"device must be 'cuda' where several processes train, each on the GPU of its own number, got {device!r} "
            f"in process {own} of this machine. Use 'cuda', and CUDA_VISIBLE_DEVICES for which GPUs."
        )
    if 0 < gpus <= int(own):
        raise OptionError(
            f"Each process needs a GPU of its own, and process {own} of this machine, counted from 0, sees {gpus}. "
            f"Start {gpus} on it, or show it more GPUs with CUDA_VISIBLE_DEVICES."
        )
    return f"cuda:{own}"


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Let the processes of torchrun work together inside the block, each on a GPU of its own where ``device`` is one.

    Other launchers will do that set the same variables: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. One
    process alone, and processes that are together already, stay as they are. After an error the group is left as it
    is: the others learn of it when this process ends.

    Args:
        device: that of this process, as :func:`own_device` says.

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
    own = dist.PrefixStore(f"isospan run {next(RUNS)}", store)  # keys of an earlier group would be taken for ours
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=own, rank=rank, world_size=world)
    yield
    dist.destroy_process_group()


def _to_be_joined() -> bool:
    """Whether a launcher has started several processes that are not together yet."""
    several = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)
    return several and int(os.environ["WORLD_SIZE"]) > 1 and not dist.is_initialized()


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
