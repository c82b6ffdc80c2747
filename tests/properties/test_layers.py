"""Layers keep the symmetry at any size, batch and memory layout, and treat samples one by one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan import nn
from isospan.errors import IsospanError
from isospan.representations import direct_sum
from isospan.testing import TOLERANCE, assert_equivariant

from .strategies import groups, laid_out, layouts, near, normal, representations, seeds, unchanged

LAYERS = {
    "Linear": lambda rep, other: nn.Linear(rep, other),
    "Conv1d": lambda rep, other: nn.Conv1d(rep, other, 3, padding=1),
    "ConvTranspose1d": lambda rep, other: nn.ConvTranspose1d(rep, other, 2, stride=2),
    "ChangeOfBasis": lambda rep, other: nn.ChangeOfBasis(rep),
    "IrrepNorm": lambda rep, other: nn.IrrepNorm(rep),
    "IrrepInvariants": lambda rep, other: nn.IrrepInvariants(rep),
    "LayerNorm": lambda rep, other: nn.LayerNorm(rep),
    "RMSNorm": lambda rep, other: nn.RMSNorm(rep),
    "BatchNorm1d": lambda rep, other: nn.BatchNorm1d(rep),
    "Dropout": lambda rep, other: nn.Dropout(rep),
    "NormActivation": lambda rep, other: nn.NormActivation(rep),
    "GatedActivation": lambda rep, other: nn.GatedActivation(rep),
    "PositionalEncoding": lambda rep, other: nn.PositionalEncoding(rep),
}
SERIES, TOKENS = ("Conv1d", "ConvTranspose1d"), ("PositionalEncoding",)
ONE_BATCH = (*SERIES, "BatchNorm1d")


@st.composite
def pairs(draw):
    """Representations of one group, with several invariants in both."""
    group = draw(groups)
    invariant = 2 * group.trivial_representation
    return tuple(direct_sum([draw(representations(group, max_size=6)), invariant]) for _ in range(2))


@pytest.mark.parametrize("name", LAYERS)
@given(
    pairs(), st.lists(st.integers(0, 3), max_size=3), layouts, seeds, st.sampled_from([torch.float32, torch.float64])
)
def test_a_layer(name, pair, batch, layout, seed, dtype):
    # of layouts: the same products, at most in another order; of single samples: what isospan.testing allows
    torch.manual_seed(seed)
    layer = LAYERS[name](*pair).to(dtype).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    shape = [*(batch[:1] or [2]), layer.rep_in.size, 5] if name in SERIES else [*batch, layer.rep_in.size]
    shape = [*(batch[:1] or [2]), layer.rep_in.size] if name == "BatchNorm1d" else shape
    shape = [*batch, 5, layer.rep_in.size] if name in TOKENS else shape
    x = normal(seed, *shape, dtype=dtype)
    moved = laid_out(x, layout if x.dim() > 1 else "contiguous")
    same = unchanged(moved)
    y = layer(moved)
    assert same()
    assert y.dtype == dtype
    assert y.shape[: max(len(shape) - 2, 0)] == x.shape[: max(len(shape) - 2, 0)]
    near(y, layer(x), 30 * torch.finfo(dtype).eps, unit=10.0)
    for i in range(len(x) if x.dim() > 1 and name not in TOKENS else 0):
        near(
            layer(x[i : i + 1] if name in ONE_BATCH else x[i])[0 if name in ONE_BATCH else ...],
            y[i],
            TOLERANCE[dtype],
            unit=10.0,
        )
    if x.numel():
        dim = -2 if name in SERIES else -1
        assert_equivariant(layer, layer.rep_in, getattr(layer, "rep_out", None), x=x, dim=dim, elements=2)


@pytest.mark.parametrize("name", LAYERS)
@given(pairs(), st.sampled_from(["integers", "complex", "text", "array", "wider", "scalar"]))
def test_what_a_layer_cannot_take(name, pair, wrong):
    layer = LAYERS[name](*pair)
    n = layer.rep_in.size
    x = torch.ones(2, n, 5) if name in SERIES else torch.ones(2, 5, n) if name in TOKENS else torch.ones(2, n)
    bad = {
        "integers": x.long(),
        "complex": x.to(torch.complex64),
        "text": "x",
        "array": x.numpy(),
        "wider": torch.cat([x, x], -2 if name in SERIES else -1),
        "scalar": x.sum(),
    }
    with pytest.raises(IsospanError):
        layer(bad[wrong])
