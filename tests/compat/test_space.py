"""Space is a frozen mapping name -> (W, A, V)."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError

import pytest
import torch

from isospan.compat.spacelearn._space import Space
from isospan.errors import NameMismatchError


@pytest.fixture
def space():
    W = {"a": torch.randn(2, 5), "b": torch.randn(1, 5)}
    return Space(W, {"a": torch.randn(2, 3), "b": torch.randn(1, 4)}, {"a": torch.randn(3), "b": torch.randn(4)})


def test_mapping(space):
    assert isinstance(space, Mapping)
    assert (list(space), list(space.keys()), len(space)) == (["a", "b"], ["a", "b"], 2)
    assert "a" in space
    assert "c" not in space
    for (name, triple), value in zip(space.items(), space.values(), strict=True):
        assert all(
            x is y is z for x, y, z in zip(triple, value, (space.W[name], space.A[name], space.V[name]), strict=True)
        )
    W, A, V = space["b"]
    assert (W.shape, A.shape, V.shape) == ((1, 5), (1, 4), (4,))
    with pytest.raises(KeyError):
        space["c"]


def test_frozen(space):
    with pytest.raises(FrozenInstanceError):
        space.W = {}


def test_to(space):
    double = space.to(torch.float64)
    assert {t.dtype for triple in double.values() for t in triple} == {torch.float64}
    assert space.W["a"].dtype == torch.float32
    assert double.to("meta").W["a"].device.type == "meta"


def test_names_must_agree(space):
    with pytest.raises(NameMismatchError, match=r"A must name the quantities of W.*missing \['b'\]"):
        Space(space.W, {"a": space.A["a"]}, space.V)
    with pytest.raises(NameMismatchError, match=r"V must name the quantities of W.*unknown \['x'\]"):
        Space(space.W, space.A, space.V | {"x": space.V["a"]})


def test_repr_shows_shapes_only(space):
    assert repr(space) == "Space(a: W (2, 5), A (2, 3), b: W (1, 5), A (1, 4))"
