"""Guidance under the Trainer of Lightning: a callback, and one line in the training step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from isospan.errors import MissingPackageError, OptionError
from isospan.guided._monitor import SubspaceMonitor
from isospan.guided._objective import SpaceObjective
from isospan.integrations._guide import Guide

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise MissingPackageError("This needs Lightning. Install it with: pip install 'isospan[lightning]'.") from error


class GuideCallback(Callback):
    """Keeps an objective beside a LightningModule, whose steps add the guidance by :meth:`total`.

    The objective follows the module to its device, re-solves on its schedule, and is part of Lightning's checkpoints.
    Its terms that have a weight are logged as ``guide/...`` at every step of training, and as ``val_guide/...`` and
    ``test_guide/...``, the means of a validation or test.

    In ``validation_step`` and ``test_step`` the same :meth:`total` scores a batch without taking it in. While Lightning
    validates, tests or predicts, the objective is in evaluation mode, whether it is a submodule of the LightningModule
    or not: a direct call of ``guide.objective(z, y)`` takes in no held-out data either.

    Under DDP the processes solve together, each from its part of the batch. Where gradients of several batches are
    accumulated, each of them counts.

    Args:
        objective: the guidance.
        monitor: records how the subspaces move, and is part of the checkpoints too; every process has the same record.

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
        ...         return self.guide.total(task_loss, z, {"energy": energy})
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

    def total(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        read: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return :meth:`SpaceObjective.total <isospan.guided.SpaceObjective.total>`.

        In validation, test and prediction, and without gradients, the batch is not taken in.

        Raises:
            OptionError: there are gradients, and no Trainer at work that has this among its callbacks.
        """
        if torch.is_grad_enabled() and not self._attached:
            raise OptionError(
                "A GuideCallback must be among the callbacks of the Trainer that trains, which tells it of epochs and "
                "keeps its state, and this one is not. Pass it: Trainer(callbacks=[guide]). Where no Trainer is at "
                "work, call it under torch.no_grad()."
            )
        return self._guide.total(task_loss, z, y, read=read)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Know that a Trainer is at work."""
        self._attached = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Know that it is done."""
        self._attached = False
        self._guide.end_evaluation()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Know that it has failed, which is called instead of :meth:`teardown`."""
        self._attached = False
        self._guide.end_evaluation()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Count the epochs before this one; one that was resumed after its last step has no other beginning."""
        self._guide.epochs_done(trainer.current_epoch)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log the terms of the batch."""
        pl_module.log_dict({f"guide/{name}": value for name, value in self._guide.logged.items()})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take in no batch from here on, also not by calls of the objective itself."""
        self._guide.begin_evaluation()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the objective the mode that it had."""
        self._guide.end_evaluation()

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the terms of the validation."""
        self._log_held_out(pl_module, "val_guide")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the terms of the test."""
        self._log_held_out(pl_module, "test_guide")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch; the objective re-solves where its schedule says so."""
        self._guide.epochs_done(trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the guidance, for Lightning's checkpoint; it asks all processes, and so does this."""
        return self._guide.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self._guide.load_state_dict(state_dict)

    def _log_held_out(self, pl_module: LightningModule, prefix: str) -> None:
        means = self._guide.held_out_means()
        pl_module.log_dict({f"{prefix}/{name}": value for name, value in means.items()}, sync_dist=True)
