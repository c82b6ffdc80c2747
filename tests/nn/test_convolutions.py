"""Convolutions do what torch's do with the same dense weight, and the map at each kernel position is equivariant."""

import numpy as np
import pytest
import torch

from isospan.errors import OptionError, RepresentationError, ShapeError
from isospan.groups import CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.nn import Conv1d, ConvTranspose1d
from isospan.nn._kernels.dense import Dense
from isospan.nn._kernels.isotypic import Isotypic
from isospan.nn._linear import KERNELS
from isospan.representations import change_of_basis, direct_sum
from isospan.testing import assert_equivariant

REP = DihedralGroup(6).irreps()[-1] + DihedralGroup(6).trivial_representation
OUT = direct_sum([REP, REP])
PADDINGS = [0, 2, (1,), "valid", "same"]
EVEN = [(4, 1, 1), (2, 1, 3), (4, 2, 1)]
"""Kernel size, stride and dilation; with stride 1, "same" pads an odd number, the one that is over on the right."""
MODES = ["zeros", "reflect", "replicate", "circular"]


@pytest.fixture(params=KERNELS)
def kernel(request):
    """The name of a kernel."""
    return request.param


@pytest.mark.parametrize("make", [Conv1d, ConvTranspose1d])
def test_every_kernel_position_commutes_with_the_generators(make, reps):
    layer = make(*reps, kernel_size=3).double()
    weight = layer.weight.detach()
    maps = weight.movedim(-1, 0) if make is Conv1d else weight.permute(2, 1, 0)
    maps, rng = maps.numpy(), np.random.default_rng(0)
    for g in [*reps[0].group.generators, reps[0].group.sample(generator=rng)]:
        np.testing.assert_allclose(maps @ reps[0](g), reps[1](g) @ maps, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("size", "stride", "dilation"), [(3, 1, 1), (4, 1, 2), ((3,), 2, (2,)), (1, 3, 1), *EVEN])
# torch warns of the copy that an even kernel takes
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_convolution_is_torch_s(kernel, size, stride, dilation, padding, mode):
    if padding == "same" and stride != 1:
        with pytest.raises(OptionError, match="stride must be 1, got"):
            Conv1d(REP, OUT, size, stride, padding, dilation, padding_mode=mode, kernel=kernel)
        return
    layer = Conv1d(REP, OUT, size, stride, padding, dilation, padding_mode=mode, kernel=kernel).double()
    torch.nn.init.normal_(layer.bias_coefficients)
    plain = torch.nn.Conv1d(REP.size, OUT.size, size, stride, padding, dilation, padding_mode=mode).double()
    plain.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    for x in [torch.randn(2, REP.size, 11, dtype=torch.float64), torch.randn(REP.size, 11, dtype=torch.float64)]:
        torch.testing.assert_close(layer(x), plain(x))
        torch.testing.assert_close(layer.export()(x), plain(x))


@pytest.mark.parametrize(
    ("size", "stride", "padding", "extra", "dilation"),
    [(3, 1, 0, 0, 1), (4, 2, 1, 1, 1), ((3,), (3,), (2,), (2,), (2,)), (2, 1, 0, 1, 3)],
)
def test_transposed_convolution_is_torch_s(kernel, size, stride, padding, extra, dilation):
    layer = ConvTranspose1d(REP, OUT, size, stride, padding, extra, dilation=dilation, kernel=kernel).double()
    torch.nn.init.normal_(layer.bias_coefficients)
    plain = torch.nn.ConvTranspose1d(REP.size, OUT.size, size, stride, padding, extra, dilation=dilation).double()
    plain.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    for x in [torch.randn(2, REP.size, 7, dtype=torch.float64), torch.randn(REP.size, 7, dtype=torch.float64)]:
        torch.testing.assert_close(layer(x), plain(x))
        torch.testing.assert_close(layer.export()(x), plain(x))


def test_output_size_decides_the_padding(kernel):
    layer, x = ConvTranspose1d(REP, OUT, 3, stride=2, kernel=kernel), torch.randn(2, REP.size, 7)
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


def test_frozen_convolutions_have_weights_in_the_layout_of_torch():
    for layer in [Conv1d(REP, OUT, 3), ConvTranspose1d(REP, OUT, 3)]:
        x = torch.randn(2, REP.size, 9)
        expected = layer(x)
        torch.testing.assert_close(layer.freeze()(x), expected)
        assert layer.weight.is_contiguous()
        assert layer.weight is layer.weight


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


