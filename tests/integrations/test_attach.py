"""Reading, erasing and editing at a module of any model, against a hook written by hand around the space's methods."""

import contextlib
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from isospan.errors import (
    DtypeError,
    NameMismatchError,
    NonFiniteError,
    NotSolvedError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.integrations import _attach, attach
from isospan.moments import Moments
from isospan.subspaces import eraser, solve_subspaces

D = 8


def data(n=300, seed=0, latent_dim=D):
    """Correlated latents of nonzero mean; a scalar, a vector and a matrix that depend on them."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, latent_dim, generator=g) @ torch.randn(latent_dim, latent_dim, generator=g) + 3
    noise = torch.randn(n, 9, generator=g)
    y = {
        "a": z[:, :2].sum(1) + noise[:, 0],
        "b": z[:, 2:4] + noise[:, 1:3],
        "c": (z[:, 4:5] + noise[:, 3:9]).reshape(n, 2, 3),
    }
    return z, y


def solved(latent_dim=D):
    z, y = data(latent_dim=latent_dim)
    return solve_subspaces(z, y, k={"a": 1, "b": 2, "c": 1})


def close(got, expected, factor=1.0):
    """Equal to float32 rounding of latents and targets of size 10 to 100, times the condition of the steps."""
    assert_close(got, expected.to(got.dtype), rtol=1e-5 * factor, atol=2e-5 * factor)


def hooked(module, change):
    """The oracle: a hook that applies a function to the tensor that comes first."""

    def hook(module, args, output):
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    return module.register_forward_hook(hook)


class Returns(nn.Module):
    """Returns what a function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# What is done at a call.


@pytest.mark.parametrize("shape", [(D,), (5, D), (2, 3, D), (0, D)])
def test_read_erase_and_edit_equal_the_methods_of_the_space(shape):
    space, z = solved(), torch.randn(shape)
    target = {"a": 2.0, "b": np.array([1.0, -1.0])}
    module = nn.Identity()
    with attach(module, space, read=["a", "c"], erase="c", edit=target) as seen:
        got = module(z)
    erased = space.erase(z.double(), "c")
    close(got, space.edit(erased, target))
    for name in ("a", "c"):
        close(seen[name][0], space.decode(z.double())[name])
    assert set(seen) == {"a", "c"}


def test_a_function_is_given_the_value_after_erasure():
    space, (z, y) = solved(), data()
    erase, module = eraser(Moments.of(z, y), "b"), nn.Identity()
    with attach(module, space, erase=erase, edit={"a": lambda a: 1.5 * a, "c": lambda c: c[..., :1, :] + 1.0}):
        got = module(z[:6].reshape(2, 3, D))
    before = space.decode(erase(z[:6].double()))
    expected = space.edit(erase(z[:6].double()), {"a": 1.5 * before["a"], "c": before["c"][:, :1] + 1.0})
    close(got, expected.reshape(2, 3, D), factor=5)


@pytest.mark.parametrize("with_eraser", [False, True])
@pytest.mark.parametrize("target", [2.0, lambda a: 2 * a + 1])
def test_what_is_erased_stays_uncorrelated_after_an_edit(with_eraser, target):
    space, (z, y) = solved(), data()
    z, erased = z.double(), {"b": y["b"].double()} if with_eraser else {"b": solved().encode(z.double())["b"]}
    module = nn.Identity()
    erase = eraser(Moments.of(z, {"b": y["b"].double()}), "b") if with_eraser else "b"
    with attach(module, space, erase=erase, edit={"a": target}):
        got = module(z)
    before, after = (Moments.of(x, erased).cov_zy["b"].abs().max() for x in (z, got))
    assert after < 1e-5 * before  # the space is of float32
    assert (space.decode(got)["a"].std() < 1e-3) == isinstance(target, float)


def test_targets_of_each_latent_and_a_call_that_they_do_not_fit():
    space, z, module = solved(), torch.randn(4, 3, D), nn.Identity()
    for target in (torch.randn(4, 3, 2), torch.randn(4, 1, 2), torch.randn(3, 2), torch.randn(1, 1, 2)):
        with attach(module, space, edit={"b": target, "a": 0.5}):
            close(module(z), space.edit(z.double(), {"b": target.double(), "a": 0.5}))
    with (
        attach(module, space, edit={"b": torch.randn(4, 3, 2)}),
        pytest.raises(ShapeError, match=r"\(2,\), one for all latents, or \(4, 1, 2\), one for each of this call, got"),
    ):
        module(z[:, :1])


def test_doing_nothing_returns_the_same_object():
    z = torch.randn(2, D)
    outputs = (z, None)
    module = Returns(lambda x: outputs)
    for options in ({}, {"read": "a"}, {"read": lambda y: None}, {"read": [], "edit": {}, "erase": ()}):
        with attach(module, solved(), **options):
            assert module(z) is outputs


def test_the_input_and_the_space_do_not_change():
    z, space = torch.randn(2, D), solved()
    before = z.clone()
    with attach(nn.Identity(), space) as nothing:
        assert nothing == {}
    module = Returns(lambda x: {"z": z})
    with attach(module, space, edit={"a": 1.0}):
        assert module(z)["z"] is not z
    assert torch.equal(z, before)
    assert module(z)["z"] is z


def test_gradients_flow_through_an_edit_and_to_its_target():
    space = solved()
    module, z = nn.Linear(D, D), torch.randn(5, D)
    target = torch.tensor(1.0, requires_grad=True)
    with attach(module, space, edit={"a": target}):
        for _ in range(2):  # nothing that is kept between calls belongs to the graph of the first
            module.zero_grad()
            target.grad = None
            module(z).square().sum().backward()
    expected, own = nn.Linear(D, D).double(), target.detach().double().requires_grad_()
    expected.load_state_dict(module.state_dict())
    space.edit(expected(z.double()), {"a": own}).square().sum().backward()
    assert_close(module.weight.grad, expected.weight.grad.float(), rtol=1e-4, atol=1e-3)
    assert_close(target.grad, own.grad.float(), rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        target += 1.0
    with attach(module, space, edit={"a": target}):
        close(space.decode(module(z))["a"], torch.full((5,), 2.0))
        with torch.no_grad():
            target += 1.0
        close(space.decode(module(z))["a"], torch.full((5,), 3.0))


def test_gradients_after_a_call_in_inference_mode():
    module, space = Returns(lambda x: 2 * x), solved()
    z = torch.randn(3, D, dtype=torch.bfloat16, requires_grad=True)  # for which all is copied to float32
    with attach(module, space, edit={"a": 1.0}):
        with torch.inference_mode():
            module(z)
        module(z).sum().backward()
    assert z.grad is not None


def test_gradients_in_a_block_that_was_entered_in_inference_mode():
    module, space, z = Returns(lambda x: 2 * x), solved(), torch.randn(3, D, dtype=torch.float64, requires_grad=True)
    with contextlib.ExitStack() as stack:
        with torch.inference_mode():
            stack.enter_context(attach(module, space, edit={"a": 1.0}, erase="b"))
        module(z).sum().backward()
    assert z.grad.any()


# rounding of the output: half an ulp of values of size 10
@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.1), (torch.float16, 0.02), (torch.float64, 1e-9)])
def test_the_dtype_stays(dtype, error):
    z, space = torch.randn(4, D).to(dtype), solved()
    module = nn.Identity()
    with attach(module, space, read="a", erase="b", edit={"a": 1.0}) as seen:
        got = module(z)
    assert got.dtype == dtype
    assert seen["a"][0].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_close(got.double(), space.edit(space.erase(z.double(), "b"), {"a": 1.0}), rtol=0, atol=error)
    assert_close(seen["a"][0].double(), space.decode(z.double())["a"], rtol=1e-5, atol=1e-5)


