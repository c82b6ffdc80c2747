"""What a quantity refers to, and what is computed of it."""

from functools import partial

import pytest
import torch

from isospan.errors import DegenerateDataError, DtypeError, OptionError, ShapeError
from isospan.experiment._targets import Targets, parse_quantities
from isospan.experiment.samples import Samples
from isospan.quantities import pool
from isospan.quantities.fields import gradient_x


def parsed(how, name="q", variables=()):
    return parse_quantities({name: how}, variables=variables)[0]


def test_a_name_alone_is_a_built_in_quantity_before_it_is_a_variable():
    assert parsed("", "gradient_x", ["gradient_x"]).function is gradient_x
    assert parsed("", "T", ["u", "T"]).variable == "T"


def test_how_names_a_built_in_a_variable_or_a_function():
    assert parsed("gradient_x").function is gradient_x
    assert parsed("array:T", variables=["T"]).variable == "T"
    assert parsed("T", variables=["T"]).variable == "T"
    assert parsed("torch:sin").function is torch.sin
    assert parsed(torch.cos).function is torch.cos


def laplacian(x):
    """Bears the name of a built-in quantity."""
    return x


def test_a_function_is_written_down_as_what_finds_it_again():
    text = parsed(laplacian).text
    assert parsed(text).function is laplacian
    for hidden in (lambda x: x, partial(laplacian)):
        with pytest.raises(OptionError, match=r"must be importable, got .*\. Define it at the top of a module"):
            parsed(parsed(hidden, "laplacian").text, "laplacian")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nothing", r"no quantity 'nothing'. Built in are divergence, enstrophy, .*\. The file has the variables u"),
        ("array:T", "no variable 'T'. The file has u"),
        ("math:pi", "must be a function of fields .*, got float"),
        ("missing_module:f", "cannot be imported"),
    ],
)
def test_what_refers_to_nothing_is_named(how, message):
    with pytest.raises(OptionError, match=message):
        parsed(how, variables=["u"])


def test_at_least_one_quantity():
    with pytest.raises(DegenerateDataError):
        parse_quantities({})


def samples(**arrays):
    return Samples(torch.randn(5, 2, 12, 10), arrays)


def test_built_ins_know_the_grid():
    batch = samples()
    targets = Targets(parse_quantities({"gradient_x": ""}), dx=0.5, periodic=True, n={"gradient_x": 3})
    assert torch.equal(targets(batch)["gradient_x"], pool(gradient_x(batch.fields, dx=0.5, periodic=True), 3))
    assert torch.equal(targets.unpooled(batch)["gradient_x"], gradient_x(batch.fields, dx=0.5, periodic=True))


def test_functions_get_only_what_they_name():
    seen = []

    def with_grid(x, *, dx):
        seen.append(dx)
        return x

    def with_all(x, **options):
        seen.append(options)
        return x

    quantities = parse_quantities({"plain": lambda x: x, "grid": with_grid, "all": with_all})
    Targets(quantities, dx=2.0)(samples())
    assert seen == [2.0, {"dx": 2.0, "periodic": False}]


def test_a_built_in_function_need_not_tell_its_arguments():
    batch = samples()
    assert torch.equal(Targets(parse_quantities({"q": "torch:sin"}))(batch)["q"], batch.fields.sin())


def test_arrays_of_every_layout_become_targets():
    arrays = {
        "number": torch.randn(5),
        "series": torch.randn(5, 7),
        "field": torch.randn(5, 12, 10),
        "channels": torch.randn(5, 3, 12, 10),
    }
    targets = Targets(parse_quantities(dict.fromkeys(arrays, ""), variables=list(arrays)), n={"series": 2, "field": 4})
    shapes = {name: tuple(y.shape) for name, y in targets(samples(**arrays)).items()}
    assert shapes == {"number": (5, 1), "series": (5, 2), "field": (5, 1, 4, 4), "channels": (5, 3, 12, 10)}


def test_a_function_that_forgets_the_samples_is_named():
    targets = Targets(parse_quantities({"total": lambda x: x.sum()}))
    with pytest.raises(ShapeError, match=r"'total' must have one row for each of the 5 samples .* got shape \(\)"):
        targets(samples())


def broken(x):
    return x.nonexistent()


def test_an_error_in_a_function_names_the_quantity_and_the_line():
    with pytest.raises(
        OptionError, match=r"'q' .* AttributeError: .*test_targets\.py, line \d+: return x\.nonexistent"
    ):
        Targets(parse_quantities({"q": broken}))(samples())
    with pytest.raises(DtypeError, match=r"'q' must be a torch\.Tensor, got ndarray"):
        Targets(parse_quantities({"q": lambda x: x.numpy()}))(samples())


def test_a_quantity_of_a_velocity_says_what_it_needs():
    fields = Samples(torch.zeros(3, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"'e': A velocity .* use 'kinetic_energy_from_vorticity'"):
        Targets(parse_quantities({"e": "kinetic_energy"}))(fields)


@pytest.mark.parametrize("how", ["age", "array:age"])
def test_an_array_of_another_length_is_not_said_to_be_missing(how):
    with pytest.raises(ShapeError, match=r"'age' has shape \(150,\), not 200 samples"):
        parse_quantities({"a": how}, left_out={"age": "has shape (150,), not 200 samples along dimension 0"})
