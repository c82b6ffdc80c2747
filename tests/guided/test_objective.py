"""The objective against brute force over the batches it has seen."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

from isospan.errors import (
    DegenerateDataError,
    DimensionError,
    DtypeError,
    FileFormatError,
    NameMismatchError,
    NonFiniteError,
    NotSolvedError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.guided import EveryEpochs, EverySteps, SpaceObjective
from isospan.guided.losses import combined_loss
from isospan.subspaces import solve_subspaces
from isospan.subspaces._solve import target_scales

D, B, RIDGE, MEMORY = 6, 20, 1e-3, 200
K = {"a": 2, "b.x": 1}


def batch(seed, n=B, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, D, generator=g, dtype=torch.float64) @ torch.diag(torch.arange(1, D + 1).double())
    a = torch.stack([z[:, 0] + z[:, 1], z[:, 1], z[:, 2] ** 2], 1) + 0.3 * torch.randn(
        n, 3, generator=g, dtype=torch.float64
    )
    y = {"a": 1e3 * a.reshape(n, 3, 1) + 7, "b.x": z[:, 3] * 1e-3}
    return z.to(dtype), {name: t.to(dtype) for name, t in y.items()}


def objective(**options):
    return SpaceObjective(K, D, **{"memory": MEMORY, "ridge": RIDGE, "schedule": EverySteps(3)} | options)


def weighted_history(n_batches):
    """All samples seen and their weights: 7/8 for every eighth of the memory that started after their own."""
    z, y, n = [], [], n_batches * B
    for i in range(n_batches):
        zi, yi = batch(i)
        z.append(zi), y.append(yi)
    block = torch.arange(n) // (MEMORY // 8)
    w = [0.875 ** (block[-1] - block).double()]
    flat = {name: torch.cat([t[name] for t in y]).reshape(n_batches * B, -1) for name in K}
    return torch.cat(z).numpy(), {n: t.numpy() for n, t in flat.items()}, torch.cat(w).numpy()


def brute_force_loss(obj, n_batches):
    """Ridge decoders on the coordinates of the weighted history, scored on the last batch, in standardised units."""
    z, y, w = weighted_history(n_batches)
    zb, yb = batch(n_batches - 1)
    losses = []
    for name, W in obj.solution.W.items():
        mean = lambda t: (w[:, None] * t).sum(0) / w.sum()  # noqa: E731
        zc, yc = z - mean(z), y[name] - mean(y[name])
        scale = np.sqrt((w[:, None] * yc**2).sum(0).mean() / w.sum())
        S = zc @ W.numpy().T
        G = (w[:, None] * S).T @ S / w.sum()
        A = (
            np.linalg.solve(
                G + RIDGE * (w[:, None] * zc**2).mean() * len(w) / w.sum() * np.eye(len(G)),
                (w[:, None] * S).T @ yc / w.sum(),
            )
            / scale
        )
        Sb = (zb.numpy() - mean(z)) @ W.numpy().T
        target = (yb[name].reshape(B, -1).numpy() - mean(y[name])) / scale
        losses.append(((Sb @ A - target) ** 2).mean())
    return np.mean(losses)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_loss_is_that_of_the_best_decoders(orthogonal):
    obj = objective(orthogonal=orthogonal, weights={"alignment": 1.0})
    for i in range(8):
        loss = obj(*batch(i))
        if i < 2:
            assert float(loss) == 0
        else:
            # two independent float64 routes
            assert float(loss) == pytest.approx(brute_force_loss(obj, i + 1), rel=1e-9)
    assert obj.solve_steps == [3, 6]


def test_bases_decode_as_well_as_reduced_rank_regression():
    obj = objective(ridge=0.0)
    for i in range(3):
        obj(*batch(i))
    z, y, w = weighted_history(3)
    root = np.sqrt(w)[:, None]
    mean = lambda t: (w[:, None] * t).sum(0) / w.sum()  # noqa: E731
    zc, yc = root * (z - mean(z)), root * (y["a"] - mean(y["a"]))
    S = zc @ obj.solution.W["a"].numpy().T
    own = np.linalg.lstsq(S, yc, rcond=None)[1].sum()
    fitted = zc @ np.linalg.lstsq(zc, yc, rcond=None)[0]
    best = ((yc - fitted) ** 2).sum() + (np.linalg.svd(fitted)[1][2:] ** 2).sum()
    assert own == pytest.approx(best, rel=1e-9)


def test_gradient_is_that_of_the_formula_with_decoders_held():
    obj = objective()
    for i in range(4):
        z, y = batch(i)
        z.requires_grad_()
        obj(z, y).backward()
    W, A, scale, y_mean = obj.solution.W, obj.solution.A, target_scales(obj.moments), obj.moments.y_mean

    def formula(z):
        total = 0.0
        for name in K:
            target = (y[name].reshape(B, -1) - y_mean[name]) / scale[name]
            total = total + ((z - obj.moments.z_mean) @ W[name].mT @ A[name] - target).square().mean()
        return total / len(K)

    expected = torch.autograd.functional.jacobian(formula, z.detach())
    torch.testing.assert_close(z.grad, expected, rtol=1e-10, atol=1e-14)


def test_units_do_not_matter():
    losses = []
    for unit in (1.0, 1e5):
        obj = objective()
        for i in range(5):
            z, y = batch(i)
            loss = obj(z, {"a": y["a"] * unit, "b.x": y["b.x"] / unit})
        losses.append(float(loss))
    # rounding of rescaled float64 data
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_balance_ignores_units_of_the_task():
    grads = []
    for unit in (1.0, 1e-4):
        obj = objective()
        for i in range(6):
            z, y = batch(i)
            z.requires_grad_()
            obj.total_loss(unit * z.square().mean(), z, y).backward()
        grads.append(z.grad / unit)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-9, atol=1e-12)


def test_terms_are_for_logging_and_hold_no_graph():
    obj = objective()
    for i in range(4):
        z, y = batch(i)
        obj.total_loss(z.requires_grad_().square().mean(), z, y).backward()
    assert {"total", "alignment", "task", "weight"} <= set(obj.terms)
    assert not any(value.requires_grad for value in obj.terms.values())


def test_strength_zero_leaves_the_task_alone():
    obj = objective(strength=0.0)
    for i in range(4):
        z, y = batch(i)
        z.requires_grad_()
        task = z.square().mean()
        total = obj.total_loss(task, z, y)
    torch.testing.assert_close(torch.autograd.grad(total, z)[0], 2 * z.detach() / z.numel())


def test_guidance_puts_the_quantities_into_their_subspaces():
    """A linear encoder of a signal that holds the quantity in directions it initially ignores."""
    g = torch.Generator().manual_seed(0)
    encoder = torch.nn.Linear(20, D, dtype=torch.float64)
    torch.nn.init.normal_(encoder.weight, std=0.1, generator=g)
    obj = objective(schedule=EverySteps(5))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        x = torch.randn(64, 20, generator=g, dtype=torch.float64)
        loss = obj(encoder(x), {"a": x[:, :2].unsqueeze(-1), "b.x": x[:, 5]})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[5] > 0.3
    assert losses[-1] < 0.02
    x = torch.randn(500, 20, generator=g, dtype=torch.float64)
    decoded = obj.space.decode(encoder(x).detach())
    assert decoded["a"].shape == (500, 2, 1)
    assert float((decoded["a"][..., 0] - x[:, :2]).square().mean()) < 0.05


def test_solve_from_a_reference_set():
    obj = objective()
    z, y = batch(0, 400)
    space = obj.solve(z, y)
    assert space.names == list(K)
    residual = obj.space.decode(z)["b.x"] - y["b.x"]
    # the ridge of 1e-3 shrinks an exact linear fit by about its own size
    assert float(residual.std() / y["b.x"].std()) < 2e-2
    assert float(obj.eval()(z, y)) < 0.6


def test_resume_is_bit_for_bit():
    first = objective(orthogonal=True)
    for i in range(7):
        first.total_loss(batch(i)[0].square().mean(), *batch(i))
    second = objective(orthogonal=True)
    second.load_state_dict(first.state_dict())
    third, fourth = pickle.loads(pickle.dumps(first)), copy.deepcopy(first)
    for i in range(7, 15):
        z, y = batch(i)
        values = [float(obj.total_loss(z.square().mean(), z, y)) for obj in (first, second, third, fourth)]
        assert len(set(values)) == 1
    assert second.solve_steps == first.solve_steps
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_state_dict_of_an_unused_objective_and_saving():
    fresh = objective()
    objective().load_state_dict(fresh.state_dict())
    used = objective()
    for i in range(4):
        used(*batch(i))
    file = io.BytesIO()
    torch.save(used.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    z, y = batch(9)
    assert float(fresh.eval()(z, y)) == float(used.eval()(z, y))


def test_eval_mode_changes_nothing():
    obj = objective()
    for i in range(4):
        obj(*batch(i))
    before = copy.deepcopy(obj.state_dict())
    obj.eval()(*batch(5))
    assert all(torch.equal(before[key], value) for key, value in obj.state_dict().items())


def test_epochs():
    obj = objective(schedule=EveryEpochs(2))
    for epoch in range(4):
        for i in range(3):
            obj(*batch(3 * epoch + i))
        obj.end_epoch()
    assert obj.solve_steps == [1, 6, 12]


def test_plain_recipe_is_the_combined_loss():
    obj = SpaceObjective.plain(K, D, schedule=EverySteps(3))
    for i in range(5):
        z, y = batch(i)
        loss = obj(z, y)
    W, A, scale, mean = obj.solution.W, obj.solution.A, target_scales(obj.moments), obj.moments.y_mean
    standard = {n: (y[n].reshape(B, -1) - mean[n]) / scale[n] for n in K}
    others = {"disentanglement": 1.0, "isotropy": 1.0, "stability": 1.0}
    expected = combined_loss(z, W, A, standard, None, weights=others)
    expected += sum(((z - obj.moments.z_mean) @ W[n].mT @ A[n] - standard[n]).square().mean() for n in K) / len(K)
    assert float(loss) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(dtype):
    obj = objective().to(dtype)
    for i in range(4):
        z, y = batch(i)
        z, y = z.to(dtype).requires_grad_(), {name: (t / t.abs().max()).to(dtype) for name, t in y.items()}
        loss = obj(z, y)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(z.grad).all()
    assert obj.moments.scatter_zz.dtype == torch.float64


def test_autocast_does_not_reach_the_solvers():
    obj = objective()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for i in range(4):
            loss = obj(*batch(i, dtype=torch.float32))
    assert loss.dtype == torch.float32


def test_a_bad_batch_changes_nothing():
    obj = objective()
    for i in range(4):
        obj(*batch(i))
    before = copy.deepcopy(obj.state_dict())
    z, y = batch(4)
    for bad_z, bad_y, error, message in [
        (z * float("nan"), y, NonFiniteError, "Latents z must be finite"),
        (z, y | {"a": y["a"] / 0}, NonFiniteError, "quantity 'a'"),
        (z, {"a": y["a"]}, NameMismatchError, "missing"),
        (z, y | {"a": y["a"][:5]}, ShapeError, "same batch"),
        (z, y | {"a": y["a"][:, :2]}, ShapeError, "keep their shapes"),
        (z[:, :3], y, ShapeError, "latent_dim = 6"),
        (z[:0], {n: t[:0] for n, t in y.items()}, DegenerateDataError, "At least 1 samples"),
        (z, {}, DegenerateDataError, "names no quantity"),
    ]:
        with pytest.raises(error, match=message):
            obj(bad_z, bad_y)
    assert all(torch.equal(before[key], value) for key, value in obj.state_dict().items())


def test_a_refused_reference_set_changes_nothing():
    obj = objective()
    z, y = batch(0)
    with pytest.raises(DegenerateDataError, match=r"'b.x'.*constant"):
        obj.solve(z, y | {"b.x": torch.ones(B).double()})
    assert obj.moments is None
    assert obj.shapes == {}
    obj.solve(z, y)
    before, decoded = copy.deepcopy(obj.state_dict()), obj.space.decode(z)
    with pytest.raises(DegenerateDataError, match=r"'b.x'.*constant"):
        obj.solve(z, y | {"b.x": torch.full((B,), 0.1).double()})
    assert all(torch.equal(before[key], value) for key, value in obj.state_dict().items())
    assert all(torch.equal(decoded[name], value) for name, value in obj.space.decode(z).items())


def test_what_solve_returns_stays_as_it_is():
    obj = objective(schedule=EverySteps(1))
    space = obj.solve(*batch(0))
    before = copy.deepcopy(space)
    for i in range(1, 4):
        obj(*batch(i))
    for what in ("W", "A", "y_mean", "y_scale"):
        assert all(
            torch.equal(new, old)
            for new, old in zip(getattr(space, what).values(), getattr(before, what).values(), strict=True)
        )
    assert torch.equal(space.z_mean, before.z_mean)


def test_the_state_after_an_evaluation_before_training_can_be_loaded():
    obj = objective().eval()
    z, y = batch(0)
    obj(z, y)
    objective().load_state_dict(obj.state_dict())
    # a batch that was only looked at does not decide the shapes
    obj.train()(z, {"a": y["a"][:, :2], "b.x": y["b.x"]})


def test_a_partition_is_checked_on_the_dimensions_that_are_used():
    """Of k = 4 each, a quantity of one entry uses one, so five dimensions are enough and four are not."""
    z, y = torch.randn(30, 5).double(), {"wide": torch.randn(30, 6).double(), "narrow": torch.randn(30, 1).double()}
    shapes = {"wide": (6,), "narrow": (1,)}
    fits = SpaceObjective({"wide": 4, "narrow": 4}, 5, orthogonal=True, shapes=shapes)
    with pytest.warns(NumericalWarning, match="reduced"):
        assert {name: len(W) for name, W in fits.solve(z, y).W.items()} == {"wide": 4, "narrow": 1}
    with pytest.raises(DimensionError, match="latent dimension of at least 5"):
        SpaceObjective({"wide": 4, "narrow": 4}, 4, orthogonal=True, shapes=shapes)
    with pytest.raises(DimensionError, match="latent dimension of at least 8"):  # one entry is not known yet
        SpaceObjective({"wide": 4, "narrow": 4}, 5, orthogonal=True)


def test_the_loss_reads_through_noise_and_the_space_without():
    """The noise adds the squares of the read-out; both by least squares of the samples with noise, in float64."""
    obj = objective(ridge=0.5)
    z, y = batch(0, 400)
    space = obj.solve(z, y)
    zc = z - z.mean(0)
    variance = 0.5 * zc.square().mean()
    unexplained = []
    for name in K:
        yc = (y[name] - y[name].mean(0)).reshape(400, -1) / space.y_scale[name]
        S = zc @ obj.solution.W[name].mT
        A = torch.linalg.solve(S.mT @ S / 400 + variance * torch.eye(S.shape[1]).double(), S.mT @ yc / 400)
        torch.testing.assert_close(obj.solution.A[name], A, rtol=1e-9, atol=1e-12)
        unexplained.append((S @ A - yc).square().mean())
    assert float(obj.eval()(z, y)) == pytest.approx(float(sum(unexplained)) / 2, rel=1e-9)
    best = solve_subspaces(z, y, K)
    for name in K:
        torch.testing.assert_close(space.decode(z)[name], best.decode(z)[name], rtol=1e-9, atol=1e-9)


def test_stability_is_logged_and_pulls_at_nothing():
    obj = objective(weights={"stability": 1.0}, schedule=EverySteps(1))
    for i in range(3):
        z, y = batch(i)
        loss = obj(z.requires_grad_(), y)
    assert float(obj.terms["stability"]) > 0
    assert not torch.autograd.grad(loss, z)[0].any()


def test_a_constant_quantity_is_named():
    obj = objective(schedule=EverySteps(1))
    z, y = batch(0)
    obj(z, y | {"b.x": torch.ones(B).double()})  # 20 samples, less than an eighth of the memory
    assert not obj.solved
    with pytest.raises(DegenerateDataError, match=r"'b.x'.*constant"):
        obj(z, y | {"b.x": torch.ones(B).double()})


def test_the_first_solve_waits_until_all_quantities_vary():
    obj = objective(schedule=EveryEpochs(1))
    for i, rows in enumerate(torch.arange(B).split(5)):
        z, y = batch(0)
        label = (torch.arange(B) == 12).double()
        obj(z[rows], {name: t[rows] for name, t in (y | {"b.x": label}).items()})
        assert obj.solved == (i >= 2)
    assert obj.solve_steps == [3]


def test_bad_options():
    with pytest.raises(DimensionError, match="at least 1"):
        SpaceObjective({"a": 0}, 4)
    with pytest.raises(NameMismatchError, match="may not be called 'free'"):
        SpaceObjective({"free": 1}, 4)
    with pytest.raises(OptionError, match="strength"):
        objective(strength=-1.0)
    with pytest.raises(OptionError, match="method"):
        objective(method="pca")
    with pytest.raises(OptionError, match="Invalid loss term: 'aligment'"):
        objective(weights={"aligment": 1.0})
    with pytest.raises(OptionError, match=r"separation must be at least 0.*orthogonal=False"):
        objective(separation=1.0)
    with pytest.raises(OptionError, match=r"separation must be at least 0, .* got -1"):
        objective(separation=-1.0, orthogonal=True)
    with pytest.raises(NotSolvedError, match="no subspaces yet"):
        _ = objective().space


@pytest.mark.parametrize("sizes", [[B], [1] * B, [B - 1, 1], [7, 13], [3, 3, 14]])
def test_moments_do_not_depend_on_how_the_stream_is_cut(sizes):
    """After 60 batches, with blocks that start within one; a short batch does not outweigh the past."""
    whole, cut = objective(schedule=EverySteps(10**6)), objective(schedule=EverySteps(10**6))
    for i in range(60):
        z, y = batch(i)
        whole(z, y)
        for rows in torch.arange(B).split(sizes):
            cut(z[rows], {name: t[rows] for name, t in y.items()})
    assert 0.85 * MEMORY <= float(whole.moments.count) <= MEMORY
    for (name, expected), value in zip(whole.moments.named_buffers(), cut.moments.buffers(), strict=True):
        # rounding of sums in another order
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()), msg=name)


def test_batches_of_every_size_weigh_as_many_samples_as_they_have():
    """Weights by brute force: 7/8 for every block that started later, whatever the batches."""
    obj, sizes = objective(schedule=EverySteps(10**6)), [20, 3, 1, 57, 160, 2]
    parts = [batch(i, n) for i, n in enumerate(sizes)]
    for z, y in parts:
        obj(z, y)
    z = torch.cat([z for z, _ in parts])
    block = torch.arange(len(z)) // (MEMORY // 8)
    w = 0.875 ** (block[-1] - block).double()
    mean = (w[:, None] * z).sum(0) / w.sum()
    assert float(obj.moments.count) == pytest.approx(float(w.sum()))
    torch.testing.assert_close(obj.moments.z_mean, mean)
    torch.testing.assert_close(obj.moments.scatter_zz, (w[:, None] * (z - mean)).T @ (z - mean))


def test_a_reference_set_weighs_the_memory_at_most():
    obj = objective()
    obj.solve(*batch(0, 5 * MEMORY))
    assert float(obj.moments.count) == 5 * MEMORY
    obj(*batch(1, 10))
    assert float(obj.moments.count) == pytest.approx(0.875 * MEMORY + 10)


def test_a_batch_of_one_sample_guides_about_the_running_means():
    obj = objective(schedule=EverySteps(1))
    for i in range(4):
        obj(*batch(i))
    z, y = batch(4, 1)
    count = float(obj.moments.count)
    loss = obj(z, y)
    assert float(obj.moments.count) > count
    scale, mean = target_scales(obj.moments), obj.moments.y_mean
    read = {n: (z - obj.moments.z_mean) @ obj.solution.W[n].mT @ obj.solution.A[n] for n in K}
    expected = sum((read[n] - (y[n].reshape(1, -1) - mean[n]) / scale[n]).square().mean() for n in K) / len(K)
    assert float(loss) == pytest.approx(float(expected), rel=1e-9)


def test_quantities_of_a_state_are_matched_by_name():
    """Of equal sizes in another order, which nothing else tells apart."""
    first, second = (SpaceObjective(dict.fromkeys(names, 2), 8, ridge=1e-3) for names in ("ab", "ba"))
    z = torch.randn(300, 8).double()
    y = {"a": z[:, :2], "b": z[:, 2:4]}
    first.solve(z, y)
    second.load_state_dict(first.state_dict())
    # the ridge of 1e-3 leaves its square
    assert float(second.eval()(z, y)) < 1e-5
    torch.testing.assert_close(second.space.decode(z)["a"], first.space.decode(z)["a"])
    with pytest.raises(NameMismatchError, match="The state to load must name the quantities"):
        SpaceObjective({"a": 2, "c": 2}, 8).load_state_dict(first.state_dict())
    with pytest.raises(DimensionError, match="subspace dimensions"):
        SpaceObjective({"a": 2, "b": 3}, 8).load_state_dict(first.state_dict())


@pytest.mark.parametrize("use_buffers", [False, True])
def test_an_average_of_a_model_that_holds_an_unused_objective(use_buffers):
    class Guided(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Linear(D, D, dtype=torch.float64)
            self.objective = objective(shapes={"a": (3, 1), "b.x": ()}, schedule=EverySteps(2))

    model = Guided()
    averaged = torch.optim.swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for i in range(5):
        z, y = batch(i)
        model.objective(model.encoder(z), y)
        averaged.update_parameters(model)
    if not use_buffers:  # then buffers are copies, else means, of counts too
        z = model.encoder(batch(9)[0]).detach()
        mine, theirs = (m.objective.space.decode(z) for m in (model, averaged.module))
        assert all(torch.equal(mine[name], theirs[name]) for name in K)


def test_shapes_at_construction_change_nothing():
    plain, sized = objective(), objective(shapes={"b.x": (), "a": (3, 1)})
    assert len(list(sized.buffers())) > len(list(plain.buffers()))
    for i in range(7):
        assert torch.equal(plain(*batch(i)), sized(*batch(i)))
    for (name, a), b in zip(plain.state_dict().items(), sized.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    with pytest.raises(ShapeError, match="keep their shapes"):
        objective(shapes={"a": (2, 1), "b.x": ()})(*batch(0))
    with pytest.raises(NameMismatchError, match="shapes must name"):
        objective(shapes={"a": (2, 1)})


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3])
def test_training_does_not_depend_on_the_unit_of_the_task(unit):
    """With Adam, which remembers the first gradients for long."""

    def trained(unit):
        torch.manual_seed(0)
        encoder, obj = torch.nn.Linear(D, D, dtype=torch.float64), objective()
        optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3, eps=1e-300)  # eps has the unit of a gradient
        for i in range(40):
            x, y = batch(i)
            z = encoder(x)
            optimizer.zero_grad()
            obj.total_loss(unit * (z - x).square().mean(), z, y).backward()
            optimizer.step()
        return encoder.weight.detach()

    torch.testing.assert_close(trained(unit), trained(1.0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_functional_gradients(mode):
    obj, twin = objective(), objective()
    for i in range(4):
        obj(*batch(i)), twin(*batch(i))
    z, y = batch(4)
    gradient = torch.func.grad(lambda z: getattr(obj, mode)()(z, y))(z)
    inputs = z.clone().requires_grad_()
    getattr(twin, mode)()(inputs, y).backward()
    torch.testing.assert_close(gradient, inputs.grad)
    for (name, a), b in zip(obj.state_dict().items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_second_derivatives_through_the_objective():
    """A penalty on the gradient of the guidance, in the weights of an encoder, against finite differences."""
    obj = objective(weights=dict.fromkeys(("alignment", "disentanglement", "isotropy"), 1.0))
    for i in range(4):
        obj(*batch(i))
    x, y = batch(5)
    obj.eval()

    def penalty(weight):
        z = torch.tanh(x @ weight)
        (gradient,) = torch.autograd.grad(obj(z, y), z, create_graph=True)
        return gradient.square().sum()

    assert torch.autograd.gradcheck(penalty, (0.1 * torch.randn(D, D).double()).requires_grad_(), fast_mode=True)


def test_numpy_arrays_are_latents_and_targets():
    obj, twin = objective(), objective()
    for i in range(4):
        z, y = batch(i)
        value = obj(np.asfortranarray(z.numpy()), {name: t.numpy()[::-1][::-1] for name, t in y.items()})
        torch.testing.assert_close(value, twin(z, y))  # sums in the order of another layout
    z, y = batch(5)
    space = obj.space
    assert torch.equal(space.decode(z.numpy())["a"], space.decode(z)["a"])
    edited = space.edit(z.numpy(), {"b.x": y["b.x"].numpy()})
    assert torch.equal(edited, space.edit(z, {"b.x": y["b.x"]}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"latent_dim": -3}, "latent_dim must be at least 1, got -3"),
        ({"latent_dim": "8"}, "latent_dim must be a whole number, got '8'"),
        ({"latent_dim": 8.5}, r"latent_dim must be a whole number, got 8\.5"),
        ({"schedule": 5}, r"schedule must be a schedule such as .*EverySteps\(100\).* got 5"),
        ({"schedule": EverySteps}, "schedule must be a schedule"),
        ({"latent_dim": 1}, r"k must be at most D = 1, got \{'a': 2\}"),
        ({"latent_dim": 2, "orthogonal": True}, "sum of k = 3 at most D = 2"),
        ({"memory": 7}, "memory must be at least 8 samples, got 7"),
        ({"memory": 0.96}, r"memory must be a whole number, got 0\.96"),
        ({"strength": "1"}, "strength .* must be a number of at least 0, got '1'"),
        ({"strength": float("inf")}, "strength .* must be a number"),
        ({"ridge": "0"}, "ridge must be a number"),
        ({"separation": "1", "orthogonal": True}, "separation must be at least 0"),
        ({"weights": {"alignment": float("nan")}}, "weight of 'alignment' must be a number"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(options, message):
    with pytest.raises((OptionError, DimensionError), match=message):
        SpaceObjective(**{"k": K, "latent_dim": D} | options)


@pytest.mark.parametrize(
    "bad", [[[1.0] * D] * B, "z", None, torch.randn(B, D).to_sparse()], ids=["list", "text", "none", "sparse"]
)
def test_what_is_no_dense_tensor_is_named(bad):
    z, y = batch(0)
    for call in (objective(), objective().solve, lambda *args: objective().total_loss(z.sum(), *args)):
        with pytest.raises(DtypeError, match="Latents z must be"):
            call(bad, y)
        with pytest.raises(DtypeError, match="quantity 'a' must be"):
            call(z, y | {"a": bad})


def test_an_offset_of_quantities_in_float64_costs_no_digits():
    """Latents in float32, as of a network, and quantities that float32 holds to 8 only."""
    losses = []
    for offset in (0.0, 1e8):
        obj = objective()
        for i in range(5):
            z, y = batch(i, dtype=torch.float64)
            y = {"a": y["a"] / 1e3 + offset, "b.x": y["b.x"] * 1e3 + offset}
            loss = obj(z.float().requires_grad_(), y)
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_checkpoint_of_activations_and_a_solve_before_backward():
    """The first reads what was saved once; the second changes the bases that the loss was computed with."""
    obj = objective()
    for i in range(4):
        obj(*batch(i))
    obj.eval()
    z, y = batch(5)
    z.requires_grad_()
    (expected,) = torch.autograd.grad(obj(z, y), z)
    through = torch.utils.checkpoint.checkpoint(lambda z: obj(z, y), z, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(through, z)[0], expected)
    loss = obj(z, y)
    obj.solve(*batch(6, 100))
    torch.testing.assert_close(torch.autograd.grad(loss, z)[0], expected)


def test_derivatives_under_autocast_keep_their_precision():
    obj = objective(weights=dict.fromkeys(("alignment", "disentanglement", "isotropy"), 1.0))
    for i in range(4):
        obj(*batch(i))
    obj.eval()
    z, y = batch(5, dtype=torch.float32)
    z.requires_grad_()
    (expected,) = torch.autograd.grad(obj(z, y), z, create_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (gradient,) = torch.autograd.grad(obj(z, y), z, create_graph=True)
    torch.testing.assert_close(gradient, expected)


def test_a_state_of_a_larger_memory_goes_on_in_a_smaller_one():
    large, small = objective(memory=8000), objective(memory=80)
    large(*batch(0, 900))
    small.load_state_dict(large.state_dict())
    small(*batch(1, 10))
    assert 0.8 * 80 <= float(small.moments.count) <= 80
    torch.testing.assert_close(small.memory, 80)
    assert objective(memory=15).memory == 8


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        ({"latent_dim": 7}, DimensionError, "latent_dim = 7"),
        ({"orthogonal": True}, OptionError, "covariance of the targets"),
        ({"shapes": {"a": (1, 3), "b.x": ()}}, ShapeError, "targets of the shapes"),
    ],
)
def test_a_state_of_other_options_is_refused_by_name(other, error, message):
    obj = objective()
    obj(*batch(0))
    with pytest.raises(error, match=message):
        SpaceObjective(**{"k": K, "latent_dim": D} | other).load_state_dict(obj.state_dict())


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"shapes": {}}'])
def test_a_damaged_state_is_refused_by_name(damage):
    obj = objective()
    state = obj.state_dict() | {"_extra_state": torch.tensor(list(damage), dtype=torch.uint8)}
    with pytest.raises(FileFormatError, match="The state to load"):
        objective().load_state_dict(state)


@pytest.mark.parametrize("entry", ["moments.scatter_zz", "solution.bases", "balance.log_ratio"])
@pytest.mark.parametrize("damage", ["NaN", "shape", "missing"])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a model"])
def test_a_refused_state_changes_nothing(entry, damage, inside):
    if damage == "missing" and inside:
        pytest.skip("torch reports it after loading the rest of the model")
    trained, obj = objective(), objective()
    for i in range(3):
        trained(*batch(i))
    obj(*batch(7))
    before = copy.deepcopy(obj.state_dict())
    state = trained.state_dict()
    if damage == "missing":
        del state[entry]
    else:
        state[entry] = state[entry] * float("nan") if damage == "NaN" else torch.ones(7, 7, 7)
    error = {"NaN": NonFiniteError, "shape": ShapeError, "missing": FileFormatError}[damage]
    model = torch.nn.ModuleDict({"objective": obj}) if inside else obj
    state = {f"objective.{name}": t for name, t in state.items()} if inside else state
    with pytest.raises(error, match=r"The entry|entries"):
        model.load_state_dict(state)
    after = obj.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(t, after[name]) for name, t in before.items())
    assert obj.solve_steps == []
    obj.load_state_dict(trained.state_dict())
    assert obj.solve_steps == [3]


def test_a_batch_larger_than_the_memory_is_told_once(caplog):
    obj = objective(memory=80)
    obj(*batch(0, 80))
    assert not caplog.records
    for i in range(2):
        obj(*batch(i, 100))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("isospan", "WARNING")
    assert "A batch of 100 samples is larger than memory = 80" in record.getMessage()
    assert "memory=104" in record.getMessage()


@pytest.mark.parametrize("bad", [None, 1.0, 1j, torch.ones(3), "x"])
def test_a_task_loss_that_is_none_changes_nothing(bad):
    obj = objective()
    before = copy.deepcopy(obj.state_dict())
    with pytest.raises((DtypeError, ShapeError), match="task_loss must be"):
        obj.total_loss(bad, *batch(0))
    assert all(torch.equal(t, obj.state_dict()[name]) for name, t in before.items())


def test_a_reference_set_of_inference_starts_a_training():
    obj, (z, y) = objective(), batch(0)
    with torch.inference_mode():
        obj.solve(z, y)
    z.requires_grad_()
    obj.total_loss(z.square().mean(), z, y).backward()
    assert int(obj.balance.measured) == 1


def test_training_goes_on_after_a_validation_in_inference_mode():
    def loss(obj, i):
        z, y = batch(i)
        return obj.total_loss(z.requires_grad_().square().mean(), z, y)

    obj, validated = objective(memory=8 * B), objective(memory=8 * B)
    for i in range(13):  # the memory is filled and a period begun, so nothing is fitted to the next batch
        loss(obj, i).backward()
    validated.load_state_dict(obj.state_dict())
    validated.eval()
    with torch.inference_mode():
        loss(validated, 20)
    validated.train()
    for i in range(13, 16):
        losses = [loss(obj, i), loss(validated, i)]
        assert torch.equal(*losses)
        assert int(validated.recent.count) == (0 if i == 14 else B)
        for each in losses:
            each.backward()


def test_latents_that_are_parameters_collect_no_hooks():
    obj, (z, y) = objective(schedule=EverySteps(1)), batch(0)
    z = torch.nn.Parameter(z)
    for _ in range(5):
        obj.total_loss(z.square().mean(), z, y).backward()
    assert int(obj.balance.measured) == 5
    assert not z._backward_hooks


def test_functional_gradients_of_the_total_loss():
    obj, (z, y) = objective(schedule=EverySteps(1)), batch(0)
    obj(z, y)
    obj.eval()
    total = lambda z: obj.total_loss(z.square().mean(), z, y)  # noqa: E731
    expected = torch.autograd.functional.jacobian(total, z)
    torch.testing.assert_close(torch.func.grad(total)(z), expected)
    obj.train()
    assert torch.func.grad(total)(z).isfinite().all()
    assert int(obj.balance.measured) == 0  # a gradient of torch.func trains nothing


def test_few_samples_in_training_do_not_warn():
    """Warnings are errors here: three samples have a rank of two, and k is 2 and 1."""
    obj = SpaceObjective({"a": 3}, D, schedule=EverySteps(1))
    z, y = batch(0, 3)
    obj(z, {"a": y["a"]})
    assert obj.solved


def filled(n=60, **options):
    """An objective whose memory is full, a few samples after the last fit of its decoders."""
    obj = objective(schedule=EverySteps(10**6), **options)
    obj.solve(*batch(99, MEMORY))
    for i in range(n):
        obj(*batch(i, 7))
    return obj


def test_samples_that_wait_for_the_end_of_a_period_are_read():
    """The space is that of the weights by brute force; the running moments and the loss are of the last period."""
    obj, twin = filled(), objective(schedule=EverySteps(10**6))
    assert int(obj.recent.count) == 14  # the batch of the samples 400 to 406 was the last to be added
    parts = [batch(99, MEMORY), *(batch(i, 7) for i in range(60))]
    z = torch.cat([z for z, _ in parts])
    number = torch.arange(len(z)) - MEMORY
    block = number.clamp(min=-1) // (MEMORY // 8)
    w = 0.875 ** (block[-1] - block).double()
    mean = (w[:, None] * z).sum(0) / w.sum()
    before = copy.deepcopy(obj.state_dict())
    torch.testing.assert_close(obj.space.z_mean, mean)
    torch.testing.assert_close(obj.space.cov_zz, (w[:, None] * (z - mean)).T @ (z - mean) / w.sum())
    assert all(torch.equal(t, before[name]) for name, t in obj.state_dict().items())
    obj.end_epoch()
    torch.testing.assert_close(obj.moments.z_mean, mean)
    assert float(obj.moments.count) == pytest.approx(float(w.sum()))
    twin.load_state_dict(before)
    twin.end_epoch()
    assert all(torch.equal(t, obj.state_dict()[name]) for name, t in twin.state_dict().items())


def test_decoders_are_refitted_once_a_period_when_the_memory_is_full():
    obj, changes, fitted = filled(0), [], None
    for i in range(40):
        obj(*batch(i, 7))
        changes.append(fitted is None or not torch.equal(obj.solution.A["a"], fitted))
        fitted = obj.solution.A["a"].clone()
    # where 7 samples reach beyond a multiple of a quarter of the memory
    expected = [i for i in range(40) if 7 * i % 50 == 0 or 7 * i % 50 + 7 > 50]
    assert [i for i, changed in enumerate(changes) if changed] == expected


@pytest.mark.parametrize("decoders", ["refit", "frozen"])
def test_the_loss_between_two_fits_is_that_of_the_last(decoders):
    obj = filled(decoders=decoders)
    taken = int(obj.recent.count) // 7
    at_fit = filled(60 - taken, decoders=decoders)
    z, y = batch(70)
    assert float(obj.eval()(z, y)) == float(at_fit.eval()(z, y))
    mean, scale, dims = at_fit.moments.y_mean, target_scales(at_fit.moments), len(K)
    read = {n: (z - at_fit.moments.z_mean) @ obj.solution.W[n].mT @ obj.solution.A[n] for n in K}
    errors = [(read[n] - (y[n].reshape(B, -1) - mean[n]) / scale[n]).square().mean() for n in K]
    assert float(obj(z, y)) == pytest.approx(float(sum(errors)) / dims, rel=1e-9)


def test_resume_within_a_period_is_bit_for_bit():
    first, second = filled(), objective(schedule=EverySteps(10**6))
    assert int(first.recent.count)
    second.load_state_dict(first.state_dict())
    others = pickle.loads(pickle.dumps(first)), copy.deepcopy(first)
    for i in range(30):
        z, y = batch(100 + i, 7)
        values = [float(obj.total_loss(z.square().mean(), z, y)) for obj in (first, second, *others)]
        assert len(set(values)) == 1
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("sizes", [[1] * 7, [4, 3]])
def test_moments_of_a_full_memory_do_not_depend_on_how_the_stream_is_cut(sizes):
    whole, cut = filled(), filled(0)
    for i in range(60):
        z, y = batch(i, 7)
        for rows in torch.arange(7).split(sizes):
            cut(z[rows], {name: t[rows] for name, t in y.items()})
    for obj in (whole, cut):
        obj.end_epoch()
    for (name, expected), value in zip(whole.moments.named_buffers(), cut.moments.buffers(), strict=True):
        # rounding of sums in another order
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()), msg=name)


def test_an_offset_of_latents_costs_no_digits():
    """In float32 the offset of 1e4 leaves latents with a step of 1e-3, which the data here are multiples of."""
    losses = []
    for offset in (0.0, 1e4):
        obj = objective()
        for i in range(5):
            z, y = batch(i)
            loss = obj(((z * 256).round() / 256 + offset).float().requires_grad_(), y)
        losses.append(float(loss.detach()))
    # float32 products
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
