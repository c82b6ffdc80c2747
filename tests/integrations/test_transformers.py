"""Under the Trainer of transformers guidance continues from its checkpoints, counts every batch, and is logged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from isospan.errors import FileFormatError, OptionError
from isospan.guided import EveryEpochs, SpaceObjective, SubspaceMonitor
from isospan.integrations import load_tree

PROGRAM = Path(__file__).with_name("transformers_run.py")
pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")  # though there is no accelerator


@pytest.fixture(scope="module")
def trainer(program):
    return program("transformers_run").trainer


def assert_same(first, second):
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("schedule", [None, EveryEpochs(2)])
def test_a_run_that_is_stopped_continues_bit_for_bit(trainer, tmp_path, schedule):
    """Inside an epoch, and at a step that ends one, before its end is reported."""
    options = {"schedule": schedule, "epochs": 4, "gradient_accumulation_steps": 2}
    whole = trainer(tmp_path / "a", monitor=(record := SubspaceMonitor()), save_steps=3, **options)
    whole.train()  # 6 batches and 3 steps an epoch
    for steps in (2, 3, 6, 8):
        directory = tmp_path / f"b{steps}"
        trainer(directory, monitor=SubspaceMonitor(), max_steps=steps, save_steps=steps, **options).train()
        resumed = trainer(directory, monitor=(continued := SubspaceMonitor()), save_steps=steps, **options)
        resumed.train(resume_from_checkpoint=str(directory / f"checkpoint-{steps}"))
        assert_same(resumed.model.state_dict(), whole.model.state_dict())
        assert_same(resumed.objective.state_dict(), whole.objective.state_dict())
        assert repr(continued.to_dict()) == repr(record.to_dict())  # as text, since NaN is not NaN
    assert record.to_dict()["epoch"][-1] == 4
    assert int(whole.objective.step) == 24
    assert int(whole.objective.epoch) == 4


def test_evaluation_is_scored_and_not_taken_in(trainer, tmp_path):
    run = trainer(tmp_path)
    run.train()
    before = {name: value.clone() for name, value in run.objective.state_dict().items()}
    metrics = run.evaluate()
    assert_same(before, run.objective.state_dict())
    assert metrics["eval_loss"] == pytest.approx(metrics["eval_guide_task"], rel=1e-5)  # float32
    from transformers import Trainer

    alone = Trainer(run.model, run.args, eval_dataset=run.eval_dataset, data_collator=run.data_collator).evaluate()
    assert metrics["eval_loss"] == pytest.approx(alone["eval_loss"], rel=1e-6)
    logged = {name for name in metrics if "guide" in name}
    assert logged == {f"eval_guide_{name}" for name in ("task", "weight", "total", "alignment")}
    assert run.objective.training


def test_with_gradients_too_an_evaluation_takes_nothing_in(trainer, tmp_path):
    run = trainer(tmp_path)
    run.train()
    before = {name: value.clone() for name, value in run.objective.state_dict().items()}
    step = run.prediction_step

    def with_gradients(model, inputs, *args, **options):
        known = dict(inputs)
        with torch.enable_grad():
            run.compute_loss(model, known)
        return step(model, inputs, *args, **options)

    run.prediction_step = with_gradients
    run.evaluate()
    assert_same(before, run.objective.state_dict())


def test_the_task_is_felt_in_half_precision_too(trainer, tmp_path):
    """Its outputs are copied to float32, and the copies have no gradient of the task."""
    full, half = SubspaceMonitor(), SubspaceMonitor()
    trainer(tmp_path, dropout=0.0, monitor=full).train()
    trainer(tmp_path, dropout=0.0, monitor=half, bf16=True).train()
    first, *weights = half.to_dict()["terms"]["weight"]
    assert min(weights) > 5 * first  # measured, and not what it begins with
    assert weights == pytest.approx(full.to_dict()["terms"]["weight"][1:], rel=0.05)  # bfloat16 has three digits


def test_a_model_that_was_trained_in_half_precision_is_guided_alike_again(trainer, tmp_path):
    """By the same trainer and by the next, though the model stays as mixed precision has wrapped it."""
    weights, model = [], None
    for _ in range(2):
        run = trainer(tmp_path, model=model, dropout=0.0, monitor=(record := SubspaceMonitor()), bf16=True)
        run.train()
        run.train()
        weights.append(record.to_dict()["terms"]["weight"])
        model = run.model
    for first, *measured in weights:
        assert min(measured) > 3 * first  # it does not change without the gradient of the task


def test_the_model_is_given_back_as_it_was(trainer, tmp_path):
    def fails(inputs):
        raise ZeroDivisionError

    run, failing = trainer(tmp_path), trainer(tmp_path, quantities=fails)
    run.train()
    with pytest.raises(ZeroDivisionError):
        failing.train()
    made = trainer(tmp_path, made=True)
    assert not any("forward" in vars(trained.model) for trained in (run, failing, made))

    given = trainer(tmp_path)
    given.model.forward = own = given.model.forward
    given.train()
    assert vars(given.model)["forward"] == own


def test_a_model_that_is_made_for_the_training_is_guided_alike(trainer, tmp_path):
    given, made = (trainer(tmp_path, dropout=0.0, bf16=True, made=made) for made in (False, True))
    for run in (given, made):
        run.train()
    assert_same(made.model.state_dict(), given.model.state_dict())


def test_the_means_of_the_terms_are_logged_with_the_loss(trainer, tmp_path):
    run = trainer(tmp_path, logging_steps=6)
    run.train()
    entries = [entry for entry in run.state.log_history if "loss" in entry]
    assert len(entries) == 3
    for entry in entries[1:]:  # the first has steps before the first solve
        total = entry["guide_task"] + entry["guide_weight"] * entry["guide_total"]
        assert entry["loss"] == pytest.approx(total, rel=0.05)  # a mean of products is not the product of means


def test_the_guidance_is_saved_beside_the_model_and_asked_for_again(trainer, tmp_path):
    run = trainer(tmp_path, save_strategy="epoch")
    run.train()
    run.save_model(str(tmp_path / "final"))
    assert (tmp_path / "final" / "guidance.safetensors").exists()
    (tmp_path / "checkpoint-18" / "guidance.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"guidance\.safetensors is not a readable state of guidance"):
        trainer(tmp_path).train(resume_from_checkpoint=True)


def test_the_best_model_comes_with_its_guidance(trainer, tmp_path):
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "metric_for_best_model": "epoch"}
    run = trainer(tmp_path, monitor=(record := SubspaceMonitor()), load_best_model_at_end=True, **options)
    run.args.greater_is_better = False
    evaluate = run.evaluate
    run.evaluate = lambda *args, **kwargs: evaluate(*args, **kwargs) | {"eval_epoch": run.state.epoch}
    run.train()
    assert run.state.best_model_checkpoint.endswith("checkpoint-6")
    assert int(run.objective.step) == 6
    assert record.to_dict()["epoch"][-1] == 3  # of all of the training


def test_columns_named_like_quantities_are_kept_and_not_given_to_the_model(trainer, tmp_path):
    popped = trainer(tmp_path, quantities=lambda inputs: {"power": inputs.pop("power")}, remove_unused_columns=False)
    popped.train()
    kept = trainer(tmp_path)
    assert kept.args.remove_unused_columns  # as is usual
    kept.train()
    assert_same(kept.model.state_dict(), popped.model.state_dict())


def test_a_column_that_was_left_out_is_named(trainer, tmp_path):
    def energies(inputs):
        return {"power": inputs["energies"]}

    with pytest.raises(OptionError, match=r"need the column 'energies', .* x, labels, power\. .*columns=False\)"):
        trainer(tmp_path, quantities=energies).train()
    with pytest.raises(KeyError, match="energies"):  # what is not there for another reason
        trainer(tmp_path, quantities=energies, remove_unused_columns=False).train()


class Named(Dataset):
    """Samples whose columns are known."""

    column_names = ("x", "labels", "power", "energies")

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


@pytest.mark.parametrize(
    ("key", "known", "error"),
    [
        ("energies", False, OptionError),
        ("energies", True, OptionError),
        ("energy", True, KeyError),  # of another dictionary
        ("power", True, KeyError),
        (3, False, KeyError),
        (None, False, KeyError),
    ],
)
def test_only_what_may_be_a_column_is_called_one(trainer, tmp_path, key, known, error):
    def quantities(inputs):
        raise KeyError(*[key] if key else [])

    run = trainer(tmp_path, quantities=quantities)
    if known:
        run.train_dataset = Named(run.train_dataset)
    with pytest.raises(error):
        run.train()


def test_two_processes_are_one(tmp_path):
    """Also in what is logged, where each process has seen other samples."""
    results = {}
    for processes in (1, 2):
        directory = tmp_path / str(processes)
        directory.mkdir()
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if processes == 2 else []
        done = subprocess.run(
            [sys.executable, *launcher, str(PROGRAM), str(directory)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results[processes] = [load_tree(directory / f"rank{rank}", kind="result") for rank in range(processes)]
    (one,), (first, second) = results[1], results[2]
    for name in ("model", "objective"):
        assert_same(first[name], second[name])
    assert repr(first["monitor"]) == repr(second["monitor"])
    assert first["monitor"]["step"] == one["monitor"]["step"]
    # float32, whose sums in another order nine steps of Adam amplify
    for name, tensor in one["model"].items():
        torch.testing.assert_close(first["model"][name], tensor, rtol=0, atol=1e-4)
    assert first["monitor"]["terms"]["task"] == pytest.approx(one["monitor"]["terms"]["task"], rel=1e-4)
    assert first["task"] == pytest.approx(one["task"], rel=1e-4)
    assert first["eval"] == pytest.approx(one["eval"], rel=1e-4)
    saved = load_tree(tmp_path / "2" / "checkpoint-9" / "guidance.safetensors", kind="state of guidance")
    record = SubspaceMonitor()
    record.load_state_dict(saved["monitor"])
    assert repr(record.to_dict()) == repr(first["monitor"])


def test_a_model_spread_over_the_devices_of_one_process_is_refused(trainer, tmp_path, monkeypatch):
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: 2))
    monkeypatch.setattr(TrainingArguments, "train_batch_size", property(lambda self: 8))
    with pytest.raises(OptionError, match="one process for each device"):
        trainer(tmp_path)


def test_a_search_whose_trials_would_share_an_objective_is_refused(trainer, tmp_path):
    with pytest.raises(OptionError, match="its own guidance"):
        trainer(tmp_path).hyperparameter_search()


def test_a_model_that_returns_no_hidden_states_is_refused(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

    from isospan.integrations.transformers import GuidedTrainer

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

    with pytest.raises(OptionError, match="must have hidden_states"):
        run().train()
    model.config.output_hidden_states = True  # the remedy of the message
    assert run().train().global_step == 2
