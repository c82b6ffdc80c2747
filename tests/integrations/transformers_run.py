"""Trains under transformers: imported by test_transformers.py, and run as `transformers_run.py DIR` by torchrun."""

import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainingArguments

from isospan.guided import ExponentialSchedule, SpaceObjective, SubspaceMonitor
from isospan.integrations import save_tree
from isospan.integrations.transformers import GuidedTrainer


class Samples(Dataset):
    def __init__(self, n=48):
        self.x = torch.randn(n, 10, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"x": self.x[i], "labels": self.x[i, :2], "power": self.x[i, :4].square()}


class Network(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(10, 16), nn.Dropout(dropout), nn.Tanh(), nn.Linear(16, 6))
        self.head = nn.Linear(6, 2)

    def forward(self, x, labels):
        z = self.encoder(x)
        return {"loss": (self.head(z) - labels).square().mean(), "z": z}


def trainer(
    directory,
    *,
    model=None,
    schedule=None,
    epochs=3,
    dropout=0.1,
    made=False,
    monitor=None,
    hidden=lambda outputs: outputs["z"],
    quantities=lambda inputs: {"power": inputs["power"]},
    **options,
):
    arguments = TrainingArguments(
        str(directory),
        num_train_epochs=epochs,
        **{"per_device_train_batch_size": 8, "learning_rate": 1e-2, "lr_scheduler_type": "constant", **options},
        prediction_loss_only=True,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
    )
    return GuidedTrainer(
        **({"model_init": lambda: Network(dropout)} if made else {"model": model or Network(dropout)}),
        args=arguments,
        train_dataset=Samples(),
        eval_dataset=Samples(16),
        objective=SpaceObjective({"power": 3}, 6, schedule=schedule or ExponentialSchedule(first=2)),
        monitor=monitor,
        hidden=hidden,
        latents=lambda hidden, inputs: hidden,
        quantities=quantities,
    )


if __name__ == "__main__":
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    directory, monitor = Path(sys.argv[1]), SubspaceMonitor()
    batch = {"per_device_train_batch_size": 16 // world, "per_device_eval_batch_size": 8}
    run = trainer(directory, dropout=0.0, monitor=monitor, logging_steps=1, save_strategy="epoch", **batch)
    run.train()
    metrics = run.evaluate()
    result = {
        "model": run.model.state_dict(),
        "objective": run.objective.state_dict(),
        "monitor": monitor.to_dict(),
        "task": [entry["guide_task"] for entry in run.state.log_history if "guide_task" in entry],
        "eval": metrics["eval_guide_task"],
    }
    save_tree(directory / f"rank{rank}", result, kind="result")
