"""Decorators that prepare arguments, by position and by keyword."""

import pytest
import torch

from isospan.compat.spacelearn.data import ensure_dim, to_device
from isospan.errors import NameMismatchError, OptionError


def dims_of(a, b, *rest, scale=1, **extra):
    """Number of dimensions of each argument, None for what is no tensor."""
    values = [a, b, *rest, scale, *extra.values()]
    return [v.dim() if isinstance(v, torch.Tensor) else None for v in values]


X = torch.zeros(3)


def test_ensure_dim_expands_every_tensor():
    assert ensure_dim(dims_of, dims=4)(X, X[None], X, scale=X, c="text") == [4, 4, 4, 4, None]


def test_ensure_dim_prepends_axes_and_keeps_larger_tensors():
    shape = ensure_dim(lambda x: x.shape, dims=3)
    assert shape(torch.zeros(5, 6)) == (1, 5, 6)
    assert shape(torch.zeros(2, 3, 4, 5)) == (2, 3, 4, 5)
    assert shape(torch.zeros(4, 6).T) == (1, 6, 4)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [((X, X), {}, [3, 1, None]), ((X,), {"b": X}, [3, 1, None]), ((), {"b": X, "a": X}, [3, 1, None])],
)
def test_targets_apply_by_position_and_by_keyword(args, kwargs, expected):
    assert ensure_dim(dims=3, targets=["a"])(dims_of)(*args, **kwargs) == expected


@pytest.mark.parametrize(("targets", "expected"), [(["rest"], [1, 1, 3, 3, None]), (["b"], [1, 3, 1, 1, None])])
def test_the_name_of_further_arguments_means_all_of_them(targets, expected):
    assert ensure_dim(dims=3, targets=targets)(dims_of)(X, X, X, X) == expected


def test_targets_reach_through_kwargs_and_nested_decorators():
    both = ensure_dim(ensure_dim(dims_of, dims=2, targets=["a"]), dims=3, targets=["b", "extra_field"])
    assert both(X, X, extra_field=X) == [2, 3, None, 3]


@pytest.mark.parametrize("targets", [None, []])
def test_no_targets_means_all(targets):
    assert ensure_dim(dims_of, dims=2, targets=targets)(X, X) == [2, 2, None]
    on_meta = to_device(lambda x, y: (x.device.type, y), device="meta", targets=targets)
    assert on_meta(X, 5) == ("meta", 5)


def test_to_device_bare_and_with_arguments():
    @to_device
    def bare(x):
        return x.device.type

    @to_device(device="meta", targets=["x"])
    def some(x, y):
        return x.device.type, y.device.type

    assert bare(torch.zeros(2, device="meta").new_zeros(2, device="cpu")) == "cpu"
    assert some(X, X) == some(y=X, x=X) == ("meta", "cpu")


def test_signature_and_docstring_survive():
    wrapped = ensure_dim(dims_of, dims=2)
    assert wrapped.__name__ == "dims_of"
    assert wrapped.__doc__ == dims_of.__doc__


def test_methods():
    class Model:
        @ensure_dim(dims=2, targets=["x"])
        def shape(self, x):
            return tuple(x.shape)

    assert Model().shape(X) == (1, 3)


def test_functions_without_a_signature():
    assert ensure_dim(torch.sin, dims=2)(X).shape == (1, 3)


def test_errors():
    with pytest.raises(NameMismatchError, match=r"arguments of 'f', which are \['x'\], got \['y'\]"):

        @ensure_dim(dims=2, targets=["x", "y"])
        def f(x):
            return x

    with pytest.raises(OptionError, match="dims must be at least 0, got -1"):
        ensure_dim(dims_of, dims=-1)
    with pytest.raises(TypeError, match="dims"):
        ensure_dim(dims_of)
