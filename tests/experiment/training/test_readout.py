"""Scores against the same numbers computed at once, by numpy or scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn

from isospan.experiment.networks._conv_autoencoder import ConvAutoencoder
from isospan.experiment.samples._samples import Samples
from isospan.experiment.training import Task, fit
from isospan.experiment.training._readout import (
    encode_samples,
    encoded_moments,
    evaluating,
    held_out_scores,
    read_out,
    reconstruction_error,
)
from isospan.subspaces._latent_space import LatentSpace


@pytest.fixture
def model():
    torch.manual_seed(1)
    return ConvAutoencoder(2, (8, 8), 4, width=4).eval()


def test_latents_keep_the_order_of_the_samples(model):
    x = torch.randn(10, 2, 8, 8)
    z = encode_samples(model, Samples(x), batch_size=3)
    # convolutions of other batch sizes may sum in another order
    assert torch.allclose(z, model.encode(x), atol=1e-5)
    assert not z.requires_grad


def test_what_is_read_is_transformed_before(model):
    samples, quantities = Samples(torch.randn(10, 2, 8, 8)), lambda batch: {"corner": batch.fields[:, 0, 0, 0]}
    double = lambda batch, first=0: Samples(2 * batch.fields)  # noqa: E731
    moments = encoded_moments(model, samples, quantities, transform=double, batch_size=4)
    doubled = encoded_moments(model, double(samples), quantities, batch_size=4)
    assert torch.equal(moments.cov_zz, doubled.cov_zz)
    assert torch.equal(moments.cov_zy["corner"], doubled.cov_zy["corner"])
    z, y = (
        t.double() - t.double().mean(0) for t in (encode_samples(model, double(samples)), samples.fields[:, 0, 0, 0])
    )
    torch.testing.assert_close(moments.cov_zy["corner"].flatten(), z.T @ (2 * y) / 10, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_moments_are_those_of_all_latents_and_quantities_at_once(model, batch_size):
    samples, quantities = Samples(torch.randn(10, 2, 8, 8)), lambda batch: {"corner": batch.fields[:, :, 0, 0]}
    out = read_out(model, samples, quantities, batch_size=batch_size)
    encoded = encoded_moments(model, samples, quantities, target_covariance=True, batch_size=batch_size)
    z, y = (t.numpy().astype(float) for t in (model.encode(samples.fields).detach(), samples.fields[:, :, 0, 0]))
    covariance = np.cov(z, y, rowvar=False, bias=True)
    for moments in (out.moments, encoded):
        # float32 convolutions of another batch size
        np.testing.assert_allclose(moments.cov_zz, covariance[:4, :4], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(moments.cov_zy["corner"], covariance[:4, 4:], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoded.cov_yy["corner", "corner"], covariance[4:, 4:], rtol=1e-6)
    assert read_out(model, samples, batch_size=batch_size).moments is None


def test_the_reconstruction_error_is_the_share_of_variance_lost_per_channel(model):
    x = 5 + torch.randn(10, 2, 8, 8) * torch.tensor([1.0, 100.0]).view(2, 1, 1)
    nmse = reconstruction_error(read_out(model, Samples(x), batch_size=4), Samples(x))
    x_hat = model(x)[0].detach()
    per_channel = [1 - r2_score(x[:, c].flatten().numpy(), x_hat[:, c].flatten().numpy()) for c in range(2)]
    assert nmse == pytest.approx(sum(per_channel) / 2, rel=1e-5)  # float32 squares


def test_predicting_the_mean_loses_everything():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.full_like(x, 3.0), torch.zeros(len(x), 2)

    x = torch.randn(20, 1, 8, 8, dtype=torch.float64)
    x += 3 - x.mean()
    assert reconstruction_error(read_out(Mean(), Samples(x)), Samples(x)) == pytest.approx(1.0, rel=1e-6)


def test_held_out_scores_are_those_of_scikit_learn(model):
    x = torch.randn(12, 2, 8, 8)
    quantities = lambda batch: {"corner": batch.fields[:, :, 0, :2]}  # noqa: E731
    out = read_out(model, Samples(x), quantities)
    space = LatentSpace(
        W={"corner": torch.eye(4)[:2]},
        A={"corner": torch.randn(2, 4)},
        z_mean=torch.zeros(4),
        y_mean={"corner": torch.zeros(4)},
        y_scale={"corner": torch.tensor(1.0)},
        shapes={"corner": (2, 2)},
    )
    scores = held_out_scores(out, torch.tensor([1.0, 2.0]).view(2, 1, 1), space)
    z, y = encode_samples(model, Samples(x)), quantities(Samples(x))
    y, y_hat = y["corner"].flatten(1).numpy(), space.decode(z)["corner"].flatten(1).numpy()
    assert scores["r2 corner"] == pytest.approx(r2_score(y, y_hat, multioutput="variance_weighted"), rel=1e-5)
    scaled = (model(x)[0] - x) / torch.tensor([1.0, 2.0]).view(2, 1, 1)
    assert scores["task"] == pytest.approx(float(scaled.square().mean().detach()), rel=1e-5)


def test_a_constant_quantity_has_no_score_and_stops_nothing(model):
    constant = lambda batch: {"c": (batch.fields[:, 0, :1, 0] * 0 + 0.1).double() / 3}  # noqa: E731
    out = read_out(model, Samples(torch.randn(7, 2, 8, 8)), constant)
    space = LatentSpace(
        W={"c": torch.eye(4)[:1]},
        A={"c": torch.ones(1, 1)},
        z_mean=torch.zeros(4),
        y_mean={"c": torch.zeros(1)},
        y_scale={"c": torch.tensor(1.0)},
        shapes={"c": (1,)},
    )
    assert math.isnan(held_out_scores(out, torch.ones(2, 1, 1), space)["r2 c"])


def test_evaluation_mode_ends_with_the_block_also_after_an_error(model):
    def fail():
        with evaluating(model):
            modes.append(model.training)
            raise KeyError

    modes = []
    model.train()
    with pytest.raises(KeyError):
        fail()
    assert modes == [False]
    assert model.training


def test_a_task_with_another_target_than_its_input(model):
    """The target has the channels in reverse order. The oracles are a naive loop and the formula of the loss."""
    x = torch.randn(12, 2, 8, 8) * torch.tensor([1.0, 10.0]).view(2, 1, 1)
    task = Task(input=lambda batch: batch.fields, target=lambda batch: batch.fields.flip(1))
    out = read_out(model, Samples(x), task=task, batch_size=5)
    with torch.no_grad():
        naive = sum((model(row[None])[0][0] - row.flip(0)).double().square().mean((1, 2)) for row in x) / 12
    torch.testing.assert_close(out.squared_error, naive, rtol=1e-5, atol=0)  # convolutions of another batch size
    with torch.no_grad():
        residual = (model(x)[0] - x.flip(1)) / x.flip(1).std((0, 2, 3), correction=0).view(1, 2, 1, 1)
    history = fit(model, Samples(x), task=task, epochs=1, batch_size=12, validation=Samples(x))
    assert history.losses["task"][0] == pytest.approx(float(residual.square().mean()), rel=1e-5)
