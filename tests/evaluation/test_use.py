"""What a network does with its latent, on tasks whose errors are known."""

import pytest
import torch
from torch import nn

from isospan.errors import NonFiniteError, ShapeError
from isospan.evaluation import evaluate_use
from isospan.subspaces import solve_subspaces

Z = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.tensor([1, 2, 3.0])
SPACE = solve_subspaces(Z, {"first": Z[:, 0], "last": Z[:, 2]}, k=1, ridge=0.0)


def task(z):
    """A decoder that needs the first two latents, and an error of 0.1 that no latent explains."""
    return (z[:, :2] - Z[:, :2]).square().sum(1) + 0.1


def test_errors_are_the_variances_of_what_is_replaced():
    use = evaluate_use(SPACE, task, Z)
    variance = Z.var(0, correction=0)
    assert use.error == pytest.approx(0.1)
    assert use.mean_error == pytest.approx(float(variance[:2].sum()) + 0.1)
    assert use.replaced_error["first"] == pytest.approx(float(variance[0]) + 0.1)
    assert use.replaced_error["last"] == pytest.approx(0.1)
    covariance = Z.T.cov(correction=0)
    remains = covariance[0, 1] ** 2 / covariance[0, 0]  # the second latent loses what covaries with the first
    assert use.erased_error["first"] == pytest.approx(float(variance[0] + remains) + 0.1)
    assert use.uses_latent
    assert use.note == ""
    assert use.n_samples == 400


def test_a_network_with_a_path_past_its_latent_does_not_use_it():
    use = evaluate_use(SPACE, lambda z: 0.015 + 1e-4 * task(z), Z)
    assert not use.uses_latent
    assert use.increase == pytest.approx(use.mean_error / use.error - 1)
    assert "hardly uses its latent" in use.note
    assert "skip connections" in use.note
    assert not use.to_dict()["uses_latent"]


@pytest.mark.parametrize(("mean_error", "uses"), [(1.09, False), (1.11, True)])
def test_the_threshold_is_a_tenth(mean_error, uses):
    errors = iter([1.0, mean_error, 1, 1, 1, 1])
    assert evaluate_use(SPACE, lambda z: next(errors), Z).uses_latent is uses


def test_a_module_is_scored_in_evaluation_mode():
    class Task(nn.Module):
        def forward(self, z):
            assert not self.training
            return task(z)

    module = Task()
    assert evaluate_use(SPACE, module, Z).error == pytest.approx(0.1)
    assert module.training


def test_errors_of_entries_are_refused():
    with pytest.raises(ShapeError, match=r"one for each of the 400 latents, got \(400, 3\)"):
        evaluate_use(SPACE, lambda z: (z - Z).square(), Z)


def test_a_table():
    pytest.importorskip("pandas")
    frame = evaluate_use(SPACE, task, Z).to_frame()
    assert list(frame.index) == ["true latent", "mean latent", "first", "last"]
    assert frame.loc["true latent", "replaced_error"] == pytest.approx(0.1)


def test_a_negative_error_such_as_a_log_likelihood_counts_by_its_increase():
    use = evaluate_use(SPACE, lambda z: task(z) - 1, Z)
    assert use.error == pytest.approx(-0.9)
    assert use.increase == pytest.approx((use.mean_error + 0.9) / 0.9)
    assert use.uses_latent


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), torch.tensor(float("nan")), torch.full((400,), torch.inf)])
def test_errors_that_are_not_finite_are_refused(bad):
    with pytest.raises(NonFiniteError, match="errors of the task"):
        evaluate_use(SPACE, lambda z: bad, Z)
