"""The stability loss against its formulas, and what its two metrics depend on."""

import pytest
import torch

from isospan.errors import DegenerateDataError, DtypeError, NameMismatchError, OptionError, ShapeError
from isospan.guided.losses import stability_loss
from isospan.linalg import principal_angles


def test_frobenius(batch):
    _, W, _, _, W_prev = batch
    expected = sum(((W[name] - W_prev[name]) ** 2).sum() for name in W) / len(W)
    torch.testing.assert_close(stability_loss(W, W_prev), expected, rtol=1e-13, atol=0)  # one sum, another order


def test_projector(batch):
    _, W, _, _, W_prev = batch
    expected = sum(0.5 * ((W[n].T @ W[n] - W_prev[n].T @ W_prev[n]) ** 2).sum() for n in W) / len(W)
    value = stability_loss(W, W_prev, metric="projector")
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)  # rounding
    sines = sum(principal_angles(W[n], W_prev[n]).sin().square().sum() for n in W) / len(W)
    torch.testing.assert_close(value, sines, rtol=1e-12, atol=0)


@pytest.mark.parametrize("metric", ["frobenius", "projector"])
def test_gradient(batch, metric):
    _, W, _, _, W_prev = batch
    bases = [W_q.clone().requires_grad_() for W_q in W.values()]

    def loss(*bases):
        return stability_loss(dict(zip(W, bases, strict=True)), W_prev, metric=metric)

    assert torch.autograd.gradcheck(loss, bases)
    loss(*bases).backward()
    assert all(basis.grad.any() for basis in bases)


def test_projector_is_the_same_for_every_basis(batch):
    _, W, _, _, W_prev = batch
    rotated = {n: torch.linalg.qr(torch.randn(len(w), len(w)).double())[0] @ w for n, w in W.items()}
    values = [stability_loss(w, W_prev, metric="projector") for w in (W, rotated)]
    torch.testing.assert_close(*values, rtol=1e-12, atol=0)  # rounding
    assert stability_loss(W, rotated, metric="projector") < 1e-28
    assert stability_loss(W, rotated) > 0


def test_without_previous_it_is_zero():
    W = torch.eye(3, requires_grad=True)
    loss = stability_loss({"a": W}, None)
    loss.backward()
    assert loss == 0
    assert not W.grad.any()


def test_bad_input():
    W = {"a": torch.eye(3)[:2]}
    with pytest.raises(NameMismatchError, match="W_prev must name the quantities of W"):
        stability_loss(W, {"b": W["a"]})
    with pytest.raises(ShapeError, match=r"W_prev of quantity 'a' must have the shape of W \(2, 3\), got \(3, 3\)"):
        stability_loss(W, {"a": torch.eye(3)})
    with pytest.raises(ShapeError, match=r"W of quantity 'a' must have shape \(k, D\)"):
        stability_loss({"a": torch.ones(3)}, None)
    with pytest.raises(DegenerateDataError, match="W names no quantity"):
        stability_loss({}, {})
    with pytest.raises(DtypeError, match="floating point"):
        stability_loss({"a": torch.eye(3).long()}, None)
    with pytest.raises(OptionError, match="Invalid stability metric: 'angle'"):
        stability_loss(W, W, metric="angle")