def test_autocast_lowers_the_model_and_not_the_edit():
    space, module, z = solved(), nn.Linear(D, D), torch.randn(4, D)
    with torch.autocast("cpu", torch.bfloat16):
        plain = module(z)
        with attach(module, space, read="a", edit={"a": 1.0}) as seen:
            got = module(z)
    assert plain.dtype == got.dtype == torch.bfloat16
    assert torch.equal(got, space.edit(plain.double(), {"a": 1.0}).bfloat16())
    close(seen["a"][0], space.decode(plain.double())["a"])


def test_nan_passes_through_without_an_error():
    z, module = torch.randn(3, D), nn.Identity()
    z[1] = torch.nan
    with attach(module, solved(), edit={"a": 1.0}, read="a") as seen:
        got = module(z)
    assert got.isnan().all(1).tolist() == seen["a"][0].isnan().tolist() == [False, True, False]


# Where the latents are.

Named = namedtuple("Named", ["z", "extra"])


@dataclass(frozen=True)
class Frozen:
    z: Tensor
    extra: Any = None


OUTPUTS = {
    "tensor": lambda z: z,
    "tuple": lambda z: (z, torch.ones(2, 3, 3), None, "text"),
    "list": lambda z: [torch.ones(3), z],
    "named tuple": lambda z: Named(z, 1),
    "dict": lambda z: {"loss": torch.ones(()), "z": z, "ids": torch.ones(2, D, dtype=torch.long)},
    "ordered dict": lambda z: OrderedDict(z=z),
    "read-only dict": lambda z: (MappingProxyType({"x": 1}), z),
    "dataclass": lambda z: Frozen(extra=(torch.ones(D, 1),), z=z),
    "nested": lambda z: {"out": [Frozen(Named((z,), 2))]},
    "twice": lambda z: Named(z, (z, [z])),
    "return type of torch": lambda z: torch.max(z[None], 0),
}


