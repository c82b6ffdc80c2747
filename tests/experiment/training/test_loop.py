"""The loop: same batches guided or not, bit for bit the same again, resumed, or stopped when it diverges."""

from functools import partial

import pytest
import torch
from torch import nn

from isospan._core.randomness import seeded
from isospan.errors import DegenerateDataError, MissingArgumentError, NonFiniteError, OptionError
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.samples import Samples, shuffled_batches
from isospan.experiment.training import fit
from isospan.guided._monitor import SubspaceMonitor
from isospan.guided._objective import SpaceObjective
from isospan.guided._schedules import ExponentialSchedule
from isospan.integrations import Checkpoints
from isospan.quantities import pool


def fields(n=24, channels=1):
    x = torch.randn(n, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(x, size=(12, 12), mode="bilinear")


def quantities(batch):
    x = batch.fields
    return {"mean": pool(x, 2), "power": pool(x**2, 2)}


def network(channels=1, **options):
    with seeded(0):
        return ConvAutoencoder(channels, (12, 12), 6, width=4, **options)


def objective(**options):
    return SpaceObjective({"mean": 2, "power": 2}, 6, schedule=ExponentialSchedule(first=2, growth=1.5), **options)


def trained(guided=True, epochs=3, model=None, samples=None, strength=0.5, **options):
    model = model or network()
    guide = {"objective": objective(strength=strength), "quantities": quantities} if guided else {}
    samples = fields() if samples is None else samples
    history = fit(model, samples, **{"epochs": epochs, "batch_size": 8, "lr": 3e-3, **guide, **options})
    return model, history


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.state_dict().values()])


@pytest.mark.parametrize("guided", [False, True])
def test_the_losses_fall(guided):
    _, history = trained(guided, epochs=30)
    task = torch.tensor(history.losses["task"])
    assert task[-9:].mean() < 0.8 * task[:9].mean()
    if guided:
        alignment = torch.tensor(history.losses["alignment"])
        assert alignment[-9:].mean() < alignment[3:12].mean()


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("augment", [False, True])
def test_one_seed_gives_the_same_weights_bit_for_bit(guided, augment):
    (a, first), (b, second) = (trained(guided, augment=augment, seed=5) for _ in range(2))
    assert torch.equal(weights(a), weights(b))
    assert first.losses["task"] == second.losses["task"]
    c, _ = trained(guided, augment=augment, seed=6)
    assert not torch.equal(weights(a), weights(c))


def test_guided_and_unguided_runs_see_the_same_batches():
    class Recording(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.linear = [], nn.Linear(144, 6)

        def forward(self, x):
            self.seen.append(x.clone())
            z = self.linear(x.flatten(1))
            return (z @ self.linear.weight).view_as(x), z

    a, b = Recording(), Recording()
    trained(True, model=a, augment=True)
    trained(False, model=b, augment=True)
    assert len(a.seen) == 9
    assert all(torch.equal(x, y) for x, y in zip(a.seen, b.seen, strict=True))


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    trained()
    assert torch.equal(torch.rand(4), expected)


def test_the_task_loss_has_no_unit():
    shift, unit = torch.tensor([300.0, 0.0]).view(2, 1, 1), torch.tensor([50.0, 1e-3]).view(2, 1, 1)
    plain, scaled = network(2), network(2).standardise_(shift.flatten(), unit.flatten())
    x = fields(channels=2)
    histories = [fit(plain, x, epochs=2, batch_size=8), fit(scaled, shift + unit * x, epochs=2, batch_size=8)]
    # 300 is stored to 3e-5, which relative to 50 is 6e-7, and six steps of Adam amplify it
    assert histories[0].losses["task"] == pytest.approx(histories[1].losses["task"], rel=1e-3)


class Interrupted(Exception):
    pass


def raise_interrupted(*_):
    raise Interrupted


@pytest.mark.parametrize("guided", [False, True])
def test_an_interrupted_run_continues_bit_for_bit(tmp_path, guided):
    def network_with_dropout():
        with seeded(0):
            encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 6))
            return ConvAutoencoder(1, (12, 12), 6, width=4, encoder=encoder)

    def stop_at_step_8(epoch, step, total, losses):
        if step == 8:
            raise Interrupted

    uninterrupted, history = trained(guided, model=network_with_dropout(), augment=True)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(Interrupted):
        trained(guided, model=network_with_dropout(), augment=True, checkpoints=checkpoints, progress=stop_at_step_8)
    assert [int(path.stem) for path in checkpoints.paths()] == [3, 6]
    resumed, again = trained(guided, model=network_with_dropout(), augment=True, checkpoints=checkpoints, resume=True)
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert again.losses["task"] == history.losses["task"]
    assert again.solve_steps == history.solve_steps
    assert again.steps == list(range(1, 10))


