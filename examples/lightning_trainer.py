"""Guidance under Lightning: a callback, and one line in the training step. The run is stopped and resumed."""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

from isospan.evaluation import evaluate
from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations.lightning import GuideCallback

generator = torch.Generator().manual_seed(0)
x = torch.randn(2048, 8, generator=generator) @ torch.randn(8, 40, generator=generator) / 8**0.5
energy = x.square().reshape(len(x), 4, 10).mean(2)  # of four stretches of the signal
data = TensorDataset(x, energy)
train, test = TensorDataset(*data[:1536]), TensorDataset(*data[1536:])


class Autoencoder(LightningModule):
    def __init__(self, guide):
        super().__init__()
        self.guide = guide
        self.encoder = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Linear(64, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 40))
        self.unexplained = MeanMetric()

    def step(self, batch):
        x, energy = batch
        z = self.encoder(x)
        task_loss = nn.functional.mse_loss(self.decoder(z), x)
        return self.guide.total_loss(task_loss, z, {"energy": energy})  # the one line

    def training_step(self, batch, batch_idx):
        loss = self.step(batch)
        self.unexplained.update(self.guide.objective.terms.get("alignment", 1.0))
        return loss

    def on_train_epoch_end(self):
        self.log("unexplained", self.unexplained)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.step(batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def fit(strength, epochs, **options):
    seed_everything(0, verbose=False)
    monitor = SubspaceMonitor()
    guide = GuideCallback(SpaceObjective({"energy": 4}, latent_dim=16, strength=strength), monitor=monitor)
    model = Autoencoder(guide)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = Trainer(max_epochs=epochs, callbacks=[guide], accelerator="cpu", **quiet)
    order = torch.Generator().manual_seed(0)
    trainer.fit(model, DataLoader(train, 64, shuffle=True, generator=order), DataLoader(test, 256), **options)
    return trainer, model, monitor


def score(model):
    z_train, z_test = model.encoder(train.tensors[0]).detach(), model.encoder(test.tensors[0]).detach()
    y_train, y_test = {"energy": train.tensors[1]}, {"energy": test.tensors[1]}
    return evaluate(model.guide.objective.space, z_test, y_test, fit=(z_train, y_train)).subspace_r2["energy"]


trainer, _, _ = fit(0.3, epochs=4)
trainer.save_checkpoint("half.ckpt")
trainer, guided, monitor = fit(0.3, epochs=8, ckpt_path="half.ckpt", weights_only=True)
_, unguided, _ = fit(0.0, epochs=8)

print({name: round(float(value), 4) for name, value in trainer.callback_metrics.items()})
rotated = [round(max(angles)) for angles in monitor.to_dict()["from_first"]["energy"]]  # before the stop and after it
print(f"largest angle of the subspace of energy to its first: {rotated} degrees")
print(f"held out: energy R2 {score(guided):.3f} guided, {score(unguided):.3f} unguided")
if score(guided) < score(unguided) + 0.1:
    raise SystemExit("guidance did not help")
