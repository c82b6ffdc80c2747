"""L-BFGS for many functions at once, on functions with known minima."""

import torch

from isospan.subspaces._lbfgs import minimise


def rosenbrock(x):
    """The valley of Rosenbrock, with another depth for each function."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        depth = torch.linspace(1, 50, len(x), dtype=x.dtype)
        value = (1 - x[:, 0]).square() + depth * (x[:, 1] - x[:, 0].square()).square()
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def test_valleys_of_several_depths():
    x = torch.tensor([[-1.2, 1.0]], dtype=torch.float64).expand(6, 2)
    least = minimise(rosenbrock, x, torch.zeros_like(x), calls=120)
    torch.testing.assert_close(least.x, torch.ones_like(x), atol=1e-3, rtol=0)
    assert not least.failed.any()


def test_a_first_step_to_the_minimum_is_taken_and_one_uphill_is_not():
    bowl = lambda x: (x.square().sum(1) / 2, x)  # noqa: E731
    x = torch.ones(2, 3, dtype=torch.float64)
    calls = []
    counted = lambda x: calls.append(0) or bowl(x)  # noqa: E731
    least = minimise(counted, x, torch.tensor([[-1.0], [1.0]], dtype=torch.float64) * x, calls=2)
    assert torch.equal(least.x[0], torch.zeros(3).double())
    assert float(bowl(least.x)[0][1]) <= float(bowl(x)[0][1])
    assert len(calls) == 2


def test_no_value_grows_and_one_call_changes_nothing():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    previous = rosenbrock(x)[0]
    assert torch.equal(minimise(rosenbrock, x, -x, calls=1).x, x)
    for calls in range(2, 20):
        value = rosenbrock(minimise(rosenbrock, x, -x, calls=calls).x)[0]
        assert (value <= previous).all()
        previous = value


def test_a_function_without_a_finite_start_takes_its_first_finite_step():
    def f(x):
        value, gradient = x.square().sum(1), 2 * x
        outside = x[:, 0] > 1.5
        return value.masked_fill(outside, torch.nan), gradient.masked_fill(outside[:, None], torch.nan)

    x = torch.tensor([[2.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    least = minimise(f, x, -0.5 * x, calls=20)
    torch.testing.assert_close(least.x, torch.zeros_like(x), atol=1e-6, rtol=0)
    assert least.failed.tolist() == [True, False]
