"""The Python of README.md runs, with small data and networks for the names that it leaves to the reader."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parent.parent / "README.md").read_text("utf-8"), re.DOTALL)


def quantities(x):
    return {"energy": x.reshape(len(x), 16, 4).square().mean(2), "strain": x[:, :24] * x[:, 24:48]}


def names_of_the_reader():
    torch.manual_seed(0)
    x = torch.randn(256, 64)
    encoder, decoder = nn.Linear(64, 64), nn.Linear(64, 64)
    y = quantities(x)
    return {
        "loader": [(batch, quantities(batch)) for batch in x.split(128)],
        "encoder": encoder,
        "decoder": decoder,
        "optimizer": torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3),
        "x_new": x[:1],
        "x_test": x,
        "y_test": y,
        "quantities": quantities,
    }


@pytest.mark.filterwarnings("ignore:Probes are fitted:isospan.errors.NumericalWarning")
def test_guidance_in_a_training_loop():
    names = names_of_the_reader()
    exec(BLOCKS[0], names)
    assert int(names["objective"].epoch) == 20
    assert names["energy"].shape == (1, 16)
    space, z, wanted = names["space"], names["encoder"](names["x_new"]), 0.5 * names["energy"]
    torch.testing.assert_close(space.decode(space.edit(z, {"energy": wanted}))["energy"], wanted, rtol=0, atol=1e-4)
    edited = quantities(names["decoder"](names["z_edited"]))["energy"]
    asked = wanted - quantities(names["decoder"](z))["energy"]
    assert (edited - wanted).norm() < 0.2 * asked.norm()


@pytest.mark.filterwarnings("ignore:Probes are fitted:isospan.errors.NumericalWarning")
def test_latents_of_any_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    model = nn.Module()
    model.encode = lambda x: x @ torch.eye(8)
    names = {"model": model, "x": x, "y_energy": x[:, :2].square().sum(1), "y_speed": x[:, 3]}
    exec(BLOCKS[1], names)
    assert (tmp_path / "audit" / "report.html").is_file()
    assert names["result"].evaluation.subspace_r2["speed"] == pytest.approx(1, abs=1e-4)  # a coordinate of the latents


def test_symmetry():
    x = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    shifted = x.roll(1, dims=1)
    names = {"x": x, "y": x + shifted}
    exec(BLOCKS[2], names)
    torch.testing.assert_close(x @ names["A"].mT, x + shifted)  # equivariant, so found exactly
    torch.testing.assert_close(names["C"].roll((1, 1), dims=(0, 1)), names["C"])
    torch.testing.assert_close(names["model"](shifted), names["model"](x).roll(1, dims=1), rtol=1e-4, atol=1e-5)


def test_every_block_is_run():
    assert len(BLOCKS) == 3
