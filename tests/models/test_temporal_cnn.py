"""Encoders of windows: equivariant, equal to plain networks of the same weights, and named about what they take."""

import copy

import numpy as np
import pytest
import torch

from isospan.errors import FrozenError, OptionError, RepresentationError, ShapeError
from isospan.groups import SO2, CyclicGroup, DihedralGroup
from isospan.models import TemporalCNN
from isospan.nn import BatchNorm1d, RMSNorm
from isospan.representations import change_of_basis
from isospan.testing import assert_equivariant

LEGS = CyclicGroup(4).regular_representation
VECTOR = DihedralGroup(4).irreps()[-1]
PLANE = 2 * SO2().irrep(1)
PAIRS = [(LEGS, 2 * LEGS), (2 * VECTOR, VECTOR), (PLANE, PLANE + SO2().trivial_representation)]


def in_random_basis(rep):
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(rep.size, rep.size)))[0]
    return change_of_basis(rep, Q)


def drawn(model):
    """In float64, with running statistics of some data."""
    model = model.double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.train()(torch.randn(10, model.rep_in.size, model.latest.window or 30, dtype=torch.float64))
    return model.eval()


def plain_features(model, x):
    """The last layer's features of windows without surplus steps: torch's functions of the dense weights."""
    for block in model.blocks:
        x = torch.nn.functional.conv1d(x, block.conv.weight, block.conv.bias, block.conv.stride)
        Q, norm = torch.tensor(block.conv.rep_out.change_of_basis), block.norm
        if isinstance(norm, BatchNorm1d):
            sizes = torch.tensor([irrep.size for irrep in norm.rep_in.irreps])
            scale = (norm.weight * (norm.running_var + norm.eps).rsqrt()).repeat_interleave(sizes)
            m = len(norm.running_mean)
            mean, bias = (torch.nn.functional.pad(v, (0, len(Q) - m)) for v in (norm.running_mean, norm.bias))
            z = torch.einsum("ij,bit->bjt", Q, x)
            x = Q @ ((z - mean[:, None]) * scale[:, None] + bias[:, None])
        elif hasattr(norm, "layer"):
            assert isinstance(norm.layer, RMSNorm)
            x = x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt()
        x = x.relu()
    return x


@pytest.mark.parametrize("reps", PAIRS, ids=lambda reps: reps[0].group.name)
@pytest.mark.parametrize("basis", [lambda rep: rep, in_random_basis], ids=["plain", "random basis"])
@pytest.mark.parametrize("norm", ["batch", "rms", None])
@pytest.mark.parametrize(("window", "stride"), [(None, 2), (17, 2), (17, 1), (None, 3)])
def test_equivariant(reps, basis, norm, window, stride):
    rep_in, rep_out = map(basis, reps)
    model = drawn(TemporalCNN(rep_in, rep_out, (12, 16), window=window, stride=stride, norm=norm))
    x = torch.randn(5, rep_in.size, 17, dtype=torch.float64)
    assert_equivariant(model, rep_in, rep_out, x=x, dim=-2, dim_out=-1)
    assert model(x).std(0).min() > 0


@pytest.mark.parametrize("norm", ["batch", "rms", None])
def test_it_is_the_plain_network_of_its_weights(norm):
    x = torch.randn(5, 4, 7 + 2 * 4, dtype=torch.float64)
    pooled = drawn(TemporalCNN(LEGS, 2 * LEGS, (12, 16), norm=norm))
    features = plain_features(pooled, x)
    assert features.shape[-1] == 3
    expected = torch.nn.functional.linear(features.mean(-1), pooled.head.weight[..., 0], pooled.head.bias)
    torch.testing.assert_close(pooled(x), expected)
    flat = drawn(TemporalCNN(LEGS, 2 * LEGS, (12, 16), norm=norm, window=15))
    expected = torch.nn.functional.linear(
        plain_features(flat, x).flatten(1), flat.head.weight.flatten(1), flat.head.bias
    )
    torch.testing.assert_close(flat(x), expected)


@pytest.mark.parametrize(
    ("units", "kernel", "stride"), [((4,), 1, 1), ((4, 4), 3, 2), ((4, 4, 4), 2, 3), ((4, 4), 5, 1)]
)
def test_receptive_field_is_what_one_feature_sees(units, kernel, stride):
    """By brute force: the shortest window that plain convolutions take, and the steps with a gradient."""
    model = TemporalCNN(LEGS, LEGS, units, kernel, stride, norm=None, activation="Tanh").double()
    convolutions = [torch.nn.Conv1d(1, 1, kernel, stride) for _ in units]

    def takes(T):
        try:
            torch.nn.Sequential(*convolutions)(torch.zeros(1, 1, T))
        except RuntimeError:
            return False
        return True

    assert model.receptive_field == next(T for T in range(1, 100) if takes(T))
    x = torch.randn(2, 4, model.receptive_field, dtype=torch.float64, requires_grad=True)
    model(x).sum().backward()
    assert x.grad[0].any(0)[[0, -1]].all()
    with pytest.raises(ShapeError, match=f"T >= {model.receptive_field}, the receptive field, got"):
        model(x[..., 1:])


@pytest.mark.parametrize("window", [False, True])
def test_newest_steps_count_and_oldest_are_left_out(window):
    for T in range(7, 15):
        model = drawn(TemporalCNN(LEGS, LEGS, (12, 16), window=T if window else None))
        x = torch.randn(3, 4, T, dtype=torch.float64, requires_grad=True)
        model(x).square().sum().backward()
        seen = x.grad.abs().sum((0, 1)) > 0
        surplus = (T - 7) % 4
        assert not seen[:surplus].any()
        assert seen[surplus:].all()


