"""The combined loss is the weighted sum of the four, in value and gradient, for every choice of options."""

import pytest
import torch

from isospan.errors import NameMismatchError, OptionError
from isospan.guided.losses import alignment_loss, combined_loss, disentanglement_loss, isotropy_loss, stability_loss
from isospan.moments import Moments

TERMS = ("alignment", "disentanglement", "isotropy", "stability")


def separate(Z, W, A, Y, W_prev, *, n_dir, isotropy, unbiased, metric):
    return {
        "alignment": alignment_loss(Z, W, A, Y),
        "disentanglement": disentanglement_loss(Z, W, unbiased=unbiased),
        "isotropy": isotropy_loss(Z, W, n_dir, spectrum=isotropy),
        "stability": stability_loss(W, W_prev, metric=metric),
    }


OPTIONS = [
    {"n_dir": 32, "isotropy": "singular", "unbiased": False, "metric": "frobenius"},
    {"n_dir": 2, "isotropy": "singular", "unbiased": True, "metric": "projector"},
    {"n_dir": 32, "isotropy": "variance", "unbiased": False, "metric": "projector"},
]
WEIGHTS = [None, {"alignment": 2.0, "isotropy": 0.5}, {"isotropy": 3.0}, {"disentanglement": 0.1, "stability": 1.5}, {}]


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "unbiased", "variance"])
@pytest.mark.parametrize("weights", WEIGHTS, ids=["all", "two", "isotropy", "other two", "none"])
def test_is_the_weighted_sum(batch, options, weights):
    def with_gradients(compute):
        Z, *parts = batch
        leaves = [Z.clone().requires_grad_()]
        named = []
        for part in parts:
            named.append({name: t.clone().requires_grad_() for name, t in part.items()})
            leaves += named[-1].values()
        value = compute(leaves[0], *named)
        return value, torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)

    def by_hand(*args):
        terms = separate(*args, **options)
        return sum((terms[t] * (1 if weights is None else weights.get(t, 0)) for t in TERMS), args[0].sum() * 0)

    value, gradients = with_gradients(lambda *args: combined_loss(*args, weights=weights, **options))
    expected, expected_gradients = with_gradients(by_hand)
    # the same float64 sums in another order
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "unbiased", "variance"])
def test_terms(batch, options):
    terms = combined_loss(*batch, **options, return_terms=True)
    # the same float64 sums in another order
    for name, value in separate(*batch, **options).items():
        torch.testing.assert_close(terms[name], value, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(terms["total"], sum(terms[t] for t in TERMS), rtol=1e-13, atol=0)
    assert list(terms) == ["total", *TERMS]


def test_terms_left_out_are_zero_and_total_has_the_gradient(make_batch):
    Z, *rest = make_batch(12, 6, [2, 1], [3, 2])
    terms = combined_loss(Z.requires_grad_(), *rest, weights={"alignment": 1.0}, return_terms=True)
    assert [terms[t].item() for t in TERMS[1:]] == [0, 0, 0]
    assert terms["total"].requires_grad
    assert not any(terms[t].requires_grad for t in TERMS)


def test_without_previous_bases(batch):
    Z, W, A, Y, _ = batch
    assert combined_loss(Z, W, A, Y, None) == combined_loss(Z, W, A, Y, W) == combined_loss(Z, W, A, Y)


def test_gradients_against_finite_differences(make_batch):
    Z, W, A, Y, W_prev = make_batch(14, 7, [2, 2], [3, 2])
    inputs = [t.clone().requires_grad_() for t in (Z, *A.values(), *Y.values())]

    def loss(Z, *rest):
        return combined_loss(Z, W, dict(zip(W, rest[:2], strict=True)), dict(zip(W, rest[2:], strict=True)), W_prev)

    assert torch.autograd.gradcheck(loss, inputs)


def test_twice_backward_with_retained_graph(make_batch):
    Z, *rest = make_batch(12, 6, [2, 1], [3, 2])
    loss = combined_loss(Z.requires_grad_(), *rest)
    (first,) = torch.autograd.grad(loss, Z, retain_graph=True)
    (second,) = torch.autograd.grad(3 * loss, Z)
    torch.testing.assert_close(3 * first, second)


def test_float32_agrees_with_float64(make_batch):
    options = {"B": 200, "D": 30, "k": [4, 6], "P": [20, 10]}
    Z, *rest = make_batch(**options)
    single = make_batch(**options, dtype=torch.float32)
    value = combined_loss(*single)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), combined_loss(Z, *rest), rtol=1e-5, atol=0)  # float32 sums of 200


def test_autocast_and_half_precision(make_batch):
    Z, *rest = make_batch(30, 8, [2, 2], [3, 3], dtype=torch.float32)
    half = Z.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = combined_loss(half, *rest)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, combined_loss(half.detach().float(), *rest))
    loss.backward()
    assert half.grad.dtype == torch.bfloat16


def test_no_gradient_is_computed_where_none_is_needed(batch):
    with torch.no_grad():
        assert not combined_loss(*batch).requires_grad


def test_bad_input(make_batch):
    Z, W, A, Y, _ = make_batch(12, 6, [2, 1], [3, 2])
    with pytest.raises(OptionError, match="Invalid loss term: 'smoothness'"):
        combined_loss(Z, W, A, Y, weights={"smoothness": 1.0})
    with pytest.raises(OptionError, match="Invalid isotropy spectrum"):
        combined_loss(Z, W, A, Y, isotropy="none")
    with pytest.raises(OptionError, match="Invalid stability metric"):
        combined_loss(Z, W, A, Y, metric="none")
    with pytest.raises(NameMismatchError, match="W_prev must name"):
        combined_loss(Z, W, A, Y, {"q0": W["q0"]})


@pytest.mark.parametrize("isotropy", ["singular", "variance"])
def test_infinity_makes_it_nan(batch, isotropy):
    batch[0][0, 0] = float("inf")
    assert combined_loss(*batch, isotropy=isotropy).isnan()


@pytest.mark.parametrize("isotropy", ["singular", "variance"])
def test_shards_have_the_loss_of_the_global_batch_and_its_gradient(batch, isotropy):
    """In z and y each shard has its samples; in W and A the shards add up."""
    moments = Moments.of(batch[0], batch[3])

    def value_and_gradients(rows, **options):
        z, W, A, y, _ = batch
        W, A, y = ({name: t.clone().requires_grad_() for name, t in part.items()} for part in (W, A, y))
        leaves = [z := z.clone().requires_grad_(), *W.values(), *A.values(), *y.values()]
        shard = {name: t[rows] for name, t in y.items()}
        loss = combined_loss(z[rows], W, A, shard, isotropy=isotropy, **options)
        return loss.detach(), torch.autograd.grad(loss, leaves)

    expected, gradients = value_and_gradients(slice(None))
    shards = [value_and_gradients(rows, global_moments=moments) for rows in (slice(4), slice(4, 5), slice(5, None))]
    for value, _ in shards:
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)  # the same float64 sums in another order
    for i, gradient in enumerate(gradients):
        total = sum(shard[i] for _, shard in shards)
        torch.testing.assert_close(total, gradient, rtol=1e-8, atol=1e-10 * float(gradient.abs().max()))  # as above


def test_a_shard_has_no_second_derivatives(make_batch):
    z, W, A, y, _ = make_batch(12, 6, [2, 1], [3, 2])
    loss = combined_loss(z.requires_grad_(), W, A, y, global_moments=Moments.of(z.detach(), y))
    with pytest.raises(OptionError, match="global batch has first derivatives only"):
        torch.autograd.grad(loss, z, create_graph=True)
