"""Guidance by partly labelled data, weighted samples and class labels."""

import copy

import pytest
import torch

from isospan.errors import DtypeError, NonFiniteError, OptionError
from isospan.guided import EverySteps, SpaceObjective

D, B, MEMORY, C = 6, 30, 80, 3
OPTIONS = {"schedule": EverySteps(1), "memory": MEMORY}


def stream(seed, n=9):
    """Batches of latents and quantities; the samples drift."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    M = normal(D, D)
    for step in range(n):
        z = normal(B, D) @ M + 5 + 0.3 * step
        yield z, {"a": (z[:, :2] + normal(B, 2)), "b": z[:, 3] ** 2, "label": z[:, :C].argmax(1)}


def partly(y, seed, share=0.3):
    """Quantities of which a share of the samples has each."""
    g = torch.Generator().manual_seed(seed)
    lacks = {name: torch.rand(B, generator=g) > share for name in y}
    y = {name: t.clone() for name, t in y.items()}
    for name in y:
        y[name][lacks[name]] = -1 if name == "label" else torch.nan
    return y


def has(y, name):
    return y[name] >= 0 if name == "label" else ~y[name].reshape(B, -1).isnan().any(1)


def loss_and_gradient(objective, z, y, **options):
    z = z.clone().requires_grad_()
    loss = objective(z, y, **options)
    return loss.detach(), torch.autograd.grad(loss, z)[0]


def close(got, expected, tolerance=1e-10):
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())))


def close_moments(moments, expected):
    for name, buffer in expected.named_buffers():
        close(dict(moments.named_buffers())[name], buffer)


@pytest.mark.parametrize("name", ["a", "b", "label"])
def test_guidance_is_that_of_the_labelled_samples_alone(name):
    """Also without a label in a batch, and over blocks of the memory: each quantity has its own clock."""
    classes = {"label": C} if name == "label" else None
    skips = SpaceObjective({name: 1}, D, missing="skip", classes=classes, **OPTIONS)
    alone = SpaceObjective({name: 1}, D, classes=classes, **OPTIONS)
    for step, (z, y) in enumerate(stream(0, n=20)):
        y = partly({name: y[name]}, step, share=0.0 if step == 4 else 0.5)
        rows = has(y, name)
        loss, gradient = loss_and_gradient(skips, z, y)
        if step == 4:
            assert loss == 0
            assert not gradient.any()
            continue
        expected, own = loss_and_gradient(alone, z[rows], {name: y[name][rows]})
        close(loss, expected)
        close(gradient[rows], own)
        assert not gradient[~rows].any()
        close_moments(skips.moments.labelled(name), alone.moments)
    z_new = z + 1
    close(skips.space.decode(z_new)[name], alone.space.decode(z_new)[name], 1e-9)


def test_the_loss_is_the_mean_over_quantities_whatever_samples_have_them():
    both = SpaceObjective({"a": 2, "b": 1}, D, missing="skip", **OPTIONS)
    own = {name: SpaceObjective({name: k}, D, missing="skip", **OPTIONS) for name, k in both.k.items()}
    for step, (z, y) in enumerate(stream(1)):
        y = partly({"a": y["a"], "b": y["b"]}, step)
        loss, gradient = loss_and_gradient(both, z, y)
        parts = [loss_and_gradient(objective, z, {name: y[name]}) for name, objective in own.items()]
        close(loss, (parts[0][0] + parts[1][0]) / 2)
        close(gradient, (parts[0][1] + parts[1][1]) / 2)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_labels_of_all_samples_are_usual_data(orthogonal):
    k = {"a": 2, "b": 1}
    skips, usual = (SpaceObjective(k, D, missing=m, orthogonal=orthogonal, **OPTIONS) for m in ("skip", "raise"))
    for z, y in stream(2):
        y = {"a": y["a"], "b": y["b"]}
        loss, gradient = loss_and_gradient(skips, z, y)
        expected, own = loss_and_gradient(usual, z, y)
        close(loss, expected, 1e-7 if orthogonal else 1e-10)  # the ascent ends at a gradient that is small, not zero
        close(gradient, own, 1e-6 if orthogonal else 1e-10)
        close(skips.moments.scatter_zz, usual.moments.scatter_zz)
        close(skips.moments.labelled("a").scatter_zz, usual.moments.scatter_zz)


@pytest.mark.parametrize("missing", ["raise", "skip"])
def test_integer_weights_repeat_samples(missing):
    """A sample is divided where a block of the memory ends, so its copies are too."""
    weighted, repeated = (SpaceObjective({"a": 2, "b": 1}, D, missing=missing, **OPTIONS) for _ in range(2))
    for step, (z, y) in enumerate(stream(3)):
        y = {"a": y["a"], "b": y["b"]} if missing == "raise" else partly({"a": y["a"], "b": y["b"]}, step)
        weights = (torch.arange(B) + step) % 4
        rows = torch.arange(B).repeat_interleave(weights)
        z.requires_grad_()
        loss = weighted(z, y, weights=weights)
        expected = repeated(z[rows], {name: t[rows] for name, t in y.items()})
        close(loss.detach(), expected.detach())
        close(*(torch.autograd.grad(value, z)[0] for value in (loss, expected)))
        close_moments(weighted.moments, repeated.moments)
        close(weighted.in_period, repeated.in_period)


def test_fractions_of_weights_and_batches_without_weights_are_one_stream():
    """Samples of weight 1 after a block that ended within a sample."""
    mixed, split = (SpaceObjective({"a": 2}, D, **OPTIONS) for _ in range(2))
    for step, (z, y) in enumerate(stream(4)):
        y = {"a": y["a"]}
        weights = torch.full((B,), 0.3 if step % 2 else 1.0, dtype=torch.float64)
        mixed(z, y, weights=weights if step % 2 else None)
        for part in (slice(0, 11), slice(11, B)):
            split(z[part], {"a": y["a"][part]}, weights=weights[part])
        close_moments(mixed.moments, split.moments)
        assert mixed.in_period.dtype == torch.float64


def test_what_has_no_weight_is_not_looked_at():
    objective = SpaceObjective({"a": 2}, D, **OPTIONS)
    for z, y in stream(5, n=3):
        z[0], y["a"][1] = torch.nan, torch.nan
        weights = torch.ones(B)
        weights[:2] = 0
        loss, gradient = loss_and_gradient(objective, z, {"a": y["a"]}, weights=weights)
        assert bool(loss > 0)
        assert not gradient[:2].any()
        assert bool(gradient.isfinite().all())


def test_class_labels_are_the_indicators_of_their_classes():
    labels = SpaceObjective({"label": 5}, D, classes={"label": C}, **OPTIONS)
    hot = SpaceObjective({"label": C - 1}, D, **OPTIONS)
    assert labels.k == {"label": C - 1}
    for z, y in stream(6):
        close(labels(z, {"label": y["label"]}), hot(z, {"label": torch.eye(C).double()[y["label"]]}))
    assert labels.space.classes == {"label": C}
    assert labels.space.decode(z)["label"].shape == (B, C)
    edited = labels.space.edit(z, {"label": 2})
    assert bool((labels.space.decode(edited)["label"].argmax(1) == 2).all())


@pytest.mark.parametrize("autocast", [False, True])
def test_second_derivatives(autocast):
    objective = SpaceObjective({"a": 2, "b": 1}, D, missing="skip", **OPTIONS)
    for step, (z, y) in enumerate(stream(7, n=3)):
        y = partly({"a": y["a"], "b": y["b"]}, step)
        objective(z, y)
    objective.eval()
    z = z[:6].clone().requires_grad_()
    y = {name: t[:6] for name, t in y.items()}
    with torch.autocast("cpu", enabled=autocast):
        assert torch.autograd.gradcheck(lambda z: objective(z, y), (z,))
        assert torch.autograd.gradgradcheck(lambda z: objective(z, y), (z,))


@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_resumed_state_continues_bit_for_bit(orthogonal):
    make = lambda: SpaceObjective(  # noqa: E731
        {"a": 2, "label": 2}, D, missing="skip", classes={"label": C}, orthogonal=orthogonal, **OPTIONS
    )
    objective = make()
    for step, (z, y) in enumerate(stream(8)):
        y = partly({"a": y["a"], "label": y["label"]}, step)
        if step == 5:
            resumed = make()
            resumed.load_state_dict(copy.deepcopy(objective.state_dict()))
        if step >= 5:
            assert torch.equal(objective(z, y), resumed(z, y))
        else:
            objective(z, y)
    assert all(torch.equal(a, b) for a, b in zip(objective.buffers(), resumed.buffers(), strict=True))


def test_the_first_solve_waits_for_labels_of_every_quantity():
    objective = SpaceObjective({"a": 2, "b": 1}, D, missing="skip", **OPTIONS)
    for z, y in stream(9, n=4):
        loss = objective(z, {"a": y["a"], "b": torch.full((B,), torch.nan)})
        assert loss == 0
    assert not objective.solved
    objective(z, {"a": y["a"], "b": y["b"]})
    assert objective.solved


def test_a_tenth_of_labels_guides_an_encoder():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=g)
    label = (x[:, :4] @ torch.randn(4, C, generator=g)).argmax(1)
    given = label.where(torch.arange(600) % 10 == 0, -1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, D), torch.nn.Tanh(), torch.nn.Linear(D, D))
    decoder = torch.nn.Linear(D, 8)
    objective = SpaceObjective({"label": 2}, D, missing="skip", classes={"label": C})
    optimizer = torch.optim.Adam([*model.parameters(), *decoder.parameters()], lr=1e-2)
    for _ in range(40):
        for rows in torch.randperm(600, generator=g).split(60):
            z = model(x[rows])
            loss = objective.total_loss((decoder(z) - x[rows]).square().mean(), z, {"label": given[rows]})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        found = objective.space.decode(model(x))["label"].argmax(1)
    majority = float(label.bincount().max()) / len(label)
    assert float((found == label)[given < 0].double().mean()) > majority + 0.2  # 0.69 after 0.39


def test_the_other_terms_take_partly_labelled_data_but_no_weights():
    objective = SpaceObjective.plain({"a": 2, "b": 1}, D, missing="skip", **OPTIONS)
    for step, (z, y) in enumerate(stream(10, n=4)):
        y = partly({"a": y["a"], "b": y["b"]}, step)
        loss, gradient = loss_and_gradient(objective, z, y)
    assert bool(loss > 0)
    assert bool(gradient.isfinite().all())
    before = copy.deepcopy(objective.state_dict())
    with pytest.raises(OptionError, match="Weights of samples concern the alignment alone"):
        objective(z, y, weights=torch.ones(B))
    assert all(torch.equal(t, before[name]) for name, t in objective.state_dict().items())


def test_what_is_refused_changes_nothing():
    z, y = next(stream(11))
    usual = SpaceObjective({"a": 2}, D, **OPTIONS)
    with pytest.raises(NonFiniteError, match="Targets of quantity 'a' must be finite"):
        usual(z, partly({"a": y["a"]}, 0))
    with pytest.raises(DtypeError, match=r"classes=\{'label': C\}"):
        SpaceObjective({"label": 2}, D, **OPTIONS)(z, {"label": y["label"]})
    labels = SpaceObjective({"label": 2}, D, classes={"label": C}, **OPTIONS)
    with pytest.raises(OptionError, match="must be 0 to 2, for 3 classes, got 1 to 3"):
        labels(z, {"label": y["label"] + 1})
    with pytest.raises(OptionError, match="weights must be at least 0"):
        usual(z, {"a": y["a"]}, weights=-torch.ones(B))
    assert usual.moments is None
    assert labels.moments is None
