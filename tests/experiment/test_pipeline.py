"""The main job as functions: what it writes, that it learns, repeats, resumes, and uses what it trained."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from isospan.errors import DimensionError, NumericalWarning, OptionError
from isospan.experiment import NetworkDescription, TrainedRun, decode, edit, load_network, size, train
from isospan.experiment.samples import Samples
from isospan.subspaces._latent_space import LatentSpace

few_samples = pytest.mark.filterwarnings("ignore:Probes are fitted on")  # 8 are held out, too few for all of the latent


class Linear(nn.Module):
    def __init__(self, channels, size, latent_dim):
        super().__init__()
        self.linear = nn.Linear(channels * size[0] * size[1], latent_dim)

    def forward(self, x):
        return self.linear(x.flatten(1))


class Recording:
    """A reporter that remembers."""

    def __init__(self):
        self.stages, self.steps, self.rows, self.sizes, self.plan = [], [], [], None, None

    def stage(self, text):
        self.stages.append(text)

    def sized(self, sizes):
        self.sizes = sizes

    def planned(self, networks):
        self.plan = networks

    def stepped(self, network, epoch, step, total, losses):
        self.steps.append((network, step))

    def monitored(self, network, monitor):
        self.rows.append((network, len(monitor)))


def weights(path, **options):
    network, _ = load_network(path / "model.safetensors", **options)
    return torch.cat([p.flatten().double() for p in network.state_dict().values()])


@pytest.mark.usefixtures("figures")
@few_samples
def test_it_writes_all_that_was_promised(config, fields, tmp_path):
    result = train(config(), samples=fields())
    out = tmp_path / "run"
    names = {path.name for path in out.iterdir()}
    assert {"space.safetensors", "model.safetensors", "metrics.json", "report.html", "figures", "checkpoints"} <= names
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["guided"]["subspace_r2"] == pytest.approx(result.guided.evaluation.subspace_r2)
    assert metrics["nmse"] == pytest.approx({"guided": result.guided.nmse, "unguided": result.unguided.nmse})
    assert metrics["settings"]["samples"] == {"to train": 32, "held out": 8}
    assert LatentSpace.load(out / "space.safetensors").names == ["local_mean", "gradient_x"]
    assert result.space.latent_dim == result.sizes.latent_dim == result.model.latent_dim
    html = (out / "report.html").read_text()
    assert "local_mean" in html
    assert 'src="http' not in html


@few_samples
def test_a_reporter_hears_of_everything(config, fields):
    reporter = Recording()
    train(config(), samples=fields(), reporter=reporter)
    assert reporter.plan == {"guided": 8, "unguided": 8}
    assert reporter.steps == [(name, step) for name in ("guided", "unguided") for step in range(1, 9)]
    assert set(reporter.sizes.dims) == {"local_mean", "gradient_x"}
    assert reporter.stages[0] == "Sizing the quantities"
    assert reporter.rows == [
        ("guided", n) for n in (1, 2, 3, 5, 6)
    ]  # solves at steps 1, 2, 3, 5 and 7; 4 ends an epoch


@pytest.mark.usefixtures("figures")
@few_samples
def test_the_drift_of_the_subspaces_is_recorded_and_reported_also_over_an_interruption(config, fields, tmp_path):
    class Interrupting(Recording):
        def stepped(self, network, epoch, step, total, losses):
            if step == 12:
                raise Interrupted

    whole = train(config(epochs=4, baseline=False, out=tmp_path / "whole"), samples=fields())
    with pytest.raises(Interrupted):
        train(config(epochs=4, baseline=False), samples=fields(), reporter=Interrupting())
    resumed = train(config(epochs=4, baseline=False, resume=True), samples=fields())
    drift = json.loads((tmp_path / "run" / "metrics.json").read_text())["drift"]
    assert drift["step"] == [1, 2, 3, 4, 5, 7, 8, 11, 12, 16]  # every fourth is the end of an epoch
    assert drift["solved"] == [True, True, True, False, True, True, False, True, False, False]
    np.testing.assert_equal(resumed.guided.drift.to_dict(), whole.guided.drift.to_dict())  # NaN equals NaN here
    assert "Drift of the subspaces" in (tmp_path / "run" / "report.html").read_text()


def waves(n):
    """Fields (n, 1, 8, 8) of four standing waves with independent amplitudes."""
    t = torch.arange(8) * 2 * torch.pi / 8
    modes = torch.stack([f(t)[:, None] * g(t) for f in (torch.sin, torch.cos) for g in (torch.sin, torch.cos)])
    return torch.einsum("nk,khw->nhw", torch.randn(n, 4, generator=torch.Generator().manual_seed(0)), modes)[:, None]


def test_guidance_makes_a_nonlinear_quantity_readable(config):
    """The power of a field is quadratic in it: hard to read linearly from an autoencoder, easy from a guided one."""
    settings = {"epochs": 12, "batch_size": 32, "lr": 4e-3, "width": 8, "latent": 12}
    result = train(config(quantities={"power": lambda x: x**2}, **settings), samples=waves(640))
    subspace, probe = result.guided.evaluation.subspace_r2["power"], result.guided.evaluation.rank_k_probe_r2["power"]
    assert subspace > result.unguided.evaluation.rank_k_probe_r2["power"] + 0.1
    assert subspace > probe - 0.01
    assert result.guided.nmse < 0.1


@few_samples
def test_one_seed_gives_one_result(config, fields, tmp_path):
    for name in "ab":
        train(config(out=tmp_path / name, baseline=False), samples=fields())
    assert torch.equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    a, b = (LatentSpace.load(tmp_path / name / "space.safetensors") for name in "ab")
    assert all(torch.equal(a.W[name], b.W[name]) for name in a.names)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("interrupted_at", [("guided", 6), ("unguided", 7)])
@few_samples
def test_an_interrupted_run_is_resumed_to_the_same_result(config, fields, tmp_path, interrupted_at):
    class Interrupting(Recording):
        def stepped(self, network, epoch, step, total, losses):
            if (network, step) == interrupted_at:
                raise Interrupted

    whole = train(config(out=tmp_path / "whole"), samples=fields())
    with pytest.raises(Interrupted):
        train(config(), samples=fields(), reporter=Interrupting())
    reporter = Recording()
    resumed = train(config(resume=True), samples=fields(), reporter=reporter)
    first_network = "guided" if interrupted_at[0] == "guided" else "unguided"
    assert reporter.steps[0] == (first_network, 5)
    assert torch.equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))
    assert resumed.unguided.nmse == whole.unguided.nmse


@few_samples
def test_a_run_with_other_settings_is_not_resumed(config, fields):
    train(config(baseline=False), samples=fields())
    with pytest.raises(OptionError, match="epochs: 2 then, 3 now"):
        train(config(baseline=False, epochs=3, resume=True), samples=fields())


def test_quantities_known_only_while_training(config, npz):
    settings = config(files=[npz], variable="u", quantities={"T": "", "years": "array:age"})
    result = train(settings)
    assert result.sizes.dims["years"] == (None, 1)
    assert result.space.shapes["years"] == (1,)
    assert result.space.shapes["T"][0] == 1


def test_fields_move_only_with_what_can_move_along(config, fields):
    x = fields()
    can = train(config(periodic=True, quantities={"T": ""}, baseline=False), samples=Samples(x, {"T": 2 * x}))
    cannot = train(
        config(periodic=True, quantities={"T": ""}, baseline=False), samples=Samples(x, {"T": x.mean((1, 2, 3))})
    )
    assert can.guided.evaluation.n_samples == cannot.guided.evaluation.n_samples == 8


def test_vector_fields_and_odd_sizes(config, fields):
    x = fields(channels=2, size=(13, 18))
    result = train(config(quantities={"kinetic_energy": "", "divergence": ""}, latent=11), samples=x)
    assert result.model.latent_dim == 11
    assert result.model(x[:2])[0].shape == (2, 2, 13, 18)


@few_samples
def test_orthogonal_subspaces_are_orthogonal(config, fields):
    result = train(config(orthogonal=True, baseline=False), samples=fields())
    W = torch.cat([result.space.W[name] for name in result.space.names])
    # float64 orthonormal frames
    assert torch.allclose(W @ W.mT, torch.eye(len(W), dtype=W.dtype), atol=1e-10)
    assert result.unguided is None
    with pytest.raises(DimensionError, match="at least"):
        train(config(orthogonal=True, latent=3), samples=fields())


@pytest.mark.parametrize("encoder", [Linear, f"{__file__}:Linear"])
def test_an_encoder_of_ones_own(config, fields, encoder, tmp_path):
    result = train(config(encoder=encoder, baseline=False), samples=fields())
    assert type(result.model.encoder).__name__ == "Linear"
    if isinstance(encoder, str):
        assert torch.equal(
            weights(tmp_path / "run", encoder=encoder)[:5],
            torch.cat([p.flatten().double() for p in result.model.state_dict().values()])[:5],
        )


@few_samples
def test_the_summary_has_the_losses_of_each_network(config, fields):
    result = train(config(), samples=fields())
    for shown, network in (("history", result.guided), ("unguided_history", result.unguided)):
        history = getattr(result.summary, shown)
        assert history.losses["task"] == network.history.losses["task"]
        assert history.validation == network.history.validation
    assert "guidance" in result.summary.history.losses
    assert "guidance" not in result.summary.unguided_history.losses


@few_samples
def test_a_run_that_replaced_another_and_was_interrupted_can_be_resumed(config, fields):
    class Interrupted(Recording):
        def stepped(self, network, epoch, step, total, losses):
            super().stepped(network, epoch, step, total, losses)
            if step == total:
                raise KeyboardInterrupt

    train(config(), samples=fields())
    with pytest.raises(KeyboardInterrupt):
        train(config(seed=1), samples=fields(), reporter=Interrupted())
    resumed = train(config(seed=1, resume=True), samples=fields())
    assert torch.equal(
        *(
            torch.cat([p.flatten() for p in result.unguided.model.parameters()])
            for result in (resumed, train(config(seed=1), samples=fields()))
        )
    )


@few_samples
def test_sizing_alone_trains_nothing(config, fields, tmp_path):
    sizes = size(config(), samples=fields())
    assert sizes.dims == train(config(), samples=fields()).sizes.dims
    assert NetworkDescription(1, (16, 16), sizes.latent_dim).build().latent_dim == sizes.latent_dim


@few_samples
def test_the_saved_space_belongs_to_the_saved_network(config, fields, tmp_path):
    x = fields()
    result = train(config(baseline=False), samples=x)
    run = TrainedRun.load(tmp_path / "run")
    z = run.encode(Samples(x))
    decoded = run.space.decode(z)["local_mean"]
    expected = result.space.decode(result.model.eval().encode(x).detach())["local_mean"]
    assert torch.allclose(decoded, expected, atol=1e-5)  # float32 convolutions of another batch size
    assert np.isfinite(decoded.numpy()).all()


@few_samples
def test_a_run_is_not_resumed_with_other_samples_of_the_same_mean_and_deviation(config, fields):
    train(config(baseline=False), samples=fields())
    with pytest.raises(OptionError, match="checksum of the samples"):
        train(config(baseline=False, resume=True), samples=fields().flip(0))


def test_an_array_asked_for_as_a_quantity_is_not_taken_for_the_fields(config, npz):
    assert size(config(files=[npz], quantities={"T": ""})).n["T"] is not None


@few_samples
@pytest.mark.filterwarnings("ignore:.* steps are longer than:isospan.errors.NumericalWarning")
def test_an_offset_of_1e8_deviations_changes_nothing(config, fields, tmp_path):
    """The oracle is the run on the same fields without the offset, of which float32 would keep 3 bits."""
    x = fields().double().numpy()[:, 0]
    found = {}
    for offset in (0.0, 1e8):
        path, out = tmp_path / f"{offset:g}.npz", tmp_path / f"run {offset:g}"
        np.savez(path, u=x + offset, T=2 * x[:, ::2, ::2] + offset, age=x[:, 3, 3] + offset)
        quantities = {"T": "", "age": "", "local_mean": ""}
        result = train(config(files=[path], variable="u", quantities=quantities, out=out, epochs=3))
        edited = edit(out, path, {"age": "+1"})
        found[offset] = result, decode(out, path), edited
    (plain, plain_decoded, plain_edited), (result, decoded, edited) = found.values()
    assert result.sizes.dims == plain.sizes.dims
    assert result.guided.nmse == pytest.approx(plain.guided.nmse, rel=1e-3)
    assert result.unguided.nmse == pytest.approx(plain.unguided.nmse, rel=1e-3)
    assert result.guided.evaluation.decoder_r2 == pytest.approx(plain.guided.evaluation.decoder_r2, abs=1e-3)
    for term in ("task", "guidance"):
        assert result.guided.history.losses[term] == pytest.approx(
            plain.guided.history.losses[term], rel=1e-3, nan_ok=True
        )
    for name, y in decoded.items():
        np.testing.assert_allclose(y - 1e8, plain_decoded[name], atol=1e-3 * plain_decoded[name].std())
    assert torch.allclose(edited.after - 1e8, plain_edited.after, atol=1e-3)
    assert torch.allclose(edited.read_after["age"] - 1e8, plain_edited.read_after["age"], atol=1e-3)


@few_samples
@pytest.mark.filterwarnings("ignore:The decoded output shows:isospan.errors.NumericalWarning")
def test_fields_in_float32_stay_so(config, fields, tmp_path):
    np.savez(tmp_path / "u.npz", u=fields().numpy()[:, 0])
    result = train(config(files=[tmp_path / "u.npz"], baseline=False))
    assert {tensor.dtype for tensor in result.model.state_dict().values()} == {torch.float32}
    assert edit(tmp_path / "run", tmp_path / "u.npz", {"local_mean": "*1.1"}).after.dtype == torch.float32


@pytest.mark.usefixtures("figures")
@few_samples
def test_edits_of_held_out_samples_are_scored(config, fields):
    result = train(config(quantities={"local_variance": "", "smooth": "local_mean"}), samples=fields())
    scores = result.summary.edit_scores
    assert list(scores) == ["guided", "unguided"]
    assert scores["guided"].names == ("local_variance", "smooth")
    assert scores["guided"].n_samples == result.guided.evaluation.n_samples
    for name in scores["guided"].names:
        assert scores["guided"].decoded_r2[name] > scores["guided"].linear_r2[name] - 0.02  # the penalty shortens steps
    metrics = json.loads(result.report.with_name("metrics.json").read_text())
    assert metrics["edits"]["guided"]["decoded_r2"]["smooth"] == pytest.approx(scores["guided"].decoded_r2["smooth"])
    assert metrics["use"]["mean_error"] == pytest.approx(result.summary.use.mean_error)
    assert "R² of the change" in result.report.read_text()


def _square_by_numpy(fields):
    return torch.from_numpy(np.square(fields.numpy()))


@few_samples
def test_a_function_without_gradient_is_trained_on_and_edited_as_it_is_read(config, fields, tmp_path):
    """NumPy computes no gradient, so such an edit cannot go through the decoder."""
    quantities = {"square": _square_by_numpy, "smooth": "local_mean"}
    result = train(config(quantities=quantities, out=tmp_path / "run"), samples=fields())
    assert result.summary.edit_scores["guided"].names == ("smooth",)
    assert {name: edited.decoded for name, edited in result.summary.edits.items()} == {
        "square": (),
        "smooth": ("smooth",),
    }
    np.savez(tmp_path / "fields.npz", fields=fields().numpy())
    changes, functions = {"square": "*1.01"}, {"square": _square_by_numpy}
    with pytest.warns(NumericalWarning) as caught:
        edited = edit(tmp_path / "run", tmp_path / "fields.npz", changes, quantities=functions)
    assert any("['square'] have no gradient" in str(warning.message) for warning in caught)
    linear = edit(tmp_path / "run", tmp_path / "fields.npz", changes, quantities=functions, linear=True)
    torch.testing.assert_close(edited.latents, linear.latents)
