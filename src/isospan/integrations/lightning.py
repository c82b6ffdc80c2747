"""Guidance with the Trainer of Lightning: a callback, and one line in the training step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from isospan.errors import MissingPackageError, OptionError
from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations._guide import Guide

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as _error:
    raise MissingPackageError("This needs Lightning. Install it with: pip install 'isospan[lightning]'.") from _error

__all__ = ["GuideCallback"]


class GuideCallback(Callback):
    """Adds guidance to a LightningModule, whose steps call :meth:`total_loss`.

    The objective follows the module to its device, solves on its schedule, and is saved in Lightning's checkpoints. Its
    terms with a weight are logged: at every training step as ``guide/...``, and as means over a validation or test as
    ``val_guide/...`` and ``test_guide/...``.

    In ``validation_step`` and ``test_step``, :meth:`total_loss` does not update the objective. While Lightning
    validates, tests or predicts, the objective is in evaluation mode, whether it is a submodule of the LightningModule
    or not. So a direct call of ``guide.objective(z, y)`` does not update it either.

    Under DDP the processes solve from the global batch. With gradient accumulation, each of the batches updates the
    objective.

    Args:
        objective: the guidance.
        monitor: records the rotation of the subspaces; saved in the checkpoints. Every process has the same record.

    Example:
        >>> from lightning.pytorch import LightningModule
        >>> class Autoencoder(LightningModule):
        ...     def __init__(self, encoder, decoder, guide):
        ...         super().__init__()
        ...         self.encoder, self.decoder, self.guide = encoder, decoder, guide
        ...
        ...     def training_step(self, batch, batch_idx):
        ...         x, energy = batch
        ...         z = self.encoder(x)
        ...         task_loss = (self.decoder(z) - x).square().mean()
        ...         return self.guide.total_loss(task_loss, z, {"energy": energy})
        >>> guide = GuideCallback(SpaceObjective({"energy": 2}, latent_dim=8))

        Then ``Trainer(callbacks=[guide]).fit(Autoencoder(encoder, decoder, guide), loader)``, and
        ``guide.objective.space`` is the space.
    """

    def __init__(self, objective: SpaceObjective, *, monitor: SubspaceMonitor | None = None) -> None:
        self._guide, self._attached = Guide(objective, monitor), False

    @property
    def objective(self) -> SpaceObjective:
        """The guidance."""
        return self._guide.objective

    def total_loss(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        to_latents: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return :meth:`SpaceObjective.total_loss <isospan.guided.SpaceObjective.total_loss>`.

        In validation, test and prediction, and without gradients, the batch does not update the objective.

        Raises:
            OptionError: gradients are enabled, and this is not a callback of a running Trainer.
        """
        if torch.is_grad_enabled() and not self._attached:
            raise OptionError(
                "A GuideCallback must be a callback of the running Trainer, which counts the epochs and saves the "
                "state, got none. Pass it as Trainer(callbacks=[guide]). Without a Trainer, call it under "
                "torch.no_grad()."
            )
        return self._guide.total_loss(task_loss, z, y, to_latents=to_latents)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note that a Trainer runs."""
        self._attached = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note that the Trainer has finished."""
        self._attached = False
        self._guide.end_evaluation()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note that the Trainer has failed. Lightning calls this instead of :meth:`teardown`."""
        self._attached = False
        self._guide.end_evaluation()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Count the previous epochs: one that is resumed after its last step has no other hook."""
        self._guide.epochs_done(trainer.current_epoch)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log the terms of the batch."""
        pl_module.log_dict({f"guide/{name}": value for name, value in self._guide.terms.items()})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not update the objective, not even by direct calls of it."""
        self._guide.begin_evaluation()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the mode of the objective."""
        self._guide.end_evaluation()

    on_test_start = on_validation_start
    on_test_end = on_validation_end
    on_predict_start = on_validation_start
    on_predict_end = on_validation_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the terms of the validation."""
        self._log_held_out(pl_module, "val_guide")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the terms of the test."""
        self._log_held_out(pl_module, "test_guide")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch. The objective solves if its schedule says so."""
        self._guide.epochs_done(trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the guidance for a checkpoint. All processes call it."""
        return self._guide.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state in a checkpoint."""
        self._guide.load_state_dict(state_dict)

    def _log_held_out(self, pl_module: LightningModule, prefix: str) -> None:
        means = self._guide.held_out_means()
        pl_module.log_dict({f"{prefix}/{name}": value for name, value in means.items()}, sync_dist=True)


def __dir__() -> list[str]:
    return __all__
