"""Networks from descriptions, to files and back."""

import sys
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from isospan._core.tensor_files import save_tensors
from isospan.errors import FileFormatError, OptionError, ShapeError
from isospan.experiment.networks._description import SCHEMA_VERSION, NetworkDescription, load_network, save_network


class Flat(nn.Module):
    def __init__(self, channels, size, latent_dim):
        super().__init__()
        self.linear = nn.Linear(channels * size[0] * size[1], latent_dim)

    def forward(self, x):
        return self.linear(x.flatten(1))


class Unbuildable(nn.Module):
    def __init__(self, only_one):
        super().__init__()


class TooShort(Flat):
    def forward(self, x):
        return super().forward(x)[:, :-1]


def test_a_seed_decides_the_weights():
    description = NetworkDescription(1, (8, 8), 3, width=4)
    a, b, c = (description.build(seed=seed).encoder[0].weight for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("encoder", [None, f"{__file__}:Flat"])
def test_a_saved_network_comes_back_with_its_record(tmp_path, encoder):
    description = NetworkDescription(2, (9, 8), 3, width=4, periodic=True, encoder=encoder)
    model = description.build(encoder, seed=3).standardise_(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).eval()
    save_network(tmp_path / "m.safetensors", model, description, {"channels": ["u", "v"]})
    again, record = load_network(tmp_path / "m.safetensors", encoder=encoder)
    x = torch.randn(3, 2, 9, 8)
    assert torch.equal(again(x)[0], model(x)[0])
    assert record == {"channels": ["u", "v"]}
    assert not again.training


def test_a_users_class_is_built_with_its_three_arguments():
    model = NetworkDescription(2, (8, 9), 3).build(Flat)
    assert isinstance(model.encoder, Flat)
    assert model.encoder.linear.in_features == 144


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (Unbuildable, OptionError, r"'Unbuildable' must be constructed as Class\(channels, size, latent_dim\)"),
        (lambda c, s, d: 3, OptionError, "must be an nn.Module, got int"),
        (TooShort, ShapeError, r"to latents \(2, 3\), got \(2, 2\) from TooShort"),
    ],
)
def test_encoders_that_cannot_be_used(encoder, error, message):
    with pytest.raises(error, match=message):
        NetworkDescription(1, (8, 8), 3).build(encoder)


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(FileFormatError, match="not a network that isospan wrote"):
        load_network(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(FileFormatError, match="not a network that isospan wrote"):
        load_network(path)
    description = NetworkDescription(1, (8, 8), 3, width=4)
    save_network(path, description.build(), description, {})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match="not a network that isospan wrote"):
        load_network(path)
    save_network(path, NetworkDescription(1, (8, 8), 4, width=4).build(), description, {})
    with pytest.raises(FileFormatError, match="do not fit the network it describes"):
        load_network(path)


@pytest.mark.parametrize(
    ("name", "value"), [("encoder.0.weight", "nan"), ("field_mean", "nan"), ("decoder.0.bias", "inf")]
)
def test_weights_that_are_not_finite_are_refused(tmp_path, name, value):
    description = NetworkDescription(1, (8, 8), 3, width=4)
    model = description.build()
    model.state_dict()[name].view(-1)[0] = float(value)
    save_network(tmp_path / "m.safetensors", model, description, {})
    with pytest.raises(FileFormatError, match=rf"m\.safetensors must hold finite weights, but {name} are not"):
        load_network(tmp_path / "m.safetensors")


def test_the_precision_of_the_units_is_saved(tmp_path):
    description = NetworkDescription(1, (8, 8), 3, width=4)
    mean, scale = torch.tensor([1e8 + 0.25]).double() + 0.25, torch.ones(1).double()
    model = description.build().standardise_(mean, scale).eval()
    save_network(tmp_path / "m.safetensors", model, description, {})
    again, _ = load_network(tmp_path / "m.safetensors")
    assert float(again.field_mean) == float(mean)
    z = torch.randn(2, 3)
    assert torch.equal(again.decode(z), model.decode(z))
    assert again.decode(z).dtype == torch.float64


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A directory of modules that counts as installed, unlike the working directory."""
    (tmp_path / "site").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "site"


FLAT = """
from torch import nn
class Flat(nn.Module):
    def __init__(self, channels, size, latent_dim):
        super().__init__()
        self.linear = nn.Linear(channels * size[0] * size[1], latent_dim)
    def forward(self, x):
        return self.linear(x.flatten(1))
def flat(channels, size, latent_dim):
    raise SystemExit("it was called")
