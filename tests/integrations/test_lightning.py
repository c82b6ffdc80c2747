"""Under Lightning guidance is that of a plain loop, on any number of processes, and continues where it was stopped."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from isospan.errors import OptionError
from isospan.guided import EveryEpochs, SubspaceMonitor
from isospan.integrations import load_tree

PROGRAM = Path(__file__).with_name("lightning_run.py")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),  # Lightning about torch's pytrees
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used to create the checkpoint"),
]


@pytest.fixture(scope="module")
def lightning(program):
    return program("lightning_run")


def guide(lightning, *, monitor=None, **options):
    return lightning.GuideCallback(lightning.objective(**options), monitor=monitor)


def assert_same(first, second):
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def assert_same_record(first, second):
    """That of two processes, and of one, to the rounding of sums in another order."""
    assert first["step"] == second["step"]
    for kind in ("r2", "terms"):
        assert list(first[kind]) == list(second[kind])
        for name, values in second[kind].items():
            assert first[kind][name] == pytest.approx(values, rel=1e-6, abs=1e-9), name
    for rows, others in zip(first["from_first"]["power"], second["from_first"]["power"], strict=True):
        assert rows == pytest.approx(others, abs=1e-4)  # degrees


def test_it_is_the_plain_loop(lightning):
    """Also where a validation comes between the last step of an epoch and its end."""
    under = guide(lightning, monitor=(record := SubspaceMonitor()))
    _, model = lightning.fit(2, under, validation=lightning.samples(32))
    plain, objective, monitor = lightning.Autoencoder(None), lightning.objective(), SubspaceMonitor()
    optimizer, (x, power) = plain.configure_optimizers(), lightning.samples().tensors
    for _ in range(2):
        for rows in torch.arange(len(x)).split(16):
            z = plain.encoder(x[rows])
            task = (plain.decoder(z) - x[rows]).square().mean()
            optimizer.zero_grad()
            objective.total_loss(task, z, {"power": power[rows]}).backward()
            monitor.update(objective)
            optimizer.step()
        objective.end_epoch()
        monitor.update(objective)
    assert_same(model.state_dict(), plain.state_dict())
    assert_same(under.objective.state_dict(), objective.state_dict())
    assert record.to_dict() == monitor.to_dict()
    assert monitor.to_dict()["epoch"][-1] == 2


@pytest.mark.parametrize("schedule", [None, EveryEpochs(2)])
@pytest.mark.parametrize("when", [{"every_n_epochs": 1}, {"every_n_train_steps": 6}])
def test_a_run_that_is_stopped_continues_bit_for_bit(lightning, tmp_path, schedule, when):
    """Six steps are an epoch, so the two kinds of checkpoints come after and before the epoch's end is reported."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    options = {} if schedule is None else {"schedule": schedule}
    whole = guide(lightning, monitor=(record := SubspaceMonitor()), **options)
    _, expected = lightning.fit(5, whole)
    saved = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{step}", **when)
    lightning.fit(3, guide(lightning, monitor=SubspaceMonitor(), **options), callbacks=[saved])
    for step in (6, 12, 18):
        resumed = guide(lightning, monitor=(continued := SubspaceMonitor()), **options)
        _, model = lightning.fit(5, resumed, ckpt_path=tmp_path / f"step={step}.ckpt")
        assert_same(model.state_dict(), expected.state_dict())
        assert_same(resumed.objective.state_dict(), whole.objective.state_dict())
        assert repr(continued.to_dict()) == repr(record.to_dict())  # as text, since NaN is not NaN


def test_validation_is_scored_and_not_taken_in(lightning):
    with_validation, without = guide(lightning), guide(lightning)
    trainer, _ = lightning.fit(2, with_validation, validation=lightning.samples(32))
    lightning.fit(2, without)
    assert_same(with_validation.objective.state_dict(), without.objective.state_dict())
    logged = trainer.callback_metrics
    assert {"guide/alignment", "guide/weight", "val_guide/alignment", "val_guide/task", "val_loss"} <= set(logged)
    total = logged["val_guide/task"] + logged["val_guide/weight"] * logged["val_guide/total"]
    assert float(total) == pytest.approx(float(logged["val_loss"]), rel=1e-5)  # means are logged in float32


