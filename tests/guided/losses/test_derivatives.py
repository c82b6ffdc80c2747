"""Derivatives of every order, scales, offsets and layouts, the same for all losses."""

import pytest
import torch

from isospan.errors import DegenerateDataError
from isospan.guided.losses import alignment_loss, combined_loss, disentanglement_loss, isotropy_loss

ALL = {"alignment": 1.0, "disentanglement": 0.7, "isotropy": 0.4}
LOSSES = {
    "alignment": alignment_loss,
    "disentanglement": lambda Z, W, A, Y: disentanglement_loss(Z, W),
    "disentanglement unbiased": lambda Z, W, A, Y: disentanglement_loss(Z, W, unbiased=True),
    "isotropy singular": lambda Z, W, A, Y: isotropy_loss(Z, W, 3),
    "isotropy variance": lambda Z, W, A, Y: isotropy_loss(Z, W, spectrum="variance"),
    "combined": lambda Z, W, A, Y: combined_loss(Z, W, A, Y, weights=ALL, n_dir=3),
    "combined variance": lambda Z, W, A, Y: combined_loss(Z, W, A, Y, weights=ALL, isotropy="variance", unbiased=True),
}
WITHOUT_UNIT = [name for name in LOSSES if "alignment" not in name and "combined" not in name]


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives(batch, name):
    """Of the latents with each other, and with the targets and decoders; finite differences of the first."""
    Z, W, A, Y, _ = batch
    loss, names = LOSSES[name], list(W)

    def function(Z, *rest):
        return loss(Z, W, dict(zip(names, rest, strict=False)), dict(zip(names, rest[len(names) :], strict=True)))

    inputs = [t.clone().requires_grad_() for t in (Z, *A.values(), *Y.values())]
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("name", [name for name in LOSSES if name.startswith(("alignment", "disentanglement"))])
def test_derivatives_of_bases(batch, name):
    """Isotropy holds the projector on the bases constant, so it has none."""
    Z, W, A, Y, _ = batch
    bases = [t.clone().requires_grad_() for t in W.values()]
    function = lambda *W_all: LOSSES[name](Z, dict(zip(W, W_all, strict=True)), A, Y)  # noqa: E731
    assert torch.autograd.gradgradcheck(function, bases, fast_mode=True)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_penalty_trains_an_encoder_rightly(name, make_batch):
    """The gradient of ‖dL/dz‖² in an encoder's weights, against finite differences."""
    X, W, A, Y, _ = make_batch(20, 7, [2, 1], [3, 2])

    def penalty(weight):
        z = torch.tanh(X @ weight)
        gradient = torch.autograd.grad(LOSSES[name](z, W, A, Y), z, create_graph=True)[0]
        return gradient.square().sum()

    assert torch.autograd.gradcheck(penalty, (0.1 * torch.randn(7, 7).double()).requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("name", LOSSES)
def test_functional_gradient_is_that_of_backward(batch, name):
    Z, W, A, Y, _ = batch
    loss = lambda z: LOSSES[name](z, W, A, Y)  # noqa: E731
    inputs = Z.clone().requires_grad_()
    loss(inputs).backward()
    torch.testing.assert_close(torch.func.grad(loss)(Z), inputs.grad)


def test_coinciding_singular_values_have_no_second_derivative():
    columns = torch.linalg.qr(torch.cat([torch.ones(20, 1), torch.randn(20, 4)], 1).double())[0][:, 1:]
    Z, W = (columns * torch.tensor([3.0, 3, 1, 1])).requires_grad_(), {"a": torch.eye(4).double()[:1]}
    (first,) = torch.autograd.grad(isotropy_loss(Z, W, spectrum="variance"), Z, create_graph=True)
    assert first.requires_grad
    with pytest.raises(DegenerateDataError, match='Use spectrum="variance"'):
        torch.autograd.grad(isotropy_loss(Z, W), Z, create_graph=True)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e20, 1e30])
@pytest.mark.parametrize("name", WITHOUT_UNIT)
def test_losses_without_unit_do_not_depend_on_the_scale(name, scale, make_batch):
    Z, W, A, Y, _ = make_batch(20, 7, [2, 1], [3, 2], dtype=torch.float32)
    at_scale = (Z * scale).requires_grad_()
    value = LOSSES[name](at_scale, W, A, Y)
    value.backward()
    inputs = Z.requires_grad_()
    expected = LOSSES[name](inputs, W, A, Y)
    expected.backward()
    # rounding of Z * scale, which is no power of two
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(at_scale.grad.double() * scale, inputs.grad.double(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_alignment_at_any_scale_of_the_latents(scale, make_batch):
    Z, W, A, Y, _ = make_batch(20, 7, [2, 1], [3, 2], dtype=torch.float32)
    A_scaled = {name: t / scale for name, t in A.items()}
    torch.testing.assert_close(
        combined_loss(Z * scale, W, A_scaled, Y, isotropy="variance"), combined_loss(Z, W, A, Y, isotropy="variance")
    )


@pytest.mark.parametrize(("offset", "deviation"), [(2.45e6, 0.01), (1.7e9, 100.0), (0.0, 1.0)])
def test_targets_keep_their_digits(offset, deviation, make_batch):
    """float64 targets far from zero, float32 latents: as if the offset were not there."""
    Z, W, A, Y, _ = make_batch(64, 7, [2, 1], [3, 2])
    Z = Z.float().requires_grad_()
    small = {name: deviation * t for name, t in Y.items()}
    A = {name: deviation * t for name, t in A.items()}
    losses = []
    for shift in (0.0, offset):
        loss = alignment_loss(Z, W, A, {name: t + shift for name, t in small.items()})
        losses.append((loss.detach(), *torch.autograd.grad(loss, Z)))
    # 1.7e9 leaves float64 targets 2e-7, of 100 deviations 2e-9; the rest is float32
    torch.testing.assert_close(losses[1][0], losses[0][0], rtol=1e-6, atol=0)
    torch.testing.assert_close(losses[1][1], losses[0][1], rtol=1e-4, atol=1e-6 * deviation**2)


def test_float32_latents_far_from_zero(make_batch):
    """An offset that float32 holds exactly, with latents that it holds exactly too, changes nothing."""
    Z, W, A, Y, _ = make_batch(64, 7, [2, 1], [3, 2])
    Z = (Z * 16).round().float() / 16  # multiples of 1/16, the spacing of float32 at 2^20 is 1/8 ... 1/16
    near = alignment_loss(Z, W, A, Y)
    far = alignment_loss(Z + 2.0**19, W, A, Y)
    torch.testing.assert_close(far, near, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("layout", ["column-major", "expanded", "every second"])
def test_memory_layout_does_not_matter(name, layout, make_batch):
    Z, W, A, Y, _ = make_batch(20, 7, [2, 1], [3, 2])
    change = {
        "column-major": lambda t: t.T.contiguous().T,
        "expanded": lambda t: t[:, :1].expand_as(t),
        "every second": lambda t: t.repeat_interleave(2, 0)[::2],
    }[layout]
    moved = [{name: change(t) for name, t in part.items()} for part in (W, A, Y)]
    plain = [{name: t.contiguous() for name, t in part.items()} for part in moved]
    if layout == "expanded":
        moved[0], plain[0] = W, W
    Z_moved = Z if layout == "expanded" else change(Z)
    grads = []
    for z, parts in ((Z_moved, moved), (Z, plain)):
        z = z.detach().requires_grad_()
        loss = LOSSES[name](z, *parts)
        grads.append((loss.detach(), torch.autograd.grad(loss, z)[0]))
    torch.testing.assert_close(grads[0], grads[1])
