"""The autoencoder: exact sizes, true periodicity, units, and what it says to a wrong encoder."""

import pytest
import torch
from torch import nn

from isospan.errors import OptionError, ShapeError
from isospan.experiment.networks._conv_autoencoder import ConvAutoencoder, pad


def network(size=(16, 16), channels=1, **options):
    torch.manual_seed(0)
    return ConvAutoencoder(channels, size, 6, width=4, **options)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 31), (37, 49), (17, 23), (64, 64), (10, 129)])
def test_any_size_comes_back_exactly(size, periodic):
    x_hat, z = network(size, channels=2, periodic=periodic)(torch.randn(2, 2, *size))
    assert x_hat.shape == (2, 2, *size)
    assert z.shape == (2, 6)


def test_every_weight_receives_a_gradient():
    model = network((13, 16), periodic=True)
    x_hat, z = model(torch.randn(3, 1, 13, 16))
    (x_hat.square().sum() + z.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_circular_padding_is_that_of_torch():
    x = torch.randn(2, 3, 5, 4)
    ours = pad(x, rows=(1, 2), columns=(2, 1), periodic=True)
    assert torch.equal(ours, nn.functional.pad(x, (2, 1, 1, 2), mode="circular"))


def test_an_axis_shorter_than_its_padding_wraps_around_more_than_once():
    x = torch.tensor([[[[5.0]], [[7.0]]]])
    assert torch.equal(
        pad(x, rows=(1, 2), columns=(0, 0), periodic=True)[0, :, :, 0], torch.tensor([[5.0], [7.0]]).expand(2, 4)
    )


def test_periodic_convolutions_commute_with_shifts_by_the_total_stride():
    model = network((64, 32), periodic=True).double()
    convolutions = model.encoder[:-2]
    x = torch.randn(1, 1, 64, 32, dtype=torch.float64)
    shifted = convolutions(torch.roll(x, (16, 32 - 16), (-2, -1)))
    # float64 sums of a few hundred terms in another order
    assert torch.allclose(shifted, torch.roll(convolutions(x), (1, 1), (-2, -1)), atol=1e-12)


def test_periodic_decoder_commutes_with_shifts_and_a_bounded_one_does_not():
    coarse = torch.randn(1, 32, 4, 4, dtype=torch.float64)
    for periodic in (True, False):
        convolutions = network((64, 64), periodic=periodic).double().decoder[2:]
        difference = convolutions(coarse.roll(1, -1)) - convolutions(coarse).roll(16, -1)
        assert (difference.abs().max() < 1e-12) == periodic


def test_fields_are_taken_and_given_in_their_own_units():
    x = torch.randn(4, 2, 16, 16)
    mean, scale = torch.tensor([280.0, -3.0]), torch.tensor([20.0, 0.1])
    plain, scaled = network(channels=2), network(channels=2).standardise_(mean, scale)
    in_units = mean.view(2, 1, 1) + scale.view(2, 1, 1) * x
    x_hat, z = plain(x)
    # 280 is stored to 3e-5 in float32; relative to the scale 20 that is 1e-6, and the network amplifies it a little
    assert torch.allclose(scaled.encode(in_units), z, atol=1e-4)
    assert torch.allclose((scaled(in_units)[0] - mean.view(2, 1, 1)) / scale.view(2, 1, 1), x_hat, atol=1e-4)


class Flat(nn.Module):
    def __init__(self, channels, size, latent_dim):
        super().__init__()
        self.linear = nn.Linear(channels * size[0] * size[1], latent_dim)

    def forward(self, x):
        return self.linear(x.flatten(1))


def test_an_encoder_of_ones_own_is_used():
    encoder = Flat(1, (16, 16), 6)
    model = network(encoder=encoder)
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(model.encode(x), encoder(x))
    assert model(x)[0].shape == x.shape


@pytest.mark.parametrize("encoder", [Flat(1, (16, 16), 5), nn.Conv2d(1, 6, 3), nn.LSTM(16, 6)])
def test_an_encoder_that_gives_another_shape_is_refused_with_what_arrived(encoder):
    if isinstance(encoder, nn.LSTM):
        encoder.forward = lambda x: (x, x)
    with pytest.raises(
        ShapeError, match=r"must map \(2, 1, 16, 16\) to latents \(2, 6\), got .* from " + type(encoder).__name__
    ):
        network(encoder=encoder)


def test_checking_an_encoder_leaves_its_mode_and_statistics():
    encoder = nn.Sequential(nn.BatchNorm2d(1), Flat(1, (16, 16), 6))
    network(encoder=encoder)
    assert encoder.training
    assert int(encoder[0].num_batches_tracked) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (16, 16), 4), "at least 1, got 0"),
        ((1, (16, 16), 0), "at least 1, got 1, 0"),
        ((1, (7, 16), 4), r"sides of at least 8, got size \(7, 16\)"),
        ((1, (16,), 4), "two-dimensional"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(OptionError, match=message):
        ConvAutoencoder(*arguments)


def test_fields_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"\(B, 1, 16, 16\), got \(2, 1, 16, 12\)"):
        network()(torch.randn(2, 1, 16, 12))


def test_units_in_float64_keep_the_digits_of_fields_with_an_offset():
    x = torch.randn(4, 1, 16, 16, dtype=torch.float64)
    mean, scale = torch.full((1,), 1e8, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    plain, scaled = network(), network().standardise_(mean, scale)
    x_hat, z = plain(x.float())
    assert torch.allclose(scaled.encode(x + 1e8), z, atol=1e-5)
    assert scaled(x + 1e8)[0].dtype == torch.float64
    assert torch.allclose(scaled(x + 1e8)[0] - 1e8, x_hat.double(), atol=1e-5)
    assert {weight.dtype for weight in scaled.parameters()} == {torch.float32}
    assert plain(x.float())[0].dtype == torch.float32
