"""Functions called together, each with the arguments it names."""

import functools

import pytest
import torch

from isospan.errors import (
    DtypeError,
    IsospanError,
    MissingArgumentError,
    NameMismatchError,
    OptionError,
    ShapeError,
)
from isospan.quantities import combine, pool


def scaled(A: torch.Tensor, q: int):
    return A * q


def gram(A: torch.Tensor):
    return A.T @ A


FIELD = torch.randn(3, 1, 8, 8)


class TestComputeQ:
    def test_each_function_gets_what_it_names(self):
        A = torch.randn(4, 3)
        result = combine(scaled, G=gram)(A=A, q=5, unused="x")
        assert list(result) == ["scaled", "G"]
        assert torch.equal(result["scaled"], A * 5)
        assert torch.equal(result["G"], A.T @ A)

    def test_kwargs_get_all(self):
        def everything(a, **rest):
            return a, rest

        assert combine(everything, b=lambda b: b)(a=1, b=2, c=3) == {"everything": (1, {"b": 2, "c": 3}), "b": 2}

    def test_defaults_and_keyword_only(self):
        def f(x, y=10, *, z=100):
            return x + y + z

        assert combine(f)(x=1)["f"] == 111
        assert combine(f)(x=1, z=5)["f"] == 16

    def test_positional_only_and_variadic(self):
        def f(a, b=2, c=3, /, *rest, **others):
            return a, b, c, rest, others

        assert combine(f)(a=1, c=5, rest=7, d=8)["f"] == (1, 2, 5, (), {"rest": 7, "d": 8})
        assert combine(g=lambda *args: args)(args=1)["g"] == ()

    def test_no_arguments(self):
        assert combine(done=lambda: "done")() == {"done": "done"}

    def test_methods_and_partials(self):
        half = functools.partial(scaled, q=0.5)
        assert combine(half=half, lower="A".lower)(A=4.0) == {"half": 2.0, "lower": "a"}

    def test_missing_argument_names_function_and_argument(self):
        with pytest.raises(
            MissingArgumentError, match=r"Quantity 'scaled' needs the argument 'q', got \['A'\]"
        ) as error:
            combine(scaled, G=gram)(A=torch.zeros(2, 2))
        assert isinstance(error.value, TypeError)

    def test_different_annotations_name_both_functions(self):
        def f(x: int): ...

        def g(x: torch.Tensor): ...

        message = r"Type mismatch for argument 'x': 'f' annotates it as int, 'other' as torch.Tensor"
        with pytest.raises(TypeError, match=message):
            combine(f, other=g)

    def test_conflict_behind_a_function_without_annotation(self):
        def f(x: int): ...

        def h(x: str): ...

        with pytest.raises(TypeError, match=r"'f' .* 'h'"):
            combine(f, g=lambda x: x, h=h)

    def test_equal_annotations_as_text_and_as_type(self):
        def f(x: "torch.Tensor"):
            return x

        def g(x: torch.Tensor):
            return x

        def unresolvable(x: "NoSuchType"):  # noqa: F821
            return x

        assert combine(f, g, unresolvable)(x=1) == {"f": 1, "g": 1, "unresolvable": 1}

    def test_registration_errors(self):
        with pytest.raises(NameMismatchError, match="second named 'gram'"):
            combine(gram, gram=gram)
        with pytest.raises(NameMismatchError, match="has no __name__"):
            combine(functools.partial(scaled, q=2))
        with pytest.raises(OptionError, match="must be a function, got 5"):
            combine(5)
        with pytest.raises(OptionError, match="signature of 'sin' cannot be read"):
            combine(torch.sin)
        with pytest.raises(MissingArgumentError, match="At least one function"):
            combine()


class TestPooled:
    @pytest.mark.parametrize("mode", ["avg", "max"])
    def test_equals_compute_then_pool(self, mode):
        functions = {"field": lambda field: field, "slope": lambda field: field.diff()}
        pooled = combine(**functions).pooled(4, mode=mode)(field=FIELD)
        for name, y in combine(**functions)(field=FIELD).items():
            assert torch.equal(pooled[name], pool(y, 4, mode=mode))

    def test_resolutions_by_name(self):
        def rows(field):
            return field.flatten(1)

        result = combine(rows, field=lambda field: field).pooled({"field": 2, "rows": 5})(field=FIELD)
        assert {name: tuple(y.shape) for name, y in result.items()} == {"rows": (3, 5), "field": (3, 1, 2, 2)}

    @pytest.mark.parametrize("n", [{"a": 2}, {"a": 2, "b": 2, "c": 2}, {}])
    def test_resolutions_must_name_the_functions(self, n):
        with pytest.raises(NameMismatchError, match=r"n must name the quantities of the functions \['a', 'b'\]"):
            combine(a=lambda x: x, b=lambda x: x).pooled(n)

    def test_resolutions_must_be_whole(self):
        with pytest.raises(OptionError, match=r"n of quantity 'a' must be at least 1, got 0"):
            combine(a=lambda x: x).pooled({"a": 0})

    def test_pooling_errors_name_the_quantity(self):
        with pytest.raises(ShapeError, match=r"^Invalid number of dimensions: 3 .*\(quantity 'bad'\)"):
            combine(bad=lambda x: x).pooled(2)(x=torch.zeros(2, 3, 4))
        with pytest.raises(OptionError, match=r"^Invalid mode: 'mean'.*\(quantity 'a'\)"):
            combine(a=lambda x: x).pooled(2, mode="mean")(x=torch.zeros(2, 4))
        with pytest.raises(DtypeError, match=r"got torch.int64.*\(quantity 'a'\)"):
            combine(a=lambda x: x).pooled(2)(x=torch.zeros(2, 4, dtype=torch.int64))
        with pytest.raises(DtypeError, match=r"must be a torch.Tensor, got float.*\(quantity 'a'\)"):
            combine(a=lambda x: x).pooled(2)(x=1.0)

    def test_missing_argument(self):
        with pytest.raises(IsospanError, match="'a' needs the argument 'field', got none"):
            combine(a=lambda field: field).pooled(2)()