"""


def saved(path, named, **changes):
    """A file of a network with the encoder Flat that names another, and may say other things too."""
    description = NetworkDescription(1, (8, 8), 3, width=4, encoder=named)
    weights = description.build(Flat).state_dict()
    header = {**asdict(description), **changes}
    save_tensors(path, weights, kind="network", schema=SCHEMA_VERSION, network=header, run={})
    return path


def test_no_name_of_a_file_is_imported_unasked(installed, tmp_path):
    (installed / "evil_unasked.py").write_text("raise SystemExit('it was imported')")
    path = saved(tmp_path / "m.safetensors", "evil_unasked:Flat")
    with pytest.raises(OptionError, match=r"'evil_unasked:Flat'.* imported unasked.* encoder=CLASS; or trust=True"):
        load_network(path)
    assert load_network(path, encoder=Flat)[0].latent_dim == 3


def test_a_trusted_name_is_that_of_an_installed_module(installed, tmp_path):
    (installed / "my_installed_nets.py").write_text(FLAT)
    path = saved(tmp_path / "m.safetensors", "my_installed_nets:Flat")
    assert type(load_network(path, trust=True)[0].encoder).__module__ == "my_installed_nets"


@pytest.mark.parametrize("entry", ["", ".", "absolute"])
@pytest.mark.parametrize("reference", ["my_nets_here:Flat", "my_nets_here.py:Flat", "./my_nets_here.py:Flat"])
def test_files_and_the_working_directory_are_not_searched_even_if_trusted(
    installed, tmp_path, monkeypatch, entry, reference
):
    (tmp_path / "here" / "my_nets_here.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "here") if entry == "absolute" else entry)
    before = list(sys.path)
    path = saved(tmp_path / "m.safetensors", reference)
    with pytest.raises(OptionError, match=f"installed module.*encoder=CLASS, such as encoder='{reference}'"):
        load_network(path, trust=True)
    assert sys.path == before


def test_a_path_in_a_file_is_refused_even_where_a_module_has_its_name(installed, tmp_path):
    (installed / "my_path").mkdir()
    (installed / "my_path" / "py.py").write_text(FLAT)
    path = saved(tmp_path / "m.safetensors", "my_path.py:Flat")
    with pytest.raises(OptionError, match=r"and not a path, got 'my_path\.py:Flat'.*encoder='my_path\.py:Flat'"):
        load_network(path, trust=True)


def test_the_shape_of_a_weight_that_is_a_number_is_said():
    description = NetworkDescription(1, (8, 8), 3, width=4)
    weights = description.build().state_dict()
    for given, got in (({"field_mean": torch.tensor(1.0)}, r"\(\)"), ({}, "none")):
        others = {name: weight for name, weight in weights.items() if name != "field_mean"}
        with pytest.raises(FileFormatError, match=rf"field_mean must have shape \(1, 1, 1\), got {got}\."):
            description.check_weights(others | given)


@pytest.mark.parametrize("reference", ["os:execve", "builtins:exec", "installed_functions:flat", "builtins:dict"])
def test_what_is_no_module_class_is_not_called_even_if_trusted(installed, tmp_path, reference):
    (installed / "installed_functions.py").write_text(FLAT)
    path = saved(tmp_path / "m.safetensors", reference)
    with pytest.raises(OptionError, match=rf"a subclass of nn.Module, got .* for '{reference}'. It is not called"):
        load_network(path, trust=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": "/bin/sh"}, "'channels' of the network must be a whole number of at least 1, got '/bin/sh'"),
        ({"channels": True}, "'channels' .* got True"),
        ({"size": ["-c", "id"]}, "'size' of the network must be two whole numbers .* got \\['-c', 'id'\\]"),
        ({"size": [8, 8, 8]}, "'size' .* got \\[8, 8, 8\\]"),
        ({"latent_dim": {"PATH": "x"}}, "'latent_dim' .* got {'PATH': 'x'}"),
        ({"width": 2**62}, "'width' .* got 4611686018427387904"),
        ({"width": 2**20}, "do not fit the network it describes: decoder.* must have shape"),
        ({"size": [2, 2]}, "The description must be that of a network"),
        ({"periodic": "no"}, "'periodic' of the network must be true or false, got 'no'"),
        ({"encoder": ["os:execve"]}, "'encoder' of the network must be a text or null"),
    ],
)
def test_fields_of_another_type_are_named_before_they_are_used(tmp_path, changes, message):
    path = saved(tmp_path / "m.safetensors", "my:Flat", **changes)
    with pytest.raises(FileFormatError, match=message):
        load_network(path, encoder=Flat)


def test_a_header_without_a_field_and_an_encoder_where_there_is_none(tmp_path):
    path = tmp_path / "m.safetensors"
    save_tensors(path, {"x": torch.zeros(1)}, kind="network", schema=SCHEMA_VERSION, network={"channels": 1}, run={})
    with pytest.raises(FileFormatError, match=r"must have the field 'size', got \['channels'\]"):
        load_network(path)
    description = NetworkDescription(1, (8, 8), 3, width=4)
    save_network(path, description.build(), description, {})
    with pytest.raises(OptionError, match="has the encoder of isospan, got encoder='m:C'"):
        load_network(path, encoder="m:C")
    with pytest.raises(OptionError, match=r"needs its encoder 'm:C', got none\. Pass its class"):
        replace(description, encoder="m:C").build()
