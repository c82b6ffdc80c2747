"""The isotropy loss against the formula on explicit singular values, and its gradient where it is delicate."""

import pytest
import torch

from isospan.errors import OptionError
from isospan.guided.losses import isotropy_loss


def free_singular_values(Z, W):
    """Singular values outside the span of all bases, without those that are zero by construction."""
    decomposition = torch.linalg.svd(torch.cat(list(W.values())), full_matrices=False)
    span = decomposition.Vh[decomposition.S > 1e-10 * decomposition.S[0]]  # far above rounding, far below any basis
    X = (Z - Z.mean(0)) @ (torch.eye(Z.shape[1], dtype=Z.dtype) - span.T @ span)
    return torch.linalg.svdvals(X)[: min(len(Z) - 1, Z.shape[1] - len(span))]


def naive(Z, W, n_dir, spectrum):
    s = free_singular_values(Z, W)
    if spectrum == "variance":
        return len(s) * (s**4).sum() / (s**2).sum() ** 2 - 1
    s = s[:n_dir]
    return ((s / s.mean() - 1) ** 2).mean()


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
@pytest.mark.parametrize("n_dir", [1, 3, 32])
def test_value_and_gradient(batch, spectrum, n_dir):
    Z, W, *_ = batch
    value, expected = isotropy_loss(Z, W, n_dir, spectrum=spectrum), naive(Z, W, n_dir, spectrum)
    # the Gram matrix keeps eps * cond² of the smallest singular value, here below 1e-10
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    inputs = Z.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: isotropy_loss(z, W, n_dir, spectrum=spectrum), inputs)


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
@pytest.mark.parametrize("B", [5, 40])
def test_dependent_bases_are_projected_out_once(spectrum, B):
    Z = torch.randn(B, 12, dtype=torch.float64)
    frame = torch.linalg.qr(torch.randn(12, 4, dtype=torch.float64))[0].T
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    twice = {"a": frame[:3], "b": turn @ frame[:3], "c": frame[2:]}
    value = isotropy_loss(Z, twice, spectrum=spectrum)
    # rounding of another basis of the same span
    torch.testing.assert_close(value, isotropy_loss(Z, {"a": frame}, spectrum=spectrum), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
def test_what_lies_in_the_subspaces_does_not_matter(spectrum):
    Z = torch.randn(30, 8, dtype=torch.float64)
    W = {"a": torch.linalg.qr(torch.randn(8, 2, dtype=torch.float64))[0].T}
    moved = Z + 1e3 * torch.randn(30, 2, dtype=torch.float64) @ W["a"]
    # 1e3 in float64 leaves 1e-13 of rounding
    values = [isotropy_loss(z, W, spectrum=spectrum) for z in (Z, moved)]
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
@pytest.mark.parametrize("singular_values", [[2.0, 2, 2, 2], [3.0, 3, 1, 1], [2.0, 1, 0, 0], [1.0, 0, 0, 0], [0.0] * 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_at_repeated_and_zero_singular_values(spectrum, singular_values, dtype):
    columns = torch.linalg.qr(torch.cat([torch.ones(20, 1), torch.randn(20, 4)], 1).double())[0][:, 1:]  # centred
    s = torch.tensor(singular_values, dtype=torch.float64)
    Z = torch.cat([torch.randn(20, 2).double(), columns * s], 1).to(dtype).requires_grad_()
    W = {"a": torch.eye(6, dtype=dtype)[:2]}
    loss = isotropy_loss(Z, W, spectrum=spectrum)
    loss.backward()
    assert Z.grad.isfinite().all()
    if s.sum() == 0:
        assert loss.detach().abs() < 1e-6  # nothing varies: at most rounding is left
        return
    expected = naive(Z.detach().double(), {"a": W["a"].double()}, 32, spectrum)
    # float32: a zero singular value is known to about sqrt(eps) of the largest
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5 if dtype == torch.float32 else 1e-12)


def test_gradient_at_ties_is_that_of_the_symmetric_function():
    """f depends on the singular values symmetrically, so at a tie its gradient is U diag(df/ds) Vᵀ in any basis."""
    columns = torch.linalg.qr(torch.cat([torch.ones(20, 1), torch.randn(20, 4)], 1).double())[0][:, 1:]
    Z = (columns * torch.tensor([3.0, 3, 1, 1])).requires_grad_()
    e = torch.eye(5, dtype=torch.float64)
    padded = torch.cat([Z, torch.randn(20, 1).double()], 1)
    assert torch.autograd.gradcheck(lambda z: isotropy_loss(z, {"a": e[4:]}), padded)


def test_even_spectrum_is_zero_and_minimal():
    columns = torch.linalg.qr(torch.cat([torch.ones(20, 1), torch.randn(20, 4)], 1).double())[0][:, 1:]
    W = {"a": torch.eye(4, dtype=torch.float64)[:1]}
    for spectrum in ("singular", "variance"):
        assert isotropy_loss(columns, W, spectrum=spectrum).abs() < 1e-14  # rounding of a float64 spectrum of ones
        assert isotropy_loss(columns * torch.tensor([1.0, 1, 1, 2]), W, spectrum=spectrum) > 0.01


def test_few_samples_do_not_count_directions_that_cannot_exist():
    """With B samples only B - 1 centred singular values exist; an even one over these is zero in both forms."""
    columns = torch.linalg.qr(torch.cat([torch.ones(5, 1), torch.randn(5, 4)], 1).double())[0][:, 1:]
    Z = torch.cat([torch.zeros(5, 10).double(), columns], 1)
    W = {"a": torch.eye(14, dtype=torch.float64)[:2]}
    for spectrum in ("singular", "variance"):
        assert isotropy_loss(Z, W, spectrum=spectrum).abs() < 1e-14  # rounding of a float64 spectrum of ones


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
@pytest.mark.parametrize("B", [3, 20])
def test_nothing_free(spectrum, B):
    Z = torch.randn(B, 4, requires_grad=True)
    loss = isotropy_loss(Z, {"a": torch.eye(4)[:3], "b": torch.eye(4)[1:]}, spectrum=spectrum)
    loss.backward()
    assert loss == 0
    assert torch.equal(Z.grad, torch.zeros(B, 4))


def test_more_rows_than_dimensions():
    Z, W = torch.randn(20, 4).double(), {"a": torch.eye(4).double()[:3]}
    many = {"a": W["a"], "b": W["a"][:2], "c": W["a"].flip(0)}
    torch.testing.assert_close(isotropy_loss(Z, many), isotropy_loss(Z, W))


def test_bases_get_no_gradient():
    W = torch.eye(4, requires_grad=True)
    loss = isotropy_loss(torch.randn(9, 4, requires_grad=True), {"a": W[:2]})
    loss.backward()
    assert W.grad is None or not W.grad.any()


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
@pytest.mark.parametrize(("B", "D"), [(9, 4), (4, 9), (80, 60)])
def test_nan_propagates(spectrum, B, D):
    Z = torch.randn(B, D, requires_grad=True)
    Z.data[2, 1] = float("nan")
    loss = isotropy_loss(Z, {"a": torch.eye(D)[:2]}, spectrum=spectrum)
    loss.backward()
    assert loss.isnan()


def test_bad_options():
    Z, W = torch.randn(9, 4), {"a": torch.eye(4)[:2]}
    with pytest.raises(OptionError, match="Invalid isotropy spectrum: 'entropy'"):
        isotropy_loss(Z, W, spectrum="entropy")
    with pytest.raises(OptionError, match=r"n_dir.*at least 1, got 0"):
        isotropy_loss(Z, W, 0)


@pytest.mark.parametrize("spectrum", ["singular", "variance"])
@pytest.mark.parametrize("B", [6, 40])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_latents_within_the_span_to_rounding_score_nothing(spectrum, B, scale):
    frame = torch.linalg.qr(torch.randn(12, 3))[0].T
    Z = (scale * torch.randn(B, 3) @ frame).requires_grad_()
    loss = isotropy_loss(Z, {"a": frame}, spectrum=spectrum)
    loss.backward()
    assert loss.detach().abs() < 0.02
    assert Z.grad.isfinite().all()