def test_convolutions_of_every_irrep_agree_with_the_dense_weight(kernel, reps):
    """Complex and quaternionic irreps, irreps that one side lacks, and several blocks of several copies."""
    regular = reps[0].group.regular_representation if reps[0].group.order() else reps[0]
    for pair in [reps, reps[::-1], (reps[0] + regular + regular, regular + reps[1])]:
        layer = Conv1d(*pair, kernel_size=3, padding=1, kernel=kernel).double()
        assert isinstance(layer.kernel, KERNELS[kernel])
        torch.nn.init.normal_(layer.bias_coefficients)
        x = torch.randn(2, layer.in_channels, 5, dtype=torch.float64, requires_grad=True)
        plain = layer.kernel.basis.synthesize(layer.coefficients).movedim(0, -1)
        y, expected = layer(x), torch.nn.functional.conv1d(x, plain, layer.bias, padding=1)
        # float64 rounding of sums of a few hundred terms
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
        inputs, weights = [x, *layer.parameters()], torch.randn_like(y)
        for ours, theirs in zip(
            torch.autograd.grad((y * weights).sum(), inputs, retain_graph=True),
            torch.autograd.grad((expected * weights).sum(), inputs),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
        assert_equivariant(layer, layer.rep_in, layer.rep_out, x=x.detach(), dim=-2)


@pytest.mark.parametrize("rep", [REP, QuaternionGroup().regular_representation], ids=["real", "quaternionic"])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # by torch, for jvp
def test_gradients(kernel, rep):
    layer = Conv1d(rep, 2 * rep, 2, kernel=kernel).double()
    x = torch.randn(2, rep.size, 3, dtype=torch.float64, requires_grad=True)

    def convolved(x, coefficients, bias_coefficients):
        parameters = {"coefficients": coefficients, "bias_coefficients": bias_coefficients}
        return torch.func.functional_call(layer, parameters, (x,))

    assert torch.autograd.gradcheck(convolved, (x, *layer.parameters()), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(convolved, (x, *layer.parameters()), fast_mode=True)


def in_random_basis(rep):
    return change_of_basis(rep, np.linalg.qr(np.random.default_rng(0).normal(size=(rep.size,) * 2))[0])


def test_wide_convolutions_are_computed_by_irrep():
    rep, narrow = 24 * DihedralGroup(6).regular_representation, 6 * DihedralGroup(6).regular_representation
    assert isinstance(Conv1d(rep, rep, 3).kernel, Isotypic)
    assert isinstance(ConvTranspose1d(rep, rep, 3).kernel, Isotypic)
    assert isinstance(Conv1d(rep, 2 * DihedralGroup(6).regular_representation, 3).kernel, Dense)
    assert isinstance(Conv1d(narrow, narrow, 3).kernel, Dense)
    assert isinstance(Conv1d(in_random_basis(rep), in_random_basis(rep), 9).kernel, Isotypic)
    # the change of basis alone would take as long as the dense product
    assert isinstance(Conv1d(in_random_basis(rep), in_random_basis(rep), 1).kernel, Dense)
    # nothing is saved where all irreps are one
    trivial = 288 * DihedralGroup(6).trivial_representation
    assert isinstance(Conv1d(trivial, trivial, 3).kernel, Dense)


def test_strides_leave_too_few_outputs_for_a_change_of_basis():
    """The input changes its basis for every entry, and an entry of the output takes several of them."""
    rep = 24 * DihedralGroup(6).regular_representation
    assert isinstance(Conv1d(rep, rep, 3, stride=4).kernel, Dense)
    assert isinstance(ConvTranspose1d(rep, rep, 3, stride=4).kernel, Dense)


def test_unknown_kernels_are_refused():
    with pytest.raises(OptionError, match=r"kernel.*'auto', 'dense', 'isotypic'"):
        Conv1d(REP, OUT, 3, kernel="fast")


def test_representations_without_a_shared_irrep_are_refused(kernel):
    trivial, sign = CyclicGroup(2).irreps()
    with pytest.raises(RepresentationError, match="an irrep that both representations contain"):
        Conv1d(40 * trivial, 40 * sign, 3, kernel=kernel)


def test_wide_convolutions_have_the_same_arrays_and_keep_no_order_that_changes_nothing():
    regular, irreps = 12 * DihedralGroup(6).regular_representation, 16 * direct_sum(DihedralGroup(6).irreps())
    for rep in (regular, irreps):
        first, second = (make(rep, rep, 3, kernel="isotypic").kernel for make in (Conv1d, ConvTranspose1d))
        assert first is not second
        assert first._exact.keys() == second._exact.keys()
        for ours, theirs in zip(first.modules(), second.modules(), strict=True):
            assert all(np.array_equal(ours._exact[name], theirs._exact[name]) for name in ours._exact)
        assert first.source._exact["basis_0"] is second.source._exact["basis_0"]
        assert (first.order is None) == (rep is irreps)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch, while it traces
@pytest.mark.parametrize("make", [Conv1d, ConvTranspose1d])
@pytest.mark.parametrize("basis", ["permuted", "random basis"])
def test_every_kernel_traces(kernel, make, basis):
    rep = CyclicGroup(4).regular_representation
    rep = rep if basis == "permuted" else in_random_basis(rep)
    layer, x = make(rep, 2 * rep, 3, kernel=kernel), torch.randn(4, rep.size, 7)
    expected = layer(x)
    expected.square().sum().backward()
    gradient, layer.coefficients.grad = layer.coefficients.grad, None
    y = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    y.square().sum().backward()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(layer.coefficients.grad, gradient)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    torch.testing.assert_close(program.module()(x[:3]), layer(x[:3]))


def test_every_kernel_takes_autocast_and_inputs_without_samples(kernel):
    layer, x = Conv1d(REP, OUT, 3, kernel=kernel), torch.randn(2, REP.size, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    # bfloat16 has 8 bits
    torch.testing.assert_close(y.float(), layer(x), rtol=0.05, atol=0.05)
    torch.testing.assert_close(layer(x[0]), layer(x)[0])
    assert layer(x[:0]).shape == (0, OUT.size, 7)
    assert layer(x).is_contiguous()
    with pytest.raises(ShapeError, match="Flatten the leading dimensions"):
        layer(x.unsqueeze(0))


def test_no_buffer_is_larger_than_the_weight():
    rep = 4 * IcosahedralGroup().regular_representation
    layer = Conv1d(rep, rep, 3)
    assert max(buffer.numel() for buffer in layer.buffers()) <= layer.weight.numel()
