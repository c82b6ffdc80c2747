"""The record of moving subspaces, against SciPy's angles and scikit-learn's R²."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from isospan.guided import EverySteps, SpaceObjective, SubspaceMonitor
from isospan.training import load_tree, save_tree

D, K = 7, {"a": 2, "b": 1}


def batch(step, n=40):
    """Latents whose relation to the quantities turns with the steps."""
    g = torch.Generator().manual_seed(step)
    z = torch.randn(n, D, generator=g, dtype=torch.float64)
    angle = torch.tensor(0.05 * step)
    a = torch.stack([z[:, 0] * torch.cos(angle) + z[:, 1] * torch.sin(angle), z[:, 2]], 1)
    return z, {"a": a + 0.1 * torch.randn(n, 2, generator=g, dtype=torch.float64), "b": z[:, 3] ** 2 + z[:, 4]}


def follow(objective, steps, monitor, epoch_of=10):
    bases = []
    for step in steps:
        objective(*batch(step))
        if step % epoch_of == 0:
            objective.end_epoch()
        if monitor.update(objective):
            bases.append({name: W.clone().numpy() for name, W in objective.solution.W.items()})
    return bases


def test_rows_come_at_solves_and_ends_of_epochs_only():
    objective, monitor = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    follow(objective, range(1, 21), monitor)
    table = monitor.to_dict()
    assert table["step"] == [4, 8, 10, 12, 16, 20]
    assert table["resolved"] == [True, True, False, True, True, True]
    assert table["epoch"] == [0, 0, 1, 1, 1, 2]
    assert len(monitor.bases) == 5
    assert not monitor.update(objective)


def test_angles_are_those_of_scipy():
    objective, monitor = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    bases = follow(objective, range(1, 21), monitor)
    table = monitor.to_dict()
    for name in K:
        for i, row in enumerate(bases):
            pairs = {"from_first": bases[0], "to_last": bases[-1]} | (
                {"angles": bases[i - 1]} if i not in (0, 2) else {}
            )
            for kind, other in pairs.items():
                expected = np.sort(np.rad2deg(subspace_angles(other[name].T, row[name].T)))
                np.testing.assert_allclose(table[kind][name][i], expected, atol=1e-6)  # degrees, of float64 sines
        assert table["angles"][name][0] == table["angles"][name][2] == []
        assert max(table["angles"][name][1]) > 1


def test_r2_is_that_of_scikit_learn_on_the_same_data():
    objective, monitor = SpaceObjective(K, D, ridge=0.0), SubspaceMonitor()
    z, y = batch(3, n=100)
    objective.solve(z, y)
    assert monitor.update(objective)
    for name, target in y.items():
        S, flat = (z @ objective.solution.W[name].mT).numpy(), target.reshape(100, -1).numpy()
        expected = r2_score(flat, LinearRegression().fit(S, flat).predict(S), multioutput="variance_weighted")
        assert monitor.to_dict()["r2"][name][0] == pytest.approx(expected, abs=1e-10)


def test_terms_are_those_of_the_objective_at_that_step():
    objective, monitor = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    for step in range(1, 9):
        z, y = batch(step)
        objective.total(z.square().mean(), z.requires_grad_(), y).backward()
        if monitor.update(objective):
            assert monitor.rows[-1]["terms"] == {name: float(value) for name, value in objective.terms.items()}
    assert {"task", "weight", "alignment"} <= set(monitor.to_dict()["terms"])


def test_before_the_first_solve_there_is_nothing():
    monitor = SubspaceMonitor()
    assert not monitor.update(SpaceObjective(K, D))
    assert len(monitor) == 0
    assert monitor.to_dict()["r2"] == {}
    assert monitor.plot().axes


def test_a_saved_record_continues_as_if_it_had_not_stopped(tmp_path):
    whole, whole_record = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    follow(whole, range(1, 21), whole_record)
    first, record = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    follow(first, range(1, 11), record)
    save_tree(tmp_path / "state", {"objective": first.state_dict(), "monitor": record.state_dict()}, kind="test")
    state = load_tree(tmp_path / "state", kind="test")
    second, resumed = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    second.load_state_dict(state["objective"])
    resumed.load_state_dict(state["monitor"])
    assert not resumed.update(second)
    follow(second, range(11, 21), resumed)
    assert resumed.to_dict() == whole_record.to_dict()


def test_frame_and_figure_show_every_quantity():
    pytest.importorskip("pandas")
    objective, monitor = SpaceObjective(K, D, schedule=EverySteps(4)), SubspaceMonitor()
    follow(objective, range(1, 21), monitor)
    frame, table = monitor.to_frame(), monitor.to_dict()
    assert len(frame) == 6
    assert frame["from_first a"].tolist() == [max(row) for row in table["from_first"]["a"]]
    assert frame["angles a"].isna().tolist() == [True, False, True, False, False, False]
    lines = [line.get_ydata() for line in monitor.plot().axes[2].get_lines()]
    np.testing.assert_array_equal(lines, list(table["r2"].values()))


def test_r2_of_fewer_samples_than_two_a_latent_is_not_known():
    """The best two directions of seven latents, chosen on eight samples, read any noise."""
    objective, monitor = SpaceObjective(K, D), SubspaceMonitor()
    for n, known in [(8, False), (2 * D, True)]:
        g = torch.Generator().manual_seed(0)
        noise = lambda *s, n=n, g=g: torch.randn(n, *s, generator=g, dtype=torch.float64)  # noqa: E731
        objective.solve(noise(D), {"a": noise(2), "b": noise()})
        assert monitor.update(objective)
        assert all(np.isfinite(r2) == known for r2 in monitor.rows[-1]["r2"].values())
    assert monitor.plot().axes
