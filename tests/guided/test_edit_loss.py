"""EditLoss: its value from the closed form and by hand, its gradients, and bad input."""

import pytest
import torch

from isospan.errors import DegenerateDataError, NameMismatchError, ShapeError
from isospan.guided import EditLoss
from isospan.subspaces import solve_subspaces

N, D = 60, 5


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(N, D, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 1, 1, 1, 0.5])
    y = {"sum": z.sum(1), "pair": 40 * torch.stack([z[:, 0] - z[:, 3], z[:, 1]], 1).reshape(N, 1, 2)}
    return z, y, solve_subspaces(z, y, k={"sum": 1, "pair": 2}, ridge=0.0)


def quantities(x):
    return {"sum": x.sum(1), "pair": 40 * torch.stack([x[:, 0] - x[:, 3], x[:, 1]], 1).reshape(-1, 1, 2), "other": x}


def by_hand(space, z, y, decoder, *, first, shift):
    """The formula, sample by sample."""
    total, names = 0.0, ["sum", "pair"]
    for i in range(len(z)):
        name = names[(i + first) % 2]
        target = y[name][(i - shift) % len(z)]
        x = decoder(space.editor([name])(z[i : i + 1], {name: target}))
        error = (quantities(x)[name][0] - target) / space.y_scale[name]
        total = total + error.square().mean()
    return total / len(z)


def drawn(seed, n):
    generator = torch.Generator().manual_seed(seed)
    return int(torch.randint(2, (), generator=generator)), int(torch.randint(n - 1, (), generator=generator)) + 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [2, 3, 16])
def test_equals_the_formula_sample_by_sample(data, seed, n):
    z, y, space = data
    z, y = z[:n], {name: value[:n] for name, value in y.items()}
    decoder = torch.nn.Linear(D, D, dtype=torch.float64)
    loss = EditLoss(space)(z, y, decoder, quantities, generator=torch.Generator().manual_seed(seed))
    first, shift = drawn(seed, n)
    torch.testing.assert_close(loss, by_hand(space, z, y, decoder, first=first, shift=shift))


def test_is_zero_for_a_decoder_that_follows_and_the_asked_change_for_one_that_ignores(data):
    z, y, space = data
    followed = EditLoss(space)(z, y, lambda z: z, quantities)
    ignored = EditLoss(space, ["sum"])(z, y, lambda _: z, quantities, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    torch.randint(1, (), generator=generator)
    asked = (y["sum"].roll(int(torch.randint(N - 1, (), generator=generator)) + 1) - y["sum"]) / space.y_scale["sum"]
    assert float(followed) < 1e-20
    torch.testing.assert_close(ignored, asked.square().mean())


def test_gradients_reach_decoder_and_encoder(data):
    z, y, space = data
    loss = EditLoss(space)

    def value(z, weight):
        return loss(z, y, lambda z: z @ weight, quantities, generator=torch.Generator().manual_seed(0))

    weight = torch.randn(D, D, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    assert torch.autograd.gradcheck(value, (z.clone().requires_grad_(), weight))


def test_training_a_decoder_with_it_makes_edits_hold(data):
    """A decoder of random weights learns to follow the edits."""
    z, y, space = data
    decoder = torch.nn.Linear(D, D, dtype=torch.float64)
    optimizer, loss = torch.optim.LBFGS(decoder.parameters(), max_iter=100), EditLoss(space)

    def closure():
        optimizer.zero_grad()
        value = loss(z, y, decoder, quantities, generator=torch.Generator().manual_seed(0))
        value.backward()
        return value

    before = float(closure().detach())
    optimizer.step(closure)
    assert before > 0.5
    assert float(closure().detach()) < 1e-6


def test_every_quantity_and_pairing_is_drawn_alike(data):
    z, y, space = data
    z, y = z[:3], {name: value[:3] for name, value in y.items()}
    seen = {float(EditLoss(space)(z, y, lambda _, z=z: z, quantities)) for _ in range(60)}
    assert len({round(value, 9) for value in seen}) == 4  # two first quantities, two shifts


def test_refuses_what_does_not_fit(data):
    z, y, space = data
    loss = EditLoss(space)
    with pytest.raises(NameMismatchError, match=r"y must name all of \['sum', 'pair'\]"):
        loss(z, {"sum": y["sum"]}, lambda z: z, quantities)
    with pytest.raises(NameMismatchError, match="output must name"):
        loss(z, y, lambda z: z, lambda x: {"sum": x.sum(1)})
    with pytest.raises(DegenerateDataError, match="2 samples"):
        loss(z[:1], {name: value[:1] for name, value in y.items()}, lambda z: z, quantities)
    with pytest.raises(ShapeError):
        loss(z, y, lambda z: z[1:], quantities)
    with pytest.raises(NameMismatchError):
        EditLoss(space, ["else"])


def test_quantities_of_other_shapes_are_refused_instead_of_broadcast(data):
    z, y, space = data
    loss = EditLoss(space)
    with pytest.raises(ShapeError, match=r"'pair' must have shape \(60, 1, 2\), as in the space, got \(60, 1\)"):
        loss(z, y, lambda z: z, lambda x: quantities(x) | {"pair": x[:, :1]})
    with pytest.raises(ShapeError, match=r"y: 'sum' must have shape \(60,\)"):
        loss(z, y | {"sum": z}, lambda z: z, quantities)


def test_takes_the_function_of_each_quantity_by_name(data):
    z, y, space = data
    functions = {name: lambda x, name=name: quantities(x)[name] for name in y}
    by_name, together = (
        EditLoss(space)(z, y, lambda z: 2 * z, given, generator=torch.Generator().manual_seed(0))
        for given in (functions, quantities)
    )
    torch.testing.assert_close(by_name, together)
