"""What the callbacks share: mode, epochs, means, and what latents are read from."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

from isospan.guided import EveryEpochs, EverySteps, SpaceObjective
from isospan.guided._balance import HEAD_START
from isospan.integrations._guide import Guide
from isospan.integrations._means import Means

PROGRAM = Path(__file__).with_name("guide_ranks.py")


def guide(schedule=None, **options):
    return Guide(SpaceObjective({"a": 2}, 5, schedule=schedule or EverySteps(1), **options))


def batch(n=16):
    z = torch.randn(n, 5, requires_grad=True)
    return z, {"a": z.detach()[:, :3].square()}


def test_without_gradients_a_batch_is_scored_and_not_taken_in():
    used = guide()
    for _ in range(2):
        z, y = batch()
        used.total_loss(z.square().mean(), z, y)
    before = {name: value.clone() for name, value in used.objective.state_dict().items()}
    with torch.no_grad():
        used.total_loss(z.square().mean(), z, y)
    assert all(torch.equal(value, before[name]) for name, value in used.objective.state_dict().items())
    assert set(used.held_out.read()) == set(used.training.read()) >= {"task", "alignment", "weight"}


def test_epochs_are_ended_once_each_however_often_they_are_told():
    used = guide(EveryEpochs(1))
    z, y = batch()
    used.total_loss(z.square().mean(), z, y)
    for epochs in (0, 1, 1, 3):
        used.epochs_done(epochs)
    assert int(used.objective.epoch) == 3
    assert len(used.objective.solve_steps) == 4  # the first step, and three epochs


def test_what_is_read_from_the_latents_weighs_as_much_as_the_task_there():
    """The gradient of the guidance at the tokens is a multiple of that of the task, whatever is read from them."""
    used = guide(strength=0.5)
    z, y = batch(64)
    for _ in range(2):
        tokens = z.detach()[:, None].repeat(1, 4, 1).requires_grad_()
        task = 300 * tokens.sin().mean()
        loss = used.total_loss(task, tokens, y, to_latents=lambda t: t[:, 0])
        (both,) = torch.autograd.grad(loss, tokens, retain_graph=True)
        (alone,) = torch.autograd.grad(task, tokens)
    expected = 0.5 * used.objective.balance.lead * (1 + HEAD_START) * float(used.objective.terms["total"]) ** 0.5
    # the same batch twice: the second time the ratio is measured; the loss with frozen moments is nearly the same
    assert float((both - alone).norm() / alone.norm()) == pytest.approx(expected, rel=0.05)


def test_means_of_two_processes_with_unequal_parts_are_those_of_one(tmp_path):
    """Also where a process has none of the samples of a batch."""
    ranks = [
        subprocess.Popen([sys.executable, PROGRAM, str(rank), tmp_path], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    # the last line: Gloo of torch 2.8 prints one before
    first, second = [json.loads(rank.communicate(timeout=200)[0].splitlines()[-1]) for rank in ranks]
    spec = spec_from_file_location("guide_ranks", PROGRAM)
    spec.loader.exec_module(program := module_from_spec(spec))
    one = program.means([slice(None)] * len(program.BATCHES))
    assert first == second
    assert first == pytest.approx(one, rel=1e-9)  # float64, of sums in another order


def test_means_weigh_batches_by_their_samples():
    means, losses = Means(), torch.randn(10)
    for part in losses.split(4):
        means.add({"loss": part.mean()}, samples=len(part))
    assert means.read()["loss"] == pytest.approx(float(losses.mean()), rel=1e-6)
    assert means.read() == {}