@pytest.mark.parametrize("submodule", [False, True])
@pytest.mark.parametrize("step", ["validation_step", "test_step", "predict_step"])
def test_a_held_out_batch_is_never_taken_in_even_with_gradients(lightning, submodule, step):
    """By a call of the objective itself or of total, where the objective is a submodule of the model or not."""

    class Careless(lightning.Autoencoder):
        def __init__(self, guide):
            super().__init__(guide)
            if submodule:
                self.objective = guide.objective

        def wrong(self, batch, batch_idx):
            x, power = batch
            with torch.enable_grad():
                z = self.encoder(100 * x + 3)
                self.guide.objective(z, {"power": power})
                self.guide.total_loss((self.decoder(z) - x).square().mean(), z, {"power": power})
                return self.guide.objective(z, {"power": power}).detach()

    held_out = torch.utils.data.DataLoader(lightning.samples(32), 16)
    setattr(Careless, step, Careless.wrong)
    careless, without = guide(lightning), guide(lightning)
    lightning.fit(2, without)
    validation = lightning.samples(32) if step == "validation_step" else None
    trainer, model = lightning.fit(2, careless, network=Careless, validation=validation, inference_mode=False)
    if step == "test_step":
        trainer.test(model, held_out, verbose=False)
        assert "test_guide/task" in trainer.callback_metrics
    elif step == "predict_step":
        trainer.predict(model, held_out)
    assert_same(careless.objective.state_dict(), without.objective.state_dict())
    assert careless.objective.training
    assert careless._guide.held_out.read() == {}


def test_terms_without_a_weight_are_not_logged(lightning):
    for weights, named in (({"alignment": 1.0}, set()), ({"alignment": 1.0, "isotropy": 0.1}, {"isotropy"})):
        trainer, _ = lightning.fit(1, guide(lightning, weights=weights), validation=lightning.samples(32))
        expected = {"total", "alignment", "task", "weight"} | named
        for prefix in ("guide/", "val_guide/"):
            logged = {name.removeprefix(prefix) for name in trainer.callback_metrics if name.startswith(prefix)}
            assert logged == expected


def test_a_callback_that_the_trainer_does_not_have_is_refused(lightning):
    left_out, used = guide(lightning), guide(lightning)
    with pytest.raises(OptionError, match=r"got none\. Pass it as Trainer\(callbacks=\[guide\]\)"):
        lightning.fit(1, left_out, registered=False)
    assert int(left_out.objective.step) == 0
    _, model = lightning.fit(1, used)
    with pytest.raises(OptionError, match="must be a callback of the running Trainer"):  # the next one may lack it
        model.training_step(lightning.samples(16).tensors, 0)
    with torch.no_grad():
        assert torch.isfinite(model.training_step(lightning.samples(16).tensors, 0))


def test_after_an_error_the_callback_knows_that_its_trainer_is_gone(lightning):
    class Fails(lightning.Autoencoder):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            raise ZeroDivisionError

    under = guide(lightning)
    with pytest.raises(ZeroDivisionError):
        lightning.fit(1, under, network=Fails)
    with pytest.raises(OptionError, match="must be a callback of the running Trainer"):
        lightning.fit(1, under, registered=False)


def test_each_of_the_batches_whose_gradients_are_accumulated_counts(lightning):
    under = guide(lightning)
    lightning.fit(2, under, accumulate_grad_batches=3)
    assert int(under.objective.step) == 12
    assert int(under.objective.balance.measured) > 0


def test_two_processes_are_one(tmp_path):
    results = {}
    for processes in (1, 2):
        directory = tmp_path / str(processes)
        directory.mkdir()
        program = [sys.executable, PROGRAM, directory, str(processes)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        results[processes] = [load_tree(directory / str(rank), kind="result") for rank in range(processes)]
    (one,), (first, second) = results[1], results[2]
    assert repr(first["monitor"]) == repr(second["monitor"])
    assert_same_record(first["monitor"], one["monitor"])
    for part in ("model", "objective", "logged"):
        assert_same(first[part], second[part])
        for name, tensor in one[part].items():
            # float64 throughout; the order of sums differs, and 18 steps of Adam amplify it
            torch.testing.assert_close(first[part][name], tensor, rtol=1e-6, atol=1e-9, msg=f"{part} {name}")
    checkpoint = torch.load(tmp_path / "2" / "checkpoint", weights_only=True)
    assert_same(checkpoint["callbacks"]["GuideCallback"]["objective"], first["objective"])
    saved = SubspaceMonitor()
    saved.load_state_dict(checkpoint["callbacks"]["GuideCallback"]["monitor"])
    assert repr(saved.to_dict()) == repr(first["monitor"])
