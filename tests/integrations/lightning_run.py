"""Trains under Lightning: imported by test_lightning.py, and run as `lightning_run.py DIR PROCESSES` for DDP."""

import os
import sys
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, Subset, TensorDataset

from isospan.guided import ExponentialSchedule, SpaceObjective, SubspaceMonitor
from isospan.integrations import save_tree
from isospan.integrations.lightning import GuideCallback


def samples(n=96):
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return TensorDataset(x, x[:, :4].square())


def objective(**options):
    return SpaceObjective({"power": 3}, 6, **{"schedule": ExponentialSchedule(first=2), "memory": 8 * 192, **options})


class Autoencoder(LightningModule):
    def __init__(self, guide):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 6)).double()
        self.decoder, self.guide = nn.Linear(6, 10).double(), guide

    def training_step(self, batch, batch_idx):
        x, power = batch
        z = self.encoder(x)
        return self.guide.total_loss((self.decoder(z) - x).square().mean(), z, {"power": power})

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(
    epochs,
    guide,
    *,
    batch_size=16,
    sampler=None,
    ckpt_path=None,
    callbacks=(),
    registered=True,
    validation=None,
    network=Autoencoder,
    **options,
):
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[*([guide] if registered else []), *callbacks],
        enable_checkpointing=bool(callbacks),
        **quiet,
        **options,
    )
    model = network(guide)
    held_out = None if validation is None else DataLoader(validation, 16)
    loader = DataLoader(samples(), batch_size, sampler=sampler)
    trainer.fit(model, loader, held_out, ckpt_path=ckpt_path, weights_only=True)
    return trainer, model


if __name__ == "__main__":
    directory, processes = Path(sys.argv[1]), int(sys.argv[2])
    monitor = SubspaceMonitor()
    guide = GuideCallback(objective(), monitor=monitor)
    rank = os.environ.get("LOCAL_RANK", "0")
    parts = DistributedSampler(samples(), num_replicas=processes, rank=int(rank), shuffle=False)
    many = {"strategy": "ddp", "devices": processes, "use_distributed_sampler": False} if processes > 1 else {}
    rows = {1: [range(24)], 2: [range(16), range(16, 24)]}[processes][int(rank)]
    held_out = Subset(samples(), rows)  # of unequal parts
    trainer, model = fit(3, guide, batch_size=16 // processes, sampler=parts, validation=held_out, **many)
    trainer.save_checkpoint(directory / "checkpoint")  # all processes call it
    logged = {name: trainer.callback_metrics[name] for name in ("guide/task", "val_guide/task")}
    result = {"model": model.state_dict(), "objective": guide.objective.state_dict(), "logged": logged}
    result["monitor"] = monitor.to_dict()
    save_tree(directory / rank, result, kind="result")
