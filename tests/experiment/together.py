"""What processes do in one start of ``torchrun together.py DIRECTORY [interrupt | resume]``: see test_processes.py."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from isospan.cli import app
from isospan.experiment import TrainConfig, reports, train

torch.set_num_threads(1)


class Encoder(nn.Module):
    """Cannot take an empty batch, and follows the statistics of its batches."""

    def __init__(self, channels, size, latent_dim):
        super().__init__()
        self.linear = nn.Linear(channels * size[0] * size[1], latent_dim)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.seen += x.detach().mean()
        return self.linear(x.view(len(x), -1)).tanh()


def fields(n=23):
    noise = torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise, size=(12, 12), mode="bilinear")


def config(out, **changes):
    # batches of 5 give the processes unequal parts; 18 samples to train on leave a last batch of 3
    settings = {"epochs": 3, "batch_size": 5, "max_bins": 2, "periodic": True, "latent": 8}
    return TrainConfig(quantities={"local_mean": "", "gradient_x": ""}, out=out, **{**settings, **changes})


class Interrupted(Exception):
    """Any error in the middle of a run."""


class Printing:
    """A reporter that prints the stages, in every process."""

    def stage(self, text):
        print(text)

    def sized(self, sizes): ...
    def planned(self, networks): ...
    def monitored(self, network, monitor): ...

    def stepped(self, network, epoch, step, total, losses): ...


class StopsAfter(Printing):
    """One that ends the run at a step of the guided network."""

    def __init__(self, last):
        self.last = last

    def stepped(self, network, epoch, step, total, losses):
        if step == self.last:
            raise Interrupted


def interrupted(out, step, **changes):
    """Begin a run and end it at a step, on all processes alike."""
    try:
        train(config(out, **changes), samples=fields(), reporter=StopsAfter(step))
    except Interrupted:
        return
    raise AssertionError("the run was not interrupted")


def command(out, *options):
    """The same run from the command line."""
    directory = Path(out).parent
    if not (directory / "fields.npy").is_file():
        np.save(directory / "fields.npy", fields().numpy())
    arguments = "-q local_mean -q gradient_x --epochs 3 --batch-size 5 --max-bins 2 --periodic --latent 8"
    return ["train", str(directory / "fields.npy"), "--out", str(out), *arguments.split(), *options]


def everything(directory):
    app(command(directory / "whole"), standalone_mode=False)
    reports.write_report = lambda summary, out: Path(out) / "report.html"  # drawing takes longer than all else
    custom = train(config(directory / "custom", encoder=f"{__file__}:Encoder", baseline=False), samples=fields())
    interrupted(directory / "resumed", 6)
    train(config(directory / "resumed", resume=True), samples=fields())
    return {"losses": custom.guided.history.losses, "model": custom.model.state_dict()}


if __name__ == "__main__":
    rank, directory = int(os.environ["RANK"]), Path(sys.argv[1])
    match sys.argv[2:]:
        case ["interrupt"]:
            interrupted(directory / "run", 6)
        case ["resume"]:
            train(config(directory / "run", resume=True), samples=fields(), reporter=Printing())
        case _:
            torch.save(everything(directory), directory / f"rank{rank}.pt")
    if dist.is_initialized():
        dist.destroy_process_group()