class OnDisk:
    """Rows that are read when they are asked for."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return self.rows[rows]


@pytest.mark.parametrize("stop", range(1, 10))
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_run_interrupted_inside_an_epoch_continues_bit_for_bit(tmp_path, monkeypatch, stop, in_memory):
    monkeypatch.setattr("isospan.experiment.training._loop.shuffled_batches", partial(shuffled_batches, read_ahead=8))
    samples = fields() if in_memory else Samples(OnDisk(fields()))

    def interrupt(epoch, step, total, losses):
        if step == stop:
            raise Interrupted

    def network_with_dropout():
        with seeded(0):
            encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 6))
            return ConvAutoencoder(1, (12, 12), 6, width=4, encoder=encoder)

    def run(**options):
        return trained(model=network_with_dropout(), samples=samples, augment=True, **options)

    expected, followed = SubspaceMonitor(), SubspaceMonitor()
    uninterrupted, history = run(monitor=expected)
    checkpoints = Checkpoints(tmp_path, every_steps=2)
    with pytest.raises(Interrupted):
        run(checkpoints=checkpoints, progress=interrupt, monitor=SubspaceMonitor())
    newest = max([step for step in (2, 3, 4, 6, 8) if step < stop], default=None)
    assert (checkpoints.latest() or {}).get("step") == newest
    resumed, again = run(checkpoints=checkpoints, resume=True, monitor=followed)
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert again.losses["task"] == history.losses["task"]
    assert again.steps == history.steps
    assert followed.rows == expected.rows


def test_what_follows_the_last_step_of_an_epoch_is_the_same_when_it_is_resumed_there(tmp_path, monkeypatch):
    """A checkpoint after that step comes before the epoch is ended."""
    expected, followed = SubspaceMonitor(), SubspaceMonitor()
    trained(monitor=expected)
    checkpoints = Checkpoints(tmp_path, every_steps=3)
    with monkeypatch.context() as patch:
        patch.setattr("isospan.experiment.training._run_state.Run.end_epoch", raise_interrupted)
        with pytest.raises(Interrupted):
            trained(checkpoints=checkpoints, monitor=SubspaceMonitor())
    trained(checkpoints=checkpoints, resume=True, monitor=followed)
    assert followed.rows == expected.rows


def test_a_finished_run_is_not_trained_again(tmp_path):
    calls = []
    checkpoints = Checkpoints(tmp_path)
    finished, _ = trained(checkpoints=checkpoints)
    model, history = trained(checkpoints=checkpoints, resume=True, progress=lambda *args: calls.append(args))
    assert calls == []
    assert torch.equal(weights(model), weights(finished))
    assert len(history.steps) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 4}, "epochs: 3 then, 4 now"),
        ({"batch_size": 12}, "batch_size: 8 then, 12 now"),
        ({"lr": 1e-3}, "lr: 0.003 then, 0.001 now"),
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"augment": True}, "augment: False then, True now"),
        ({"samples": fields(16)}, "samples: 24 then, 16 now"),
        ({"samples": fields() + 1}, "mean of the fields over it: "),
        ({"samples": 2 * fields()}, "deviation of the fields: "),
        ({"guided": False}, "guidance: .* then, 'none' now"),
        ({"strength": 0.7}, "guidance: .*'strength': 0.7"),
    ],
)
def test_a_run_is_resumed_with_the_samples_and_settings_it_had(tmp_path, changes, message):
    checkpoints = Checkpoints(tmp_path)
    trained(checkpoints=checkpoints)
    with pytest.raises(OptionError, match=f"other settings .*{message}"):
        trained(**{"checkpoints": checkpoints, "resume": True, **changes})


def test_a_mean_of_zero_is_the_same_however_it_was_rounded(tmp_path):
    """Sums of many threads and of one differ in the last bit, which is all that such a mean has."""
    samples = torch.cat([fields(), -fields()])
    _, history = trained(samples=samples, checkpoints=Checkpoints(tmp_path))
    for shift in (1e-8, -1e-8):
        _, again = trained(samples=samples + shift, checkpoints=Checkpoints(tmp_path), resume=True)
        assert again.steps == history.steps


def test_a_damaged_checkpoint_costs_an_epoch_and_nothing_else(tmp_path):
    uninterrupted, _ = trained()
    checkpoints = Checkpoints(tmp_path)
    trained(checkpoints=checkpoints)
    checkpoints.paths()[-1].write_bytes(b"broken")
    resumed, _ = trained(checkpoints=checkpoints, resume=True)
    assert torch.equal(weights(resumed), weights(uninterrupted))


def test_without_resume_it_starts_from_the_beginning(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    trained(checkpoints=checkpoints)
    calls = []
    trained(checkpoints=checkpoints, progress=lambda *args: calls.append(args))
    assert len(calls) == 9


def test_without_resume_nothing_is_left_of_an_earlier_run(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    trained(checkpoints=checkpoints)
    trained(checkpoints=checkpoints, epochs=1)
    assert [int(path.stem) for path in checkpoints.paths()] == [3]
    assert checkpoints.latest()["step"] == 3


def test_progress_hears_of_every_step():
    heard = []
    trained(progress=lambda epoch, step, total, losses: heard.append((epoch, step, total, set(losses))))
    assert [h[:3] for h in heard] == [(1 + i // 3, i + 1, 9) for i in range(9)]
    assert heard[0][3] == {"task"} or heard[0][3] == {"task", "guidance"}
    assert {"task", "guidance", "alignment", "weight"} <= heard[-1][3]


def test_held_out_scores_are_kept_for_every_epoch():
    _, history = trained(validation=Samples(fields(40)[24:]))
    assert history.validation_steps == [3, 6, 9]
    assert set(history.validation) == {"task", "r2 mean", "r2 power"}
    assert history.solve_steps[:2] == [2, 3]


class Diverging(nn.Module):
    def __init__(self, bad_step):
        super().__init__()
        self.linear, self.calls, self.bad_step = nn.Linear(144, 6), 0, bad_step

    def forward(self, x):
        self.calls += 1
        z = self.linear(x.flatten(1))
        return (z @ self.linear.weight).view_as(x) * (float("inf") if self.calls == self.bad_step else 1.0), z


@pytest.mark.parametrize("guided", [False, True])
def test_divergence_says_at_which_step_and_what_to_try(guided):
    with pytest.raises(NonFiniteError, match=r"diverged: the loss is (inf|nan) at step 5 of 9, .* \(lr=0\.0003\)"):
        trained(guided, model=Diverging(5))


def test_fields_with_holes_are_refused_before_training():
    x = fields()
    x[3, 0, 2, 2] = torch.nan
    with pytest.raises(NonFiniteError, match="1 NaN or infinite"):
        fit(network(), x)


def test_a_quantity_with_holes_is_named():
    with pytest.raises(NonFiniteError, match="'power'"):
        fit(
            network(),
            fields(),
            objective=SpaceObjective({"power": 1}, 6),
            quantities=lambda batch: {"power": pool(batch.fields, 2).log()},
            batch_size=8,
        )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, OptionError, "epochs must be at least 1"),
        ({"lr": 0.0}, OptionError, r"lr positive, got epochs=16 and lr=0\.0"),
        ({"batch_size": 1}, OptionError, "batch_size must be at least 2"),
        ({"objective": SpaceObjective({"a": 1}, 6)}, MissingArgumentError, "needs quantities"),
    ],
)
def test_options_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        fit(network(), fields(), **options)


def test_a_single_sample_is_too_few():
    with pytest.raises(DegenerateDataError):
        fit(network(), fields(1))
