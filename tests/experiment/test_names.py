"""Names of quantities: which are refused before anything is trained, and how files hold the others."""

import re
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from isospan.errors import NameMismatchError
from isospan.experiment import AuditConfig, audit, size, train
from isospan.experiment._names import file_name, npz_name
from isospan.experiment._use import Edited
from isospan.experiment.outputs import write_decoded, write_edited

STRANGE = [
    "../../x", "a/b", "file", "allow_pickle", "time", "sample", "u", "u_x", "u_channel", "T", "t", "a%2Fb", ".hidden",
    "涡度", "e\u0301", "\u00e9", "trailing ", "-q", "[red]x[/]", "<b>&", "$x_", "arr_0", "u.npy", "a.b", "C:\\x",
]  # fmt: skip


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x00", "\udc80", "x" * 101, "/" * 40, "free", 3])
def test_a_name_that_nothing_can_hold_is_refused_before_training(config, fields, tmp_path, name):
    for start in (train, size):
        with pytest.raises(NameMismatchError, match="quantity"):
            start(config(quantities={name: "local_mean"}), samples=fields())
    assert not (tmp_path / "run").exists()
    z = torch.randn(40, 3)
    with pytest.raises(NameMismatchError, match="quantity"):
        audit(z, {"age": z[:, 0]}, AuditConfig(quantities={name: "age"}))


def decoded(n=5):
    values = np.random.default_rng(0).normal(size=(len(STRANGE), n, 1, 2, 2))
    arrays = dict(zip(STRANGE, values, strict=True))
    return arrays | {"u_x": values[0, :, :, 0, 0], "number": values[0, :, 0, 0, 0]}


def test_npz_files_hold_every_name(tmp_path):
    arrays = decoded()
    with np.load(write_decoded(tmp_path / "d.npz", arrays)) as loaded:
        read = {unquote(name) if name == "u%2Enpy" else name: loaded[name] for name in loaded.files}
        assert list(read) == list(arrays)
        assert all(np.array_equal(read[name], values) for name, values in arrays.items())


def test_npz_files_hold_names_that_end_in_the_escape_of_others(tmp_path):
    names = ["x", "x.npy", "x%2Enpy", "x%252Enpy", "x.npy.npy", "x.npy\n", "x%.npy", ".npy"]
    arrays = {name: np.full(2, i) for i, name in enumerate(names)}
    with np.load(write_decoded(tmp_path / "d.npz", arrays)) as loaded:
        entries = {re.sub(r"%(25)*2Enpy\Z", lambda end: unquote(end[0]), entry): entry for entry in loaded.files}
        assert list(entries) == names
        assert all(np.array_equal(loaded[entries[name]], values) for name, values in arrays.items())
    assert [npz_name(name) for name in names[1:3]] == ["x%2Enpy", "x%252Enpy"]


@pytest.mark.parametrize("sample", ["time", "u_x", "u_y", "a/t"])
def test_netcdf_files_keep_every_name_as_an_attribute(tmp_path, sample):
    xarray = pytest.importorskip("xarray")
    arrays, times = decoded(), np.arange(5.0)
    coordinate = xarray.DataArray(times, dims=[sample], name=sample, attrs={"units": "days"})
    path = write_decoded(tmp_path / "d.nc", arrays, coordinate)
    with xarray.open_dataset(path, decode_times=False) as written:
        (dim,) = written.coords
        assert np.array_equal(written[dim], times)
        assert written[dim].attrs["units"] == "days"
        read = {variable.attrs["long_name"]: variable for variable in written.data_vars.values()}
        assert set(read) == set(arrays)
        for name, values in arrays.items():
            assert np.array_equal(read[name], values)
            assert read[name].dims[0] == dim
        assert (read["T"].name, read["t"].name, read["a/b"].name) == ("T", "t", "a%2Fb")
    assert [path.name for path in tmp_path.rglob("*")] == ["d.nc"]


def test_images_of_an_edit_lie_beside_each_other_whatever_the_names(tmp_path):
    names = ["../../x", "a/b", "T", "t", "a%2Fb"]
    y = {name: torch.ones(1, 1, 2, 2) for name in names}
    x = torch.zeros(1, 1, 8, 8)
    out = tmp_path / "deep" / "out"
    paths = write_edited(out / "edited.npz", Edited(x, x, y, y, y, torch.zeros(1, 3)))
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {out}
    assert len({path.name.casefold() for path in paths}) == len(paths) == 6
    assert (out / "edited-..%2F..%2Fx.png").is_file()


def test_names_of_files_are_read_back():
    assert [unquote(file_name(name)) for name in STRANGE] == STRANGE


@pytest.mark.filterwarnings("ignore:Probes are fitted:isospan.errors.NumericalWarning")
def test_a_run_holds_strange_names(config, fields, tmp_path, figures):
    strange = {"../../x": "local_mean", "a/b": "gradient_x", "<script>alert(1)</script>": "laplacian"}
    train(config(quantities=strange, epochs=1, baseline=False), samples=fields())
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert "<script>alert" not in (tmp_path / "run" / "report.html").read_text("utf-8")
