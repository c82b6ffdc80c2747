"""The record of subspaces during training, against SciPy's angles and scikit-learn's R²."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from isospan.guided import EverySteps, SpaceObjective, SubspaceMonitor
from isospan.integrations import load_tree, save_tree

D, K = 7, {"a": 2, "b": 1}


def batch(step, n=40):
    """Latents whose relation to the quantities rotates with the steps."""
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
    assert table["solved"] == [True, True, False, True, True, True]
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
        objective.total_loss(z.square().mean(), z.requires_grad_(), y).backward()
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


def noise(seed, n, d=D):
    """Latents and quantities that have nothing to do with each other."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda *s: torch.randn(n, *s, generator=g, dtype=torch.float64)  # noqa: E731
    return rand(d), {"a": rand(2), "b": rand()}


def r2_of(z, y, **options):
    objective, monitor = SpaceObjective(K, z.shape[1], **options), SubspaceMonitor()
    objective.solve(z, y)
    assert monitor.update(objective)
    return monitor.to_dict()["r2"]


def test_r2_of_fewer_samples_than_two_a_latent_is_not_known():
    """The best two directions of seven latents, chosen on eight samples, read any noise."""
    for n, known in [(8, False), (2 * D - 1, False), (2 * D, True)]:
        r2 = r2_of(*noise(0, n), ridge=0.0)
        assert all(np.isfinite(column).all() == known for column in r2.values())


def test_latents_that_repeat_others_need_no_samples():
    z, y = noise(0, 8, d=3)
    assert np.isfinite(list(r2_of(z.repeat(1, 5), y).values())).all()
    assert np.isnan(list(r2_of(noise(0, 8, d=15)[0], y).values())).all()


def test_r2_of_noise_is_the_degrees_of_freedom_over_the_samples():
    """Of Gaussian noise, least squares on D regressors explains D / (n - 1) of one entry on average."""
    n = 4 * D
    found = [r2_of(*noise(seed, n), ridge=0.0)["b"][0] for seed in range(200)]
    assert np.mean(found) == pytest.approx(D / (n - 1), abs=0.03)  # 4 times the beta law's deviation 0.11 / sqrt(200)


# Two samples for each of 7 latents are 14, and 7/8 of 16 are 14. The size of a batch does not matter.
@pytest.mark.parametrize(("n", "memory", "warned"), [(4, 16, False), (3, 15, True), (6, 8, True), (20, 24, False)])
def test_a_memory_that_never_determines_r2_is_logged_once(n, memory, warned, caplog):
    objective = SpaceObjective(K, D, schedule=EverySteps(2), memory=memory, ridge=0.0)
    monitor = SubspaceMonitor()
    with caplog.at_level("WARNING", logger="isospan"):
        for step in range(60):
            objective(*noise(step, n))
            monitor.update(objective)
    last = [column[-1] for column in monitor.to_dict()["r2"].values()]
    assert np.isnan(last).all() == warned
    assert len(caplog.records) == warned


def test_the_memory_that_the_warning_names_is_enough(caplog):
    def train(n, memory):
        objective, monitor = SpaceObjective(K, D, memory=memory, ridge=0.0), SubspaceMonitor()
        with caplog.at_level("WARNING", logger="isospan"):
            for step in range(1, 201):
                objective(*noise(step, n))
                monitor.update(objective)
        objective.end_epoch()
        assert monitor.update(objective)
        return monitor

    assert np.isnan(list(train(3, 12).to_dict()["r2"].values())).all()
    (record,) = caplog.records
    assert "hold at most memory = 8 samples, too few for D = 7 latents. memory=16 is enough." in record.message
    for enough in (train(4, 16), train(3, 16)):
        assert np.isfinite([column[-1] for column in enough.to_dict()["r2"].values()]).all()
    assert len(caplog.records) == 1


def test_the_panel_says_what_to_do_where_r2_is_not_known():
    pytest.importorskip("matplotlib")
    for n, known in [(8, False), (2 * D, True)]:
        objective, monitor = SpaceObjective(K, D, ridge=0.0), SubspaceMonitor()
        objective.solve(*noise(0, n))
        monitor.update(objective)
        figure = monitor.plot()
        figure.draw_without_rendering()
        panel = figure.axes[2]
        assert ("larger memory" in "".join(text.get_text() for text in panel.texts)) != known
        for text in panel.texts:  # inside its panel
            box, room = text.get_window_extent(), panel.get_window_extent()
            assert room.x0 <= box.x0 < box.x1 <= room.x1