def tensors(output):
    """All tensors, in order."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if hasattr(output, "values") and not isinstance(output, tuple) else None
    items = values if values is not None else vars(output).values() if isinstance(output, Frozen) else None
    items = items if items is not None else output if isinstance(output, (tuple, list)) else []
    return [tensor for item in items for tensor in tensors(item)]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_every_kind(kind):
    space, z, module = solved(), torch.randn(2, 3, D), Returns(OUTPUTS[kind])
    plain = module(z)
    with attach(module, space, edit={"a": 1.0}):
        got = module(z)
    assert type(got) is type(plain)
    expected = [
        space.edit(t, {"a": 1.0}) if t.dtype.is_floating_point and t.shape[-1:] == (D,) else t for t in tensors(plain)
    ]
    assert len(expected) >= 1
    for one, other in zip(tensors(got), expected, strict=True):
        assert_close(one, other)
    assert torch.equal(tensors(module(z))[0], tensors(plain)[0])


def test_several_tensors_that_may_be_the_latents_are_refused_and_listed():
    module, space, z = nn.LSTM(4, D), solved(), torch.randn(5, 2, 4)
    with (
        attach(module, space, edit={"a": 1.0}),
        pytest.raises(OptionError, match=r"LSTM.*got the tensors.*D = 8: '0' \(5, 2, 8\), '1.0' \(1, 2, 8\), '1.1' \("),
    ):
        module(z)
    plain = module(z)
    for output, i in ((0, 0), ("1.0", 1)):
        with attach(module, space, edit={"a": 1.0}, output=output):
            got = module(z)
        for j, (one, other) in enumerate(zip(tensors(got), tensors(plain), strict=True)):
            assert_close(one, space.edit(other, {"a": 1.0}) if i == j else other)
    with (
        attach(module, space, edit={"a": 1.0}, output="2"),
        pytest.raises(OptionError, match=r"output='2' is not among the tensors.*'1.1' \(1, 2, 8\)"),
    ):
        module(z)


def test_the_place_that_was_found_stays_where_another_tensor_has_d_last_by_chance():
    module = Returns(lambda z: (z, z.new_ones(len(z), len(z))))  # as attention weights of as many tokens
    space = solved()
    with attach(module, space, edit={"a": 1.0}):
        module(torch.randn(3, D))
        z, weights = module(torch.randn(D, D))
    close(space.decode(z)["a"], torch.ones(D))
    assert torch.equal(weights, torch.ones(D, D))


def test_an_output_without_latents_is_refused():
    module = Returns(lambda z: {"maps": torch.ones(2, D, 4, 4), "ids": torch.ones(2, D, dtype=torch.long)})
    with (
        attach(module, solved(), read="a"),
        pytest.raises(
            ShapeError, match=r"Returns must hold .* D = 8 .* got 'maps' \(2, 8, 4, 4\), 'ids' \(2, 8\)\. At"
        ),
    ):
        module(torch.ones(1))
    module = Returns(str)
    with attach(module, solved(), read="a"), pytest.raises(ShapeError, match="got str"):
        module(torch.ones(1))


# The block.


def test_the_hook_goes_with_the_block_also_after_an_exception():
    module, space = nn.Identity(), solved()
    with pytest.raises(ShapeError, match="got \\(2, 3\\)"), attach(module, space, edit={"a": 1.0}):
        module(torch.randn(2, 3))
    assert not module._forward_hooks
    z = torch.randn(2, D)
    assert module(z) is z


def test_blocks_on_one_module_apply_in_the_order_in_which_they_are_entered():
    module, space, z = nn.Identity(), solved(), torch.randn(2, D)
    with attach(module, space, read="a") as before, attach(module, space, edit={"a": 1.0}):
        with attach(module, space, edit={"a": lambda a: a + 2}), attach(module, space, read="a") as after:
            module(z)
        module(z)
    close(after["a"][0], torch.full((2,), 3.0))
    assert (len(before["a"]), len(after["a"])) == (2, 1)
    close(before["a"][1], space.decode(z)["a"])


def test_blocks_on_several_modules_and_several_calls_a_pass():
    space, shared, last = solved(), nn.Linear(D, D), nn.Identity()
    z = torch.randn(2, D)
    with attach(shared, space, read="a", edit={"a": 1.0}) as seen, attach(last, space, edit={"a": 5.0}):
        got = last(shared(shared(z)))
    once = space.edit(shared(z), {"a": 1.0})
    close(seen["a"][0], space.decode(shared(z))["a"])
    close(seen["a"][1], space.decode(shared(once))["a"])
    close(got, space.edit(space.edit(shared(once), {"a": 1.0}), {"a": 5.0}), factor=5)


def test_a_function_gets_every_value_with_gradients():
    module, space, calls = nn.Linear(D, D), solved(), []
    with attach(module, space, read=calls.append) as seen:
        module(torch.randn(2, D))
        module(torch.randn(4, 3, D))
    assert seen == {}
    assert [set(call) for call in calls] == [{"a", "b", "c"}] * 2
    assert calls[1]["c"].shape == (4, 3, 2, 3)
    calls[0]["a"].sum().backward()
    assert module.weight.grad is not None


def test_what_is_collected_is_bounded_and_has_no_graph(monkeypatch):
    monkeypatch.setattr(_attach, "MOST_READ", 30)  # ten values of a, and twenty of b
    module, space = nn.Linear(D, D), solved()
    z = [torch.randn(4, D) for _ in range(5)]
    warned = pytest.warns(NumericalWarning, match="More than 30 numbers .* so the oldest calls")
    with warned as caught, attach(module, space, read=["a", "b"]) as seen:
        for x in z:
            module(x)
    assert len(caught) == 1
    assert [len(values) for values in seen.values()] == [2, 2]
    close(seen["a"][-1], space.decode(module(z[-1]))["a"].detach())
    assert not seen["a"][0].requires_grad
    with attach(module, space, read=["b"]) as seen:  # the newest call is there, however large
        module(torch.randn(20, D))
    assert len(seen["b"]) == 1


def test_a_module_that_is_not_called_gives_a_warning():
    warned = pytest.warns(NumericalWarning, match="Identity was not called inside the block")
    with warned, attach(nn.Identity(), solved(), edit={"a": 1.0}):
        pass


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"read": ["x"]}, NameMismatchError, r"holds the quantities \['a', 'b', 'c'\], got \['x'\]"),
        ({"edit": {"x": 1.0}}, NameMismatchError, r"got \['x'\]"),
        ({"erase": "x"}, NameMismatchError, r"got \['x'\]"),
        ({"edit": {"a": 1.0}, "erase": ["b", "a"]}, NameMismatchError, r"edited or erased, got \['a'\] in both"),
        ({"edit": ["a"]}, NameMismatchError, "edit must be a dict"),
        ({"edit": {"b": torch.ones(3)}}, ShapeError, r"target of 'b' must have shape \(2,\).* got \(3,\)"),
        ({"edit": {"a": "high"}}, DtypeError, "target of 'a' must be a torch.Tensor, got str"),
        ({"edit": {"a": True}}, DtypeError, "target of 'a'"),
        ({"edit": {"a": float("nan")}}, NonFiniteError, "target of 'a' must be finite"),
    ],
)
def test_what_is_asked_is_checked_on_entry(options, error, match):
    with pytest.raises(error, match=match), attach(nn.Identity(), solved(), **options):
        raise AssertionError


def test_module_space_and_eraser_are_checked_on_entry():
    z, y = data(latent_dim=5)
    for arguments, match in (
        ((solved(), solved()), "module must be"),
        ((nn.Identity(), {}), "must be a LatentSpace, got dict"),
    ):
        with pytest.raises(OptionError, match=match), attach(*arguments):
            pass
    erase = eraser(Moments.of(z, y), "a")
    with pytest.raises(ShapeError, match="D = 8 of the space, got D = 5"), attach(nn.Identity(), solved(), erase=erase):
        pass
    space = solved()
    bare = type(space)(**{what: getattr(space, what) for what in ("W", "A", "z_mean", "y_mean", "y_scale", "shapes")})
    for options in ({"edit": {"a": 1.0}}, {"erase": "a"}):
        with pytest.raises(NotSolvedError, match="covariance"), attach(nn.Identity(), bare, **options):
            pass
    module = nn.Identity()
    with attach(module, bare, erase=eraser(Moments.of(*data()), "a"), read="a"):
        module(torch.randn(2, D))


def test_a_function_whose_target_does_not_fit_is_refused_at_the_call():
    module = nn.Identity()
    for function, error in ((lambda b: b[..., :1].repeat(1, 3), ShapeError), (lambda b: None, DtypeError)):
        with attach(module, solved(), edit={"b": function}), pytest.raises(error, match="target of 'b'"):
            module(torch.randn(2, D))


# Compiled, replicated and other models.


def test_compiled_code_begins_and_ends_with_the_block():
    """Edits and erasure without a graph break; reads with one, and without compiling each call."""
    space = solved()
    model = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, 2))
    z = torch.randn(3, D)
    for options in (
        {"edit": {"a": 1.0}, "erase": "b"},
        {"edit": {"a": lambda a: 2 * a}},
        {"read": "a", "edit": {"a": 1.0}},
    ):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        compiled = torch.compile(model, backend="eager", fullgraph="read" not in options)
        with torch.no_grad():
            plain = model(z)
            with attach(model[1], space, **options) as seen:
                expected = model(z)
                for _ in range(5):
                    assert_close(compiled(z), expected)
            assert torch.equal(compiled(z), plain)
        assert not torch.equal(expected, plain)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 5
        assert all(len(values) == 6 for values in seen.values())
    with attach(compiled, solve_subspaces(torch.randn(50, 2), {"a": torch.randn(50)}, k=1), edit={"a": 0.5}):
        assert not torch.equal(compiled(z), plain)


@pytest.mark.parametrize("options", [{"edit": {"a": 1.0}}, {"erase": "b", "edit": {"a": lambda a: 2 * a}}])
def test_export_and_vmap(options):
    space, module, z = solved(), nn.Linear(D, D), torch.randn(4, D)
    with torch.no_grad(), attach(module, space, **options):
        expected = module(z)
        close(torch.vmap(module)(z), expected)
        exported = torch.export.export(module, (z,), strict=False).module()
    close(exported(z), expected)


def test_replicas_of_a_model_call_the_hook():
    """What DataParallel does with each device, here with one."""
    model, space, z = nn.Sequential(nn.Linear(D, D), nn.Tanh()), solved(), torch.randn(6, D)
    with attach(model[0], space, read="a", edit={"a": 1.0}) as seen:
        replica = model[0]._replicate_for_data_parallel()
        replica._parameters = dict(model[0]._parameters)
        got = replica(z)
    close(got, space.edit(torch.nn.functional.linear(z, model[0].weight, model[0].bias), {"a": 1.0}))
    assert len(seen["a"]) == 1


def test_a_plain_mlp():
    model = nn.Sequential(nn.Linear(4, D), nn.ReLU(), nn.Linear(D, D), nn.ReLU(), nn.Linear(D, 2))
    x = torch.randn(300, 4)
    with torch.no_grad():
        space = solve_subspaces(model[:3](x), {"sum": x.sum(1)}, k=1)
        with attach(model[2], space, read="sum", edit={"sum": lambda value: value + 1}) as seen:
            got = model(x)
        z = model[:3](x)
        close(seen["sum"][0], space.decode(z)["sum"])
        close(got, model[3:](space.edit(z, {"sum": space.decode(z)["sum"] + 1})))


class Attention(nn.Module):
    """Self-attention over the points of a feature map, as in the bottleneck of a diffusion U-Net."""

    def __init__(self, channels):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(channels), nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x):
        tokens = self.norm(x.flatten(2).mT)
        return x + self.mix(tokens, tokens, tokens)[0].mT.reshape(x.shape)


class UNet(nn.Module):
    """Two levels, a skip connection, an embedding of the step, and attention in the bottleneck."""

    def __init__(self):
        super().__init__()
        self.step = nn.Sequential(nn.Linear(1, D), nn.SiLU(), nn.Linear(D, D))
        self.down, self.shrink = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, D, 3, stride=2, padding=1)
        self.attention = Attention(D)
        self.grow, self.up = nn.ConvTranspose2d(D, 4, 2, stride=2), nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x, t):
        skip = self.down(x).relu()
        h = self.shrink(skip) + self.step(t[:, None])[:, :, None, None]
        return self.up(torch.cat([skip, self.grow(self.attention(h))], 1))


def test_a_diffusion_unet_denoises_with_edits_at_every_step():
    """At the embedding of the step (B, D), and at the tokens of the bottleneck (B, points, D), for three steps."""
    torch.manual_seed(1)
    model, space, x = UNet().eval(), solved(), torch.randn(2, 2, 8, 8)

    def denoised(x):
        for t in (1.0, 0.5, 0.0):
            x = x - 0.1 * model(x, torch.full((2,), t))
        return x

    with torch.no_grad():
        for module, options in ((model.step, {"edit": {"a": 1.0}}), (model.attention.mix, {"erase": "b", "output": 0})):
            with attach(module, space, read="a", **options) as seen:
                got = denoised(x)
            edits = "edit" in options
            handle = hooked(module, lambda z, edits=edits: space.edit(z, {"a": 1.0}) if edits else space.erase(z, "b"))
            expected = denoised(x)
            handle.remove()
            close(got, expected)
            assert [value.shape for value in seen["a"]] == [(2,) if edits else (2, 16)] * 3
            assert not torch.allclose(got, denoised(x))
