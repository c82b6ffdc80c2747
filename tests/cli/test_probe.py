"""Probing latents from the command line, and scoring a run with the same command."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """Latents, and three quantities of which two are linear in them."""
    folder = tmp_path_factory.mktemp("latents")
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 8)).astype(np.float32)
    np.save(folder / "z.npy", z)
    np.savez(folder / "y.npz", heat=z[:, 0] + 5, force=z[:, 1:4], noise=rng.standard_normal(300), other=np.zeros(7))
    return folder


def scores(out):
    return json.loads((out / "metrics.json").read_text())["guided"]["subspace_r2"]


def test_latents_are_scored_and_the_report_written(latents, isospan, tmp_path):
    result = isospan("probe", latents / "z.npy", latents / "y.npz", "--out", tmp_path / "out")
    for part in ("Read 300 latents of D = 8 from z.npy, and heat, force, noise", "R² on 60 samples", "stored decoder"):
        assert part in result.output
    assert "Not readable from the latent: noise" in result.output
    assert f"The report is {tmp_path / 'out' / 'report.html'}" in result.output
    assert (tmp_path / "out" / "space.safetensors").is_file()
    own = scores(tmp_path / "out")
    assert own["heat"] == pytest.approx(1, abs=1e-3)  # a ridge of 1e-6 and one of 1e-3 in the solve
    assert own["noise"] < 0.05


@pytest.mark.usefixtures("no_figures")
def test_quantities_and_subspace_dimensions_are_chosen(latents, isospan, tmp_path):
    where = ("probe", latents / "z.npy", latents / "y.npz", "--out", tmp_path, "--overwrite")
    text = isospan(*where, "-q", "heat", "-q", "push=array:force", "-k", "push=3", "-k", "heat=1").output
    assert " ".join(text.split()).count("push │ – │ 3") == 1
    assert "noise" not in text
    assert "force │ – │ 2" in " ".join(isospan(*where, "-q", "force", "-k", "2").output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Z", "Y", "-q", "nothing"), "The arrays must be some of heat (300,)"),
        (("Z", "Y", "-q", "other"), "each of the 300 latents"),
        (("Z", "Y", "-k", "many"), "-k must be an integer, or NAME=k for each quantity, got 'many'"),
        (("Z", "Y", "-k", "1", "-k", "2"), "-k must be an integer, or NAME=k"),
        (
            ("Z", "Y", "-q", "heat", "-q", "force", "-k", "haet=2"),
            "k must name some of the quantities ['heat', 'force'], got ['haet'], with the unknown names ['haet']",
        ),
        (("Z", "Y", "-k", "0"), "k of quantity 'heat' must be"),
        (("Y", "Y", "--variable", "heat"), "Latents must have shape (N, D), got (300,) of 'heat'"),
        (("missing.npy", "Y"), "missing.npy does not exist"),
        ((".", "Y"), "must hold a finished run"),
    ],
)
def test_an_error_is_one_message_and_code_2(latents, isospan, arguments, message):
    paths = {"Z": latents / "z.npy", "Y": latents / "y.npz"}
    result = isospan("probe", *(paths.get(a, a) for a in arguments), code=2)
    assert message in " ".join(result.stderr.split())
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((".", "Y", "-k", "3", "--out", "x"), "-k, --out must be left out where LATENTS is the directory of a run"),
        (("Z", "Y", "--trust", "--device", "cpu"), "--device, --trust must be left out where LATENTS is a file"),
    ],
)
def test_an_option_without_effect_is_refused(latents, isospan, arguments, message):
    paths = {"Z": latents / "z.npy", "Y": latents / "y.npz"}
    assert message in " ".join(isospan("probe", *(paths.get(a, a) for a in arguments), code=2).stderr.split())


def test_class_labels_and_rows_without_a_quantity(isospan, tmp_path):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 6))
    label, heat = z[:, :3].argmax(1).astype(float), z[:, 0] + rng.standard_normal(400)
    label[rng.random(400) < 0.5] = np.nan
    heat[rng.random(400) < 0.5] = np.nan
    np.save(tmp_path / "z.npy", z)
    np.savez(tmp_path / "y.npz", label=label, heat=heat)
    where = ("probe", tmp_path / "z.npy", tmp_path / "y.npz", "--out", tmp_path / "out", "--missing", "skip")
    text = isospan(*where, "--classes", "label=3").output
    assert "label: the largest score is that of the class in 0.9" in text
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["guided"]
    assert metrics["balanced_accuracy"]["label"] > 0.9
    assert metrics["k"] == {"label": 2, "heat": 1}
    assert (tmp_path / "out" / "report.html").is_file()
    refused = isospan(*where, "--classes", "label", "--overwrite", code=2)
    assert "--classes must be NAME=C" in refused.output
