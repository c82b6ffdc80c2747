"""The matrix exponential, against torch's in double precision."""

import pytest
import torch

from isospan.linalg import matrix_exp

# torch's derivatives along directions, and its tracing of a function with its own gradient, use what it deprecates
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]


@pytest.fixture
def X():
    return torch.randn(2, 5, 5, dtype=torch.float64)


def test_value_is_torch_s(X):
    assert torch.equal(matrix_exp(X), torch.linalg.matrix_exp(X))


@pytest.mark.parametrize("size", [1e-12, 1.0, 65536.0, 1e12])
def test_gradient_keeps_its_digits_at_any_size(X, size):
    """Where a loss is scaled by 65536, as for half precision, torch's own gradient is wrong by a hundredth."""
    G = torch.randn_like(X)
    X.requires_grad_()
    (expected,) = torch.autograd.grad(torch.linalg.matrix_exp(X), X, G)
    Y = X.detach().float().requires_grad_()
    (gradient,) = torch.autograd.grad(matrix_exp(Y), Y, size * G.float())
    torch.testing.assert_close(gradient / size, expected.float(), rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_derivatives_are_those_of_differences(X):
    X.requires_grad_()
    assert torch.autograd.gradcheck(matrix_exp, X, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(matrix_exp, X[0, :3, :3])


def test_hessian_is_torch_s(X):
    small = X[0, :3, :3]
    ours, theirs = (
        torch.func.hessian(lambda X, f=f: f(X).square().sum())(small) for f in (matrix_exp, torch.matrix_exp)
    )
    torch.testing.assert_close(ours, theirs)


def test_a_gradient_of_zeros_is_zero(X):
    X.requires_grad_()
    (0 * matrix_exp(X)).sum().backward()
    assert torch.equal(X.grad, torch.zeros_like(X))


def test_batches_are_of_any_shape_and_may_be_empty(X):
    for batch in ((), (0,), (2, 1)):
        Y = torch.zeros(*batch, 5, 5, requires_grad=True)
        matrix_exp(Y).sum().backward()
        torch.testing.assert_close(Y.grad, torch.ones_like(Y))


def test_vmap_and_compilation_give_the_same(X):
    def gradient(X):
        return torch.func.grad(lambda X: matrix_exp(X).square().sum())(X)

    expected = torch.stack([gradient(x) for x in X])
    torch.testing.assert_close(torch.func.vmap(gradient)(X), expected)
    X.requires_grad_()
    compiled = torch.compile(matrix_exp, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(X).square().sum(), X)[0], expected)
