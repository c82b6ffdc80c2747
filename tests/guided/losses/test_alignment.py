"""The alignment loss against its formula, its gradients against finite differences."""

import pytest
import torch

from isospan.errors import (
    DegenerateDataError,
    DeviceMismatchError,
    DtypeError,
    NameMismatchError,
    ShapeError,
)
from isospan.guided.losses import alignment_loss


def naive(Z, W, A, Y):
    errors = []
    for name, W_q in W.items():
        y = Y[name].reshape(len(Z), -1)
        errors.append((((Z - Z.mean(0)) @ W_q.T @ A[name] - (y - y.mean(0))) ** 2).mean())
    return sum(errors) / len(errors)


def test_value(batch):
    Z, W, A, Y, _ = batch
    # two float64 evaluations of the same sums
    torch.testing.assert_close(alignment_loss(Z, W, A, Y), naive(Z, W, A, Y), rtol=1e-12, atol=0)


def test_gradients_in_every_argument(batch):
    Z, W, A, Y, _ = batch
    names, Q = list(W), len(W)

    def loss(Z, *rest):
        parts = (rest[:Q], rest[Q : 2 * Q], rest[2 * Q :])
        return alignment_loss(Z, *(dict(zip(names, part, strict=True)) for part in parts))

    inputs = [t.clone().requires_grad_() for t in (Z, *W.values(), *A.values(), *Y.values())]
    assert torch.autograd.gradcheck(loss, inputs)


def test_targets_of_any_shape_are_flattened(make_batch):
    Z, W, A, Y, _ = make_batch(12, 5, [2, 1], [6, 1])
    shaped = {"q0": Y["q0"].reshape(12, 1, 2, 3), "q1": Y["q1"][:, 0]}
    assert alignment_loss(Z, W, A, shaped) == alignment_loss(Z, W, A, Y)


def test_order_of_names_does_not_matter(batch):
    Z, W, A, Y, _ = batch
    backwards = dict(reversed(Y.items()))
    torch.testing.assert_close(alignment_loss(Z, W, A, backwards), alignment_loss(Z, W, A, Y), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(make_batch, dtype):
    Z, W, A, Y, _ = make_batch(20, 6, [2], [3], dtype=torch.float32)
    half = Z.to(dtype).requires_grad_()
    loss = alignment_loss(half, W, A, Y)
    loss.backward()
    assert (loss.dtype, half.grad.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(loss, naive(half.detach().float(), W, A, Y), rtol=1e-5, atol=0)  # float32 sums


def test_autocast_does_not_round_the_products(make_batch):
    Z, W, A, Y, _ = make_batch(20, 6, [2], [3], dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = alignment_loss(Z, W, A, Y)
    assert torch.equal(inside, alignment_loss(Z, W, A, Y))


def test_nan_propagates(make_batch):
    Z, W, A, Y, _ = make_batch(12, 5, [2], [3])
    Y["q0"][3, 1] = float("nan")
    assert alignment_loss(Z, W, A, Y).isnan()


def test_bad_input(make_batch):
    Z, W, A, Y, _ = make_batch(12, 5, [2, 1], [3, 4])
    with pytest.raises(NameMismatchError, match=r"y must name the quantities of W.*missing \['q1'\]"):
        alignment_loss(Z, W, A, {"q0": Y["q0"]})
    with pytest.raises(NameMismatchError, match=r"A must name the quantities of W.*unknown \['x'\]"):
        alignment_loss(Z, W, A | {"x": A["q0"]}, Y)
    with pytest.raises(ShapeError, match=r"A of quantity 'q1' must have shape .* \(1, 4\).*got \(2, 3\)"):
        alignment_loss(Z, W, A | {"q1": A["q0"]}, Y)
    with pytest.raises(ShapeError, match=r"W of quantity 'q0' must have shape \(k, D\) with D = 5, got \(2, 4\)"):
        alignment_loss(Z, W | {"q0": W["q0"][:, :4]}, A, Y)
    with pytest.raises(ShapeError, match="y of quantity 'q1' must have one row for each of the 12 samples"):
        alignment_loss(Z, W, A, Y | {"q1": Y["q1"][:7]})
    with pytest.raises(ShapeError, match=r"must have shape \(B, D\), got \(12, 5, 1\)"):
        alignment_loss(Z[..., None], W, A, Y)
    with pytest.raises(ShapeError, match=r"at least one dimension, got shape \(12, 0\)"):
        alignment_loss(Z[:, :0], W, A, Y)
    with pytest.raises(DegenerateDataError, match="At least 2 samples are needed, got a batch of 1"):
        alignment_loss(Z[:1], W, A, {name: y[:1] for name, y in Y.items()})
    with pytest.raises(DegenerateDataError, match="W names no quantity"):
        alignment_loss(Z, {}, {}, {})
    with pytest.raises(DtypeError, match=r"Latents z must be floating point, got torch.int64"):
        alignment_loss(Z.long(), W, A, Y)
    with pytest.raises(DtypeError, match="y of quantity 'q0' must be floating point"):
        alignment_loss(Z, W, A, Y | {"q0": Y["q0"].int()})
    with pytest.raises(DeviceMismatchError, match="W of quantity 'q0' is on meta but the latents are on cpu"):
        alignment_loss(Z, W | {"q0": W["q0"].to("meta")}, A, Y)