def test_means_over_time_forget_when_and_windows_do_not():
    """Moved by the steps between features, a short event has the same mean of features, but other times."""
    x = torch.zeros(1, 4, 7 + 4 * 6, dtype=torch.float64)
    x[..., 12:15] = torch.randn(4, 3)
    moved = x.roll(4, dims=-1)
    pooled, flat = drawn(TemporalCNN(LEGS, LEGS, (12, 16))), drawn(TemporalCNN(LEGS, LEGS, (12, 16), window=31))
    torch.testing.assert_close(pooled(moved), pooled(x), rtol=0, atol=1e-10)
    assert (flat(moved) - flat(x)).abs().max() > 1e-3


@pytest.mark.parametrize("reps", PAIRS[:2], ids=lambda reps: reps[0].group.name)
@pytest.mark.parametrize("norm", ["batch", None])
@pytest.mark.parametrize("window", [None, 18])
def test_plain_networks_give_the_same(reps, norm, window):
    model = drawn(TemporalCNN(*reps, (12, 16), window=window, norm=norm))
    plain, x = model.export(18), torch.randn(5, reps[0].size, 18, dtype=torch.float64)
    torch.testing.assert_close(plain(x), model(x))
    assert all(type(module).__module__.startswith("torch.nn") for module in plain.modules())
    assert not {p.data_ptr() for p in plain.parameters()} & {p.data_ptr() for p in model.parameters()}


@pytest.mark.parametrize("T", [23, 30, 31])
def test_the_length_of_windows_stays_open_where_a_network_is_exported(T):
    model = TemporalCNN(LEGS, LEGS, (4, 4), stride=2).eval().freeze()
    assert model.receptive_field + model.latest.spacing <= T
    shapes = ({2: torch.export.Dim.DYNAMIC},)
    exported = torch.export.export(model, (torch.randn(2, 4, T),), dynamic_shapes=shapes).module()
    for x in (torch.randn(2, 4, other) for other in range(23, 33)):
        torch.testing.assert_close(exported(x), model(x))


def test_vectors_alone_make_invariants_and_more_than_linear_maps():
    vectors, output = 2 * SO2().irrep(1), SO2().irrep(0) + SO2().irrep(1)
    for norm in ("batch", None):
        model = drawn(TemporalCNN(vectors, output, (12, 16), norm=norm))
        x = torch.randn(5, 4, 17, dtype=torch.float64)
        y = model(x)
        assert y.std(0).min() > 1e-3
        assert (model(2 * x) - 2 * y).abs().max() > 1e-2 * y.abs().max()


def test_frozen_networks_give_the_same_and_do_not_train():
    model, x = drawn(TemporalCNN(*PAIRS[1], (12, 16))), torch.randn(5, 4, 20, dtype=torch.float64)
    y = model(x)
    torch.testing.assert_close(copy.deepcopy(model).freeze()(x), y, rtol=0, atol=1e-12)
    with pytest.raises(FrozenError):
        model.freeze().train()
    assert model.unfreeze().train()(x).requires_grad


class TestBadInput:
    @pytest.mark.parametrize("shape", [(2, 5, 20), (2, 20, 4), (4, 20), (2, 4, 6), (1, 2, 4, 20)])
    def test_shapes(self, shape):
        with pytest.raises(ShapeError, match=r"\(B, D, T\) with D = 4 and T >= 7, the receptive field, got \("):
            TemporalCNN(LEGS, LEGS, (4, 4))(torch.zeros(shape))

    def test_windows(self):
        with pytest.raises(ShapeError, match="T = 20, got"):
            TemporalCNN(LEGS, LEGS, (4, 4), window=20)(torch.zeros(2, 4, 21))
        with pytest.raises(OptionError, match="at least 7 steps for 2 convolutions of kernel size 3 and stride 2, got"):
            TemporalCNN(LEGS, LEGS, (4, 4), window=6)

    @pytest.mark.parametrize("name", ["stride", "kernel_size", "window"])
    def test_numbers(self, name):
        with pytest.raises(OptionError, match=f"{name} must be at least 1, got 0"):
            TemporalCNN(LEGS, LEGS, (4, 4), **{name: 0})

    def test_names(self):
        with pytest.raises(OptionError, match=r"norm other than None: 'layer'\. Choose one of 'batch', 'rms'"):
            TemporalCNN(LEGS, LEGS, norm="layer")
        for rep in (LEGS, PLANE):
            with pytest.raises(OptionError, match="activation: 'relu'"):
                TemporalCNN(rep, rep, activation="relu")

    def test_hidden_representations(self):
        with pytest.raises(RepresentationError, match=r"lacks \['frequency 3'\]"):
            TemporalCNN(SO2().irrep(3), SO2().irrep(3))
        with pytest.raises(RepresentationError, match="the input 'frequency 1' has no irrep of it"):
            TemporalCNN(SO2().irrep(1), SO2().irrep(2))

    def test_exports(self):
        model = TemporalCNN(LEGS, LEGS, (4, 4))
        for window in (None, 6):
            with pytest.raises(OptionError, match=rf">= 7, the receptive field, got window={window}"):
                model.export(window)
        with pytest.raises(OptionError, match="= 20, got window=21"):
            TemporalCNN(LEGS, LEGS, (4, 4), window=20).export(21)
        for case in (TemporalCNN(LEGS, LEGS, window=20, norm="rms"), TemporalCNN(PLANE, PLANE, window=20)):
            with pytest.raises(OptionError, match="has no plain counterpart"):
                case.export()
