"""Guidance under the Trainer of Hugging Face transformers: a Trainer that adds it to the loss of the model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isospan.errors import MissingPackageError, OptionError
from isospan.guided.objective import SpaceObjective
from isospan.training.guide import Guide
from isospan.training.trees import load_tree, save_tree

try:
    from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
    from transformers.trainer_utils import get_last_checkpoint
except ImportError as error:
    raise MissingPackageError(
        "This needs transformers and accelerate. Install them with: pip install 'isospan[transformers]'."
    ) from error

FILE, KIND = "guidance.safetensors", "state of guidance"


def _last_hidden_state(outputs: Any) -> Tensor:
    states = getattr(outputs, "hidden_states", None)
    if states is None:
        raise OptionError(
            "The outputs of the model hold no hidden_states to guide. Set model.config.output_hidden_states = True, or "
            "pass hidden=, which takes them from the outputs."
        )
    return states[-1]


class GuidedTrainer(Trainer):
    """A ``transformers.Trainer`` whose loss is that of the model plus guidance of its latents.

    The objective follows the model to its device, re-solves on its schedule, and is saved beside the model, in its own
    ``guidance.safetensors``, from which ``resume_from_checkpoint`` continues. The means of its terms are logged with
    the loss as ``guide_...`` and with the metrics of an evaluation as ``eval_guide_...``. Where gradients of several
    batches are accumulated, each of them counts. For another kind of Trainer, inherit from both:
    ``class Mine(GuidedTrainer, Seq2SeqTrainer)``.

    Args:
        objective: the guidance.
        latents: from the hidden state and the inputs to latents (B, D); tokens that are padded may be left out.
        quantities: from the inputs to {name: (B, ...)}. It is called first and may ``pop`` what the model does not
            take; such columns of a data set need ``TrainingArguments(remove_unused_columns=False)``.
        hidden: from the outputs of the model to the tensor that its head reads on; by default the last of the
            ``hidden_states``, which a model returns whose config has ``output_hidden_states=True``.
        args, options: those of ``transformers.Trainer``.

    Example:
        >>> from isospan.guided import SpaceObjective
        >>> guidance = {
        ...     "objective": SpaceObjective({"length": 1}, latent_dim=32),
        ...     "latents": lambda hidden, inputs: hidden[:, 0],
        ...     "quantities": lambda inputs: {"length": inputs["attention_mask"].sum(1).float()},
        ... }

        Then ``GuidedTrainer(model, arguments, train_dataset=..., **guidance).train()``, and
        ``trainer.objective.space`` is the space.
    """

    def __init__(
        self,
        *args: Any,
        objective: SpaceObjective,
        latents: Callable[[Tensor, Mapping[str, Any]], Tensor],
        quantities: Callable[[dict[str, Any]], Mapping[str, Tensor]],
        hidden: Callable[[Any], Tensor] = _last_hidden_state,
        **options: Any,
    ) -> None:
        self._guide, self._hidden, self._latents, self._quantities = Guide(objective), hidden, latents, quantities
        super().__init__(*args, **options)
        if self.args.n_gpu > 1:
            raise OptionError(
                f"Guidance needs one process for each device, got one for {self.args.n_gpu} of them. Start with "
                "torchrun, or show it one device with CUDA_VISIBLE_DEVICES."
            )
        self.add_callback(_Follow(self._guide))

    @property
    def objective(self) -> SpaceObjective:
        """The guidance."""
        return self._guide.objective

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **options: Any) -> Any:
        """Train, from the guidance of a checkpoint where it is resumed."""
        last = resume_from_checkpoint is True
        directory = get_last_checkpoint(str(self.args.output_dir)) if last else resume_from_checkpoint
        if directory:
            _load(self.objective, directory)
        return super().train(resume_from_checkpoint, *args, **options)

    def hyperparameter_search(self, *args: Any, **options: Any) -> Any:
        """Refuse: trials would share one objective.

        Raises:
            OptionError: always.
        """
        raise OptionError(
            "Each trial of a search needs guidance of its own, and a GuidedTrainer has one objective. Make a new "
            "SpaceObjective and GuidedTrainer for each trial."
        )

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **options: Any
    ) -> Any:
        """Return the loss of the model plus guidance."""
        y = self._quantities(inputs)
        task_loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
        loss = self._guide.total(task_loss, self._hidden(outputs), y, read=lambda h: self._latents(h, inputs))
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        """Log the means of the terms beside that of the loss."""
        terms = self._guide.training.read() if "loss" in logs else {}
        super().log(logs | {f"guide_{name}": value for name, value in terms.items()}, *args, **options)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **options: Any) -> Any:
        """Evaluate, with the means of the terms among the metrics."""
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **options)
        terms = self._guide.held_out_means()
        metrics = {f"{metric_key_prefix}_guide_{name}": value for name, value in terms.items()}
        return output._replace(metrics=(output.metrics or {}) | metrics)

    def save_model(self, output_dir: str | None = None, *args: Any, **options: Any) -> None:
        """Save the state of the guidance, and the model; all processes call it."""
        self.objective.settle()
        if self.args.should_save:
            directory = Path(output_dir or self.args.output_dir or ".")
            save_tree(directory / FILE, self.objective.state_dict(), kind=KIND)
        super().save_model(output_dir, *args, **options)


class _Follow(TrainerCallback):
    """Tells the guidance how many epochs are done, and takes it back to the best model."""

    def __init__(self, guide: Guide) -> None:
        self.guide = guide

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        self.guide.epochs_done(int(state.epoch or 0))

    on_epoch_end = on_epoch_begin

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            _load(self.guide.objective, state.best_model_checkpoint)


def _load(objective: SpaceObjective, directory: str) -> None:
    objective.load_state_dict(load_tree(Path(directory) / FILE, kind=KIND))
