"""Under the Trainer of transformers guidance continues from its checkpoints, counts every batch, and is logged."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from isospan.errors import FileFormatError, OptionError
from isospan.guided import EveryEpochs, ExponentialSchedule, SpaceObjective

pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")  # though there is no accelerator


class Samples(Dataset):
    def __init__(self, n=48):
        self.x = torch.randn(n, 10, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"x": self.x[i], "labels": self.x[i, :2], "power": self.x[i, :4].square()}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(10, 16), nn.Dropout(0.1), nn.Tanh(), nn.Linear(16, 6))
        self.head = nn.Linear(6, 2)

    def forward(self, x, labels):
        z = self.encoder(x)
        return {"loss": (self.head(z) - labels).square().mean(), "z": z}


def trainer(directory, *, schedule=None, epochs=3, hidden=lambda outputs: outputs["z"], **options):
    from transformers import TrainingArguments

    from isospan.training.transformers import GuidedTrainer

    arguments = TrainingArguments(
        str(directory),
        num_train_epochs=epochs,
        **{"per_device_train_batch_size": 8, "learning_rate": 1e-2, "lr_scheduler_type": "constant", **options},
        remove_unused_columns=False,
        prediction_loss_only=True,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
    )
    return GuidedTrainer(
        Network(),
        arguments,
        train_dataset=Samples(),
        eval_dataset=Samples(16),
        objective=SpaceObjective({"power": 3}, 6, schedule=schedule or ExponentialSchedule(first=2)),
        hidden=hidden,
        latents=lambda hidden, inputs: hidden,
        quantities=lambda inputs: {"power": inputs.pop("power")},
    )


def assert_same(first, second):
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("schedule", [None, EveryEpochs(2)])
def test_a_run_that_is_stopped_continues_bit_for_bit(tmp_path, schedule):
    """Inside an epoch, and at a step that ends one, before its end is told."""
    whole = trainer(tmp_path / "a", schedule=schedule, epochs=4, save_steps=3, gradient_accumulation_steps=2)
    whole.train()  # 6 batches and 3 steps an epoch
    for steps in (2, 3, 6, 8):
        directory = tmp_path / f"b{steps}"
        options = {"schedule": schedule, "epochs": 4, "save_steps": steps, "gradient_accumulation_steps": 2}
        trainer(directory, max_steps=steps, **options).train()
        resumed = trainer(directory, **options)
        resumed.train(resume_from_checkpoint=str(directory / f"checkpoint-{steps}"))
        assert_same(resumed.model.state_dict(), whole.model.state_dict())
        assert_same(resumed.objective.state_dict(), whole.objective.state_dict())
    assert int(whole.objective.step) == 24
    assert int(whole.objective.epoch) == 4


def test_evaluation_is_scored_and_not_taken_in(tmp_path):
    run = trainer(tmp_path)
    run.train()
    before = {name: value.clone() for name, value in run.objective.state_dict().items()}
    metrics = run.evaluate()
    assert_same(before, run.objective.state_dict())
    total = metrics["eval_guide_task"] + metrics["eval_guide_weight"] * metrics["eval_guide_total"]
    assert metrics["eval_loss"] == pytest.approx(total, rel=1e-5)  # float32


def test_the_means_of_the_terms_are_logged_with_the_loss(tmp_path):
    run = trainer(tmp_path, logging_steps=6)
    run.train()
    entries = [entry for entry in run.state.log_history if "loss" in entry]
    assert len(entries) == 3
    for entry in entries[1:]:  # the first has steps before the first solve
        total = entry["guide_task"] + entry["guide_weight"] * entry["guide_total"]
        assert entry["loss"] == pytest.approx(total, rel=0.05)  # a mean of products is not the product of means


def test_the_guidance_is_saved_beside_the_model_and_asked_for_again(tmp_path):
    run = trainer(tmp_path, save_strategy="epoch")
    run.train()
    run.save_model(str(tmp_path / "final"))
    assert (tmp_path / "final" / "guidance.safetensors").exists()
    (tmp_path / "checkpoint-18" / "guidance.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"guidance\.safetensors is not a readable state of guidance"):
        trainer(tmp_path).train(resume_from_checkpoint=True)


def test_the_best_model_comes_with_its_guidance(tmp_path):
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "metric_for_best_model": "epoch"}
    run = trainer(tmp_path, load_best_model_at_end=True, greater_is_better=False, **options)
    evaluate = run.evaluate
    run.evaluate = lambda *args, **kwargs: evaluate(*args, **kwargs) | {"eval_epoch": run.state.epoch}
    run.train()
    assert run.state.best_model_checkpoint.endswith("checkpoint-6")
    assert int(run.objective.step) == 6


def test_a_model_spread_over_the_devices_of_one_process_is_refused(tmp_path, monkeypatch):
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: 2))
    monkeypatch.setattr(TrainingArguments, "train_batch_size", property(lambda self: 8))
    with pytest.raises(OptionError, match="one process for each device"):
        trainer(tmp_path)


def test_a_search_whose_trials_would_share_an_objective_is_refused(tmp_path):
    with pytest.raises(OptionError, match="guidance of its own"):
        trainer(tmp_path).hyperparameter_search()


def test_a_model_that_returns_no_hidden_states_is_refused(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

    from isospan.training.transformers import GuidedTrainer

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=9, max_position_embeddings=4, **sizes))
    texts = [{"input_ids": torch.tensor([1, 2, i % 9]), "labels": i % 2, "length": float(i)} for i in range(16)]
    arguments = TrainingArguments(
        str(tmp_path), remove_unused_columns=False, report_to="none", disable_tqdm=True, use_cpu=True, max_steps=2
    )

    def run():
        return GuidedTrainer(
            model,
            arguments,
            train_dataset=texts,
            objective=SpaceObjective({"length": 1}, 8),
            latents=lambda hidden, inputs: hidden[:, 0],
            quantities=lambda inputs: {"length": inputs.pop("length")},
        )

    with pytest.raises(OptionError, match="hold no hidden_states"):
        run().train()
    model.config.output_hidden_states = True  # what the message says to do
    assert run().train().global_step == 2
