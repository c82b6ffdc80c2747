"""Networks from descriptions, to files and back."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from isospan.errors import FileFormatError, OptionError, ShapeError
from isospan.experiment.network import NetworkDescription, load_network, save_network


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
    model = description.build(seed=3).standardise_(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).eval()
    save_network(tmp_path / "m.safetensors", model, description, {"channels": ["u", "v"]})
    again, record = load_network(tmp_path / "m.safetensors")
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
