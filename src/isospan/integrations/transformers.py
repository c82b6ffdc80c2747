"""Guidance with the Trainer of Hugging Face transformers: a Trainer that adds it to the loss of the model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isospan._core.trees import load_tree, save_tree
from isospan.errors import MissingPackageError, OptionError
from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations._guide import Guide
from isospan.integrations._raw_outputs import RawOutputs

try:
    from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
    from transformers.trainer_utils import get_last_checkpoint
except ImportError as _error:
    raise MissingPackageError(
        "This needs transformers and accelerate. Install them with: pip install 'isospan[transformers]'."
    ) from _error

__all__ = ["GuidedTrainer"]

FILE, KIND = "guidance.safetensors", "state of guidance"


def _last_hidden_state(outputs: Any) -> Tensor:
    states = getattr(outputs, "hidden_states", None)
    if states is None:
        raise OptionError(
            "The outputs of the model must have hidden_states to guide, got none. Set "
            "model.config.output_hidden_states = True, or pass hidden=, a function from the outputs to the hidden "
            "state."
        )
    return states[-1]


class GuidedTrainer(Trainer):
    """A ``transformers.Trainer`` whose loss is that of the model plus guidance of its latents.

    The objective follows the model to its device and solves on its schedule. It is saved with the model, as
    ``guidance.safetensors``, and ``resume_from_checkpoint`` loads it. The means of its terms with a weight are logged:
    with the loss as ``guide_...``, and with the metrics of an evaluation as ``eval_guide_...``. ``eval_loss`` is the
    loss of the task alone. With gradient accumulation, each of the batches updates the objective. For another kind of
    Trainer, inherit from both: ``class Mine(GuidedTrainer, Seq2SeqTrainer)``.

    Args:
        objective: the guidance.
        latents: maps the hidden state and the inputs to latents (B, D); may leave out padding tokens.
        quantities: maps the inputs to {name: (B, ...)}, before the model is called. Columns of a data set with the name
            of a quantity are kept for it, and are not passed to the model. Other columns that the model does not accept
            need ``TrainingArguments(remove_unused_columns=False)``. Then the model is given all columns, and this
            function must ``pop`` those that it does not accept, also those with the name of a quantity.
        hidden: maps the outputs of the model to the tensor from which its head computes the outputs; by default the
            last of the ``hidden_states``, for which the config needs ``output_hidden_states=True``.
        monitor: records the rotation of the subspaces; saved with the guidance. Every process has the same record. It
            covers the whole run, also where the best model is loaded at the end.
        args, options: arguments of ``transformers.Trainer``.

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
        monitor: SubspaceMonitor | None = None,
        **options: Any,
    ) -> None:
        self._guide, self._raw, self._columns = Guide(objective, monitor), RawOutputs(), list[str]()
        self._hidden, self._latents, self._quantities = hidden, latents, quantities
        super().__init__(*args, **options)
        self._raw.release()  # training calls model_init again
        if self.args.n_gpu > 1:
            raise OptionError(
                f"Guidance needs one process for each device, got one for {self.args.n_gpu} devices. Start with "
                "torchrun, or make one device visible with CUDA_VISIBLE_DEVICES."
            )
        self.add_callback(_Follow(self._guide))

    @property
    def objective(self) -> SpaceObjective:
        """The guidance."""
        return self._guide.objective

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **options: Any) -> Any:
        """Train; where training is resumed, load the guidance of the checkpoint."""
        last = resume_from_checkpoint is True
        directory = get_last_checkpoint(str(self.args.output_dir)) if last else resume_from_checkpoint
        if directory:
            self._guide.load_state_dict(_saved(directory))
        if self.model_init is None:
            self._raw.of(self.accelerator.unwrap_model(self.model, keep_torch_compile=False))
        try:
            return super().train(resume_from_checkpoint, *args, **options)
        finally:
            self._raw.release()

    def call_model_init(self, *args: Any, **options: Any) -> nn.Module:
        """Make the model, and catch its outputs before mixed precision and DDP copy them."""
        model = super().call_model_init(*args, **options)
        self._raw.of(model)
        return model

    def hyperparameter_search(self, *args: Any, **options: Any) -> Any:
        """Raise an error: all trials would share one objective.

        Raises:
            OptionError: always.
        """
        raise OptionError(
            "Each trial of a search needs its own guidance, and a GuidedTrainer has one objective. Make a new "
            "SpaceObjective and GuidedTrainer for each trial."
        )

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **options: Any
    ) -> Any:
        """Return the loss of the model plus guidance; in an evaluation, and without gradients, without guidance."""
        y = self._targets(inputs)
        with self._raw.caught() as raw:
            task_loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
        hidden = self._hidden(raw[-1] if raw else outputs)
        total = self._guide.total_loss(task_loss, hidden, y, to_latents=lambda h: self._latents(h, inputs))
        loss = total if self.objective.training else task_loss
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        """Log the means of the terms together with the loss."""
        terms = self._guide.training.read() if "loss" in logs else {}
        super().log(logs | {f"guide_{name}": value for name, value in terms.items()}, *args, **options)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **options: Any) -> Any:
        """Evaluate; the metrics include the means of the terms."""
        self._guide.begin_evaluation()
        try:
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **options)
            terms = self._guide.held_out_means()
        finally:
            self._guide.end_evaluation()
        metrics = {f"{metric_key_prefix}_guide_{name}": value for name, value in terms.items()}
        return output._replace(metrics=(output.metrics or {}) | metrics)

    def save_model(self, output_dir: str | None = None, *args: Any, **options: Any) -> None:
        """Save the guidance and the model. All processes call it."""
        state = self._guide.state_dict()
        if self.args.should_save:
            save_tree(Path(output_dir or self.args.output_dir or ".") / FILE, state, kind=KIND)
        super().save_model(output_dir, *args, **options)

    def _targets(self, inputs: dict[str, Any]) -> Mapping[str, Tensor]:
        """Compute the quantities of a batch, and remove the columns kept for them from the inputs."""
        try:
            y = self._quantities(inputs)
        except KeyError as error:
            if not self.args.remove_unused_columns or not self._may_be_left_out(error.args, inputs):
                raise
            raise OptionError(
                f"The quantities need the column {error}, and the inputs are {', '.join(inputs)}. Only columns that "
                "the model accepts, or with the name of a quantity, are kept. Set "
                "TrainingArguments(remove_unused_columns=False), and pop the inputs that the model does not accept."
            ) from error
        for name in self._columns:
            inputs.pop(name, None)
        return y

    def _may_be_left_out(self, missing: tuple[Any, ...], inputs: Mapping[str, Any]) -> bool:
        """Whether a missing key is a column of a data set; so it may be if a data set does not name its columns."""
        match missing:
            case (str(name),) if name not in inputs:
                held_out = self.eval_dataset
                data = [self.train_dataset, *(held_out.values() if isinstance(held_out, dict) else [held_out])]
                columns = [getattr(part, "column_names", None) or [] for part in data]
                return not any(columns) or any(name in named for named in columns)
        return False

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            taken = list[str](self._signature_columns or ())
            self._columns = [name for name in self.objective.k if name not in taken]
            self._signature_columns = taken + self._columns


class _Follow(TrainerCallback):
    """Counts the epochs of the guidance, and restores that of the best model."""

    def __init__(self, guide: Guide) -> None:
        self.guide = guide

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        self.guide.epochs_done(int(state.epoch or 0))

    on_epoch_end = on_epoch_begin

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            self.guide.objective.load_state_dict(_saved(state.best_model_checkpoint)["objective"])


def _saved(directory: str) -> dict[str, Any]:
    return load_tree(Path(directory) / FILE, kind=KIND)


def __dir__() -> list[str]:
    return __all__
