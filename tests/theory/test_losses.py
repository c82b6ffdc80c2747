"""What the losses do not depend on, and where their minima are."""

import pytest
import torch

from isospan.guided.losses import alignment_loss, combined_loss, disentanglement_loss, isotropy_loss
from isospan.subspaces import fit_decoders


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def frame(k, D):
    return torch.linalg.qr(randn(D, k))[0].T


@pytest.fixture
def batch():
    Z, W = randn(30, 9), {"a": frame(3, 9), "b": frame(2, 9)}
    Y = {"a": randn(30, 4), "b": randn(30, 6)}
    return Z, W, fit_decoders(W, Z, Y), Y


def combined(Z, W, A, Y, isotropy):
    return combined_loss(Z, W, A, Y, isotropy=isotropy)


@pytest.mark.parametrize("isotropy", ["singular", "variance"])
def test_an_offset_of_latents_and_targets_does_not_matter(batch, isotropy):
    Z, W, A, Y = batch
    moved = combined(Z + 50 * randn(9), W, A, {n: y - 70 for n, y in Y.items()}, isotropy)
    torch.testing.assert_close(moved, combined(*batch, isotropy), rtol=1e-11, atol=0)


@pytest.mark.parametrize("isotropy", ["singular", "variance"])
def test_rotating_latents_and_bases_together_does_not_matter(batch, isotropy):
    Z, W, A, Y = batch
    rotation = frame(9, 9)
    rotated = combined(Z @ rotation, {n: basis @ rotation for n, basis in W.items()}, A, Y, isotropy)
    torch.testing.assert_close(rotated, combined(*batch, isotropy), rtol=1e-10, atol=0)


@pytest.mark.parametrize("isotropy", ["singular", "variance"])
def test_the_order_of_samples_does_not_matter(batch, isotropy):
    Z, W, A, Y = batch
    order = torch.randperm(30)
    shuffled = combined(Z[order], W, A, {n: y[order] for n, y in Y.items()}, isotropy)
    torch.testing.assert_close(shuffled, combined(*batch, isotropy), rtol=1e-11, atol=0)


def test_alignment_is_least_at_the_fitted_decoders(batch):
    Z, W, A, Y = batch
    leaves = {name: A_q.clone().requires_grad_() for name, A_q in A.items()}
    loss = alignment_loss(Z, W, leaves, Y)
    loss.backward()
    assert all(A_q.grad.abs().max() < 1e-14 for A_q in leaves.values())


def test_gradient_of_every_loss_sums_to_zero_over_the_samples(batch):
    """No loss depends on the mean of the latents, so a mean held constant changes no gradient."""
    Z, W, A, Y = batch
    for isotropy in ("singular", "variance"):
        leaf = Z.clone().requires_grad_()
        combined(leaf, W, A, Y, isotropy).backward()
        assert leaf.grad.sum(0).abs().max() < 1e-13
        assert leaf.grad.abs().max() > 1e-3


@pytest.mark.parametrize("isotropy", ["singular", "variance"])
def test_shape_losses_have_no_unit(batch, isotropy):
    Z, W, *_ = batch
    for scale in (1e-6, 1e6):
        torch.testing.assert_close(
            isotropy_loss(scale * Z, W, spectrum=isotropy), isotropy_loss(Z, W, spectrum=isotropy), rtol=1e-9, atol=0
        )
        torch.testing.assert_close(disentanglement_loss(scale * Z, W), disentanglement_loss(Z, W), rtol=1e-11, atol=0)


def test_a_whitened_batch_is_disentangled_and_isotropic():
    """Uncorrelated coordinates of equal variance in a partition are the common minimum of both losses."""
    Z = torch.linalg.qr(torch.cat([torch.ones(40, 1, dtype=torch.float64), randn(40, 8)], 1))[0][:, 1:]
    W = dict(zip("abc", frame(6, 8).split([3, 2, 1]), strict=True))
    assert disentanglement_loss(Z, W) < 1e-28
    assert isotropy_loss(Z, W) < 1e-24
    assert isotropy_loss(Z, W, spectrum="variance").abs() < 1e-14


def test_gradient_descent_on_the_losses_reaches_that_minimum():
    Z = (randn(60, 6) @ randn(6, 6)).requires_grad_()
    W = {"a": frame(2, 6), "b": frame(2, 6)}
    optimizer = torch.optim.Adam([Z], lr=0.05)
    for _ in range(400):
        loss = disentanglement_loss(Z, W) + isotropy_loss(Z, W)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-4
