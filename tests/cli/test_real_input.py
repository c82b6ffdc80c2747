"""The two real inputs, on a small cut: simulated turbulence and a climate model's air temperature."""

import json

import numpy as np
import pytest


def test_the_demonstration_on_a_few_fields(isospan, tmp_path, monkeypatch):
    monkeypatch.setenv("ISOSPAN_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "demo"
    result = isospan("demo", "--out", out, "--epochs", 1, "--samples", 40)
    assert "simulating: 40 of 40 fields" in result.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["dims"]) == {"stream_function", "kinetic_energy", "strain_rate"}
    assert all(np.isfinite(value) for value in metrics["nmse"].values())
    result = isospan("edit", out, out / "held_out.npz", "--set", "stream_function=*2")
    assert (out / "edited-held_out-stream_function.png").is_file()
    result = isospan("decode", out, out / "held_out.npz")
    assert "kinetic_energy: (8, 1, " in result.output


def test_climate_from_the_file_to_netcdf(isospan, climate, tmp_path):
    xarray = pytest.importorskip("xarray")
    out = tmp_path / "climate"
    quantities = ("-q", "gradient_y", "-q", "large_scale_energy", "-q", "local_variance")
    result = isospan(
        "train", climate, "--out", out, *quantities, "--variable", "air_temperature", "--epochs", 1, "--max-bins", 3
    )
    assert "air_temperature.nc" in (out / "report.html").read_text()
    assert "gradient_y" in result.output
    isospan("decode", out, climate)
    with xarray.open_dataset(out / "decoded-air_temperature.nc", decode_times=False) as decoded:
        assert decoded["gradient_y"].dims == ("time", "gradient_y_channel", "gradient_y_y", "gradient_y_x")
        assert decoded.sizes["time"] == 48
        with xarray.open_dataset(climate, decode_times=False) as source:
            assert np.array_equal(decoded["time"].values, source["time"].values)
    isospan("edit", out, climate, "--set", "large_scale_energy=*1.1")
    with xarray.open_dataset(out / "edited-air_temperature.nc", decode_times=False) as edited:
        assert edited["fields"].dims == ("time", "fields_channel", "fields_y", "fields_x")
        assert edited["fields"].shape == (48, 1, 37, 49)
