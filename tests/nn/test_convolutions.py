"""Convolutions do what torch's do with the same dense weight, and each of their taps is equivariant."""

import numpy as np
import pytest
import torch

from isospan.errors import OptionError, ShapeError
from isospan.groups import CyclicGroup, DihedralGroup
from isospan.nn import Conv1d, ConvTranspose1d
from isospan.representations import directsum

REP = DihedralGroup(6).irreps()[-1] + DihedralGroup(6).trivial_representation
OUT = directsum([REP, REP])
PADDINGS = [0, 2, (1,), "valid", "same"]
MODES = ["zeros", "reflect", "replicate", "circular"]


@pytest.mark.parametrize("make", [Conv1d, ConvTranspose1d])
def test_every_tap_commutes_with_the_generators(make, reps):
    layer = make(*reps, kernel_size=3).double()
    weight = layer.weight.detach()
    taps = weight.movedim(-1, 0) if make is Conv1d else weight.permute(2, 1, 0)
    taps, rng = taps.numpy(), np.random.default_rng(0)
    for g in [*reps[0].group.generators, reps[0].group.sample(generator=rng)]:
        np.testing.assert_allclose(taps @ reps[0](g), reps[1](g) @ taps, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (4, 1, 2), ((3,), 2, (2,)), (1, 3, 1)])
# torch warns of the copy that an even kernel takes
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_convolution_is_torch_s(kernel, stride, dilation, padding, mode):
    if padding == "same" and stride != 1:
        with pytest.raises(OptionError, match="stride must be 1, got"):
            Conv1d(REP, OUT, kernel, stride, padding, dilation, padding_mode=mode)
        return
    layer = Conv1d(REP, OUT, kernel, stride, padding, dilation, padding_mode=mode).double()
    torch.nn.init.normal_(layer.bias_coefficients)
    plain = torch.nn.Conv1d(REP.size, OUT.size, kernel, stride, padding, dilation, padding_mode=mode).double()
    plain.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    for x in [torch.randn(2, REP.size, 11, dtype=torch.float64), torch.randn(REP.size, 11, dtype=torch.float64)]:
        torch.testing.assert_close(layer(x), plain(x))
        torch.testing.assert_close(layer.export()(x), plain(x))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra", "dilation"),
    [(3, 1, 0, 0, 1), (4, 2, 1, 1, 1), ((3,), (3,), (2,), (2,), (2,)), (2, 1, 0, 1, 3)],
)
def test_transposed_convolution_is_torch_s(kernel, stride, padding, extra, dilation):
    layer = ConvTranspose1d(REP, OUT, kernel, stride, padding, extra, dilation=dilation).double()
    torch.nn.init.normal_(layer.bias_coefficients)
    plain = torch.nn.ConvTranspose1d(REP.size, OUT.size, kernel, stride, padding, extra, dilation=dilation).double()
    plain.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    for x in [torch.randn(2, REP.size, 7, dtype=torch.float64), torch.randn(REP.size, 7, dtype=torch.float64)]:
        torch.testing.assert_close(layer(x), plain(x))
        torch.testing.assert_close(layer.export()(x), plain(x))


def test_output_size_decides_the_padding():
    layer, x = ConvTranspose1d(REP, OUT, 3, stride=2), torch.randn(2, REP.size, 7)
    for size in (15, 16):
        assert layer(x, output_size=[size]).shape[-1] == layer.export()(x, output_size=[size]).shape[-1] == size
    with pytest.raises(OptionError, match="lengths 15 to 16, got an output_size of 17"):
        layer(x, output_size=[17])


@pytest.mark.parametrize("layer", [Conv1d(REP, OUT, 5, padding=2), ConvTranspose1d(REP, OUT, 4, stride=2, padding=1)])
def test_white_signals_keep_their_variance(layer):
    layer, draws = layer.double(), []
    for seed in range(60):
        layer.reset_parameters()
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(8, REP.size, 40, dtype=torch.float64, generator=generator)
        draws.append(layer(x)[..., 4:-4].square().mean())
    # the mean over 60 draws of a few dozen coefficients varies by about 4 %
    assert torch.stack(draws).mean().item() == pytest.approx(1, rel=0.12)


def test_frozen_convolutions_hold_torch_s_layout():
    for layer in [Conv1d(REP, OUT, 3), ConvTranspose1d(REP, OUT, 3)]:
        x = torch.randn(2, REP.size, 9)
        expected = layer(x)
        torch.testing.assert_close(layer.freeze()(x), expected)
        assert layer.frozen_weight.is_contiguous()


def test_bad_arguments_are_named():
    rep = CyclicGroup(3).regular_representation
    with pytest.raises(OptionError, match="kernel_size must be a whole number of at least 1, got 0"):
        Conv1d(rep, rep, 0)
    with pytest.raises(OptionError, match=r"'full'.*'valid', 'same'"):
        Conv1d(rep, rep, 3, padding="full")
    with pytest.raises(OptionError, match="padding_mode"):
        Conv1d(rep, rep, 3, padding_mode="mirror")
    with pytest.raises(OptionError, match="'reflect'"):
        ConvTranspose1d(rep, rep, 3, padding_mode="reflect")
    with pytest.raises(OptionError, match="output_padding must be less"):
        ConvTranspose1d(rep, rep, 3, output_padding=1)
    with pytest.raises(ShapeError, match=r"\(B, D, T\) or \(D, T\) with D = 3"):
        Conv1d(rep, rep, 3)(torch.zeros(2, 4, 10))
