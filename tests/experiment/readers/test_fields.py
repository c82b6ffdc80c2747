"""Files of every kind are read as what was written, and bad ones are explained."""

import base64
import gc
import importlib.resources
import re
import sys
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch

from isospan.errors import (
    DegenerateDataError,
    FileFormatError,
    NonFiniteError,
    OptionError,
    ShapeError,
)
from isospan.experiment.readers import open_arrays, open_fields
from isospan.experiment.samples import Samples, hold_out, read_batches

xarray = pytest.importorskip("xarray")

N, H, W = 10, 4, 6


def numbers(n=N, *shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, n]).standard_normal((n, *(shape or (H, W)))).astype(dtype)


def write_npy(path, u, s):
    np.save(path, u)


def write_npz(path, u, s):
    np.savez(path, u=u, s=s, label=np.array(["a"] * len(u)), other=np.zeros(len(u) + 1))


def write_npz_compressed(path, u, s):
    np.savez_compressed(path, u=u, s=s)


def dataset(u, s):
    time = ("time", np.arange(len(u)), {"bounds": "time_bnds"})
    grid = ("time", "y", "x")
    return xarray.Dataset(
        {
            "u": (grid, u),
            "s": ("time", s),
            "mask": (("y", "x"), np.ones(u.shape[1:])),
            "time_bnds": (("time", "bnds"), np.zeros((len(u), 2))),
        },
        coords={"time": time},
    )


def write_netcdf(path, u, s):
    dataset(u, s).to_netcdf(path, engine="netcdf4")


def write_netcdf3(path, u, s):
    pytest.importorskip("scipy")
    dataset(u, s).to_netcdf(path, engine="scipy", format="NETCDF3_CLASSIC")


def write_netcdf_chunked(path, u, s):
    chunks = {"chunksizes": (3, H, W), "zlib": True}
    dataset(u, s).to_netcdf(path, engine="netcdf4", encoding={"u": chunks})


def write_zarr(path, u, s):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata are no part of the specification yet
        dataset(u, s).to_zarr(path)


def write_zarr_plain(path, u, s):
    dataset(u, s).to_zarr(path, consolidated=False, zarr_format=2)


KINDS = {
    "f.npy": write_npy,
    "f.npz": write_npz,
    "compressed.npz": write_npz_compressed,
    "f.nc": write_netcdf,
    "classic.nc": write_netcdf3,
    "chunked.nc4": write_netcdf_chunked,
    "f.h5": write_netcdf,
    "f.zarr": write_zarr,
    "plain.zarr": write_zarr_plain,
}


@pytest.fixture(params=KINDS)
def written(request, tmp_path):
    """Path, fields and scalars of a file of each kind."""
    u, s = numbers(), numbers(N, 1, seed=1)[:, 0]
    path = tmp_path / request.param
    KINDS[request.param](path, u, s)
    return path, u, s


def test_what_was_written_is_read(written):
    path, u, s = written
    with open_fields(path, variable="u", dtype=torch.float64) as source:
        assert source.variables == ("u",)
        assert (len(source), source.shape) == (N, (1, H, W))
        assert torch.equal(source.fields[0:N], torch.from_numpy(u)[:, None])
        assert torch.equal(source.fields[3:5], torch.from_numpy(u)[3:5, None])
        if path.suffix != ".npy":
            assert set(source.names) == {"u", "s"}  # not what has other samples, or no numbers, or is a coordinate
            assert torch.equal(source.quantities["s"][2:7], torch.from_numpy(s)[2:7])
            assert source.shapes == {"u": (1, H, W), "s": ()}


def test_the_only_candidate_is_chosen_and_no_digit_is_lost_by_default(written):
    path, u, _ = written
    with open_fields(str(path)) as source:
        assert source.variables == (("field",) if path.suffix == ".npy" else ("u",))
        assert torch.equal(source.fields[:], torch.from_numpy(u)[:, None])
    with open_fields(str(path), dtype=torch.float32) as source:
        assert torch.equal(source.fields[:], torch.from_numpy(u).float()[:, None])


def test_batches_cover_all_samples_in_order(written):
    path, *_ = written
    with open_fields(path, variable="u") as source:
        batches = list(read_batches(Samples(source.fields, source.quantities), 4))
        assert [len(batch) for batch in batches] == [4, 4, 2]
        assert all(batch.quantities.keys() == {*source.names} - {"u"} for batch in batches)
        assert torch.equal(torch.cat([batch.fields for batch in batches]), source.fields[:])
        assert source.fields[8:20].shape == (2, 1, H, W)
        assert source.fields[4:4].shape == (0, 1, H, W)
        assert source.fields[-1:].shape == (1, 1, H, W)


def test_files_follow_each_other(written, tmp_path):
    path, u, s = written
    more, t = numbers(3, H, W, seed=2), np.arange(3.0)
    second = tmp_path / f"second{path.suffix}"
    KINDS[path.name](second, more, t)
    with open_fields([path, second], variable="u", dtype=torch.float64) as source:
        assert len(source) == len(source.fields) == N + 3
        joined = torch.from_numpy(np.concatenate([u, more]))[:, None]
        for samples in (slice(0, 13), slice(8, 12), slice(10, 13), slice(9, 10), slice(0, 10)):
            assert torch.equal(source.fields[samples], joined[samples])
        if "s" in source.names:
            assert torch.equal(source.quantities["s"][8:12], torch.tensor([*s[8:], *t[:2]], dtype=torch.float64))


def test_files_of_different_kinds_follow_each_other(tmp_path):
    u = numbers()
    np.save(tmp_path / "a.npy", u)
    write_netcdf(tmp_path / "b.nc", u, u[:, 0, 0])
    with open_fields([tmp_path / "a.npy", tmp_path / "b.nc"], variable="u") as source:
        assert source.names == ("u",)
        assert torch.equal(source.fields[:N], source.fields[N:])


def test_samples_along_another_dimension(tmp_path):
    u = numbers()
    xarray.Dataset({"u": (("y", "member", "x"), u.transpose(1, 0, 2))}).to_netcdf(tmp_path / "u.nc", engine="netcdf4")
    np.savez(tmp_path / "u.npz", u=u.transpose(1, 0, 2), s=np.zeros((2, N)))
    for name, dim in (("u.nc", "member"), ("u.nc", 1), ("u.npz", 1)):
        with open_fields(tmp_path / name, sample_dim=dim) as source:
            assert torch.equal(source.fields[2:9], torch.from_numpy(u)[2:9, None])
    with open_fields(tmp_path / "u.npz", sample_dim=1) as source:
        assert source.shapes["s"] == (2,)


def test_several_variables_become_channels(tmp_path):
    u, v, w = numbers(), numbers(seed=1), numbers(N, 2, H, W)
    np.savez(tmp_path / "uvw.npz", u=u, v=v, w=w)
    source = open_fields(tmp_path / "uvw.npz", variable=["v", "w", "u"])
    assert source.shape == (4, H, W)
    expected = torch.from_numpy(np.concatenate([v[:, None], w, u[:, None]], 1))
    assert torch.equal(source.fields[1:3], expected[1:3])
    assert not source.quantities


def test_levels_are_channels_as_they_are(tmp_path):
    np.save(tmp_path / "levels.npy", numbers(N, 3, H, W))
    assert open_fields(tmp_path / "levels.npy").shape == (3, H, W)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "i2", "u1", "bool", np.longdouble])
def test_every_real_type_becomes_floating_point(tmp_path, dtype):
    u = (10 * np.abs(numbers())).astype(dtype)
    np.save(tmp_path / "u.npy", u)
    np.savez(tmp_path / "u.npz", u=np.asfortranarray(u))
    wide = u.dtype.itemsize > 4
    expected = torch.from_numpy(u.astype(np.float64 if wide else np.float32))[:, None]
    for name in ("u.npy", "u.npz"):
        source = open_fields(tmp_path / name)
        assert torch.equal(source.fields[:], expected)
        assert source.fields[0:1].dtype == (torch.float64 if wide else torch.float32)
    assert open_fields(tmp_path / "u.npy", dtype=torch.bfloat16).fields[0:1].dtype == torch.bfloat16


def test_scale_offset_and_missing_values_are_decoded(tmp_path):
    u = np.arange(2 * H * W, dtype=np.float64).reshape(2, H, W)
    u[0, 0, :2] = np.nan
    packing = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -32767}
    xarray.Dataset({"u": (("t", "y", "x"), u)}).to_netcdf(tmp_path / "u.nc", engine="netcdf4", encoding={"u": packing})
    with open_fields(tmp_path / "u.nc", fill=-1.0) as source:
        assert torch.equal(source.fields[:], torch.from_numpy(np.nan_to_num(u, nan=-1.0)).float()[:, None])


def test_a_climate_model_s_output():
    package = pytest.importorskip("iris_sample_data")
    path = importlib.resources.files(package) / "sample_data" / "A1B_north_america.nc"
    with open_fields(path) as source:
        assert source.names == ("air_temperature",)
        assert (len(source), source.shape) == (240, (1, 37, 49))
        temperature = torch.cat([batch.fields for batch in read_batches(Samples(source.fields), 64)])
    assert 260 < temperature.mean() < 300  # kelvin
    assert temperature[120:].mean() > temperature[:120].mean() + 1  # the A1B scenario warms


def write_in_chunks(path, u):
    fields = xarray.Dataset({"u": (("time", "y", "x"), u)})
    if path.suffix == ".npy":
        np.save(path, u)
    elif path.suffix == ".npz":
        np.savez(path, u=u)
    elif path.suffix == ".nc":
        fields.to_netcdf(path, engine="netcdf4", encoding={"u": {"chunksizes": (8, *u.shape[1:]), "zlib": True}})
    else:
        fields.to_zarr(path, consolidated=False, zarr_format=2, encoding={"u": {"chunks": (8, *u.shape[1:])}})


@pytest.mark.parametrize("kind", ["npy", "npz", "nc", "zarr"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    def peak(n):
        path = tmp_path / f"{n}.{kind}"
        write_in_chunks(path, numbers(n, 64, 64, dtype=np.float32))
        with open_fields(path) as source:
            source.fields[0:32]  # what the first reading loads once
            gc.collect()
            tracemalloc.start()
            seen = sum(map(len, read_batches(Samples(source.fields), 32)))
            memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert seen == n
        return memory

    small, large = peak(128), peak(640)
    batch = 32 * 64 * 64 * 4
    assert large < small + batch  # the file grew by 16 batches; libraries keep little of each chunk
    assert large < 6 * batch


def damaged(path, content=b"not what the name says"):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.nc", "x.h5"])
@pytest.mark.parametrize("content", [b"", b"not what the name says"])
def test_damaged_files(tmp_path, name, content):
    with pytest.raises(FileFormatError, match=rf"{name} cannot be read.*damaged"):
        open_fields(damaged(tmp_path / name, content))


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # with which zipfile writes it
def test_an_archive_in_which_two_arrays_have_one_name_is_damaged(tmp_path):
    np.savez(tmp_path / "x.npz", u=numbers())
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("u.npy", archive.read("u.npy"))
    with pytest.raises(FileFormatError, match=r"x.npz cannot be read \(ValueError: two arrays are called 'u'\)"):
        open_fields(tmp_path / "x.npz")


def test_an_array_whose_name_is_damaged_is_missed(tmp_path):
    """A zip file has each name twice: in its directory, and before the array."""
    path = tmp_path / "x.npz"
    np.savez(path, u=numbers(), v=np.arange(N))
    content = path.read_bytes()
    at = content.rindex(b"v.npy")
    path.write_bytes(content[:at] + b"v.npx" + content[at + 5 :])
    with pytest.raises(FileFormatError, match=r"x.npz cannot be read .*File name in directory"):
        open_fields(path)


LZF = (
    b"c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfo(iJ!Ve$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHu90SkoYU>F4>5qP*d27u@YC?A$ePcWgXD@9"
    b"9>9u(Tk$iN0MixI}RfY8hk0cHl&bP1zzi%Wow5>$|9fFx-J25}As@p`B{D^Mj!o{5<WYymfe2AIzX^H42Fo|z%1Dh<p9nZe44u#f|29@rixmI_vcQ"
    b"#hcQ1>rLTvce<S&))@<qhbD0U>;4I<N#24$B3o8(<M^>4nb5tuJpz-8q}j;6pVsVFbYP&C>RB!U=$2_0PONPFfcaQE3h&<0GYsUSOX9*0OA7*K#>R"
    b"kr62wmcVKw5Uzm}>0RTltOzi"
)
"""An HDF5 file with u (3, 8, 8), which h5py 3.13 compressed by its own LZF; HDF5 1.14 reads none of HDF5 2.0."""


@pytest.mark.filterwarnings("ignore:.*Zarr format")
@pytest.mark.parametrize("version", [2, 3])
def test_a_store_that_names_no_dimensions_is_not_called_damaged(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=version).create_array("u", data=numbers())
    with pytest.raises(FileFormatError, match=r"does not name the dimensions .* dimension_names") as caught:
        open_fields(tmp_path / "x.zarr")
    assert "damaged" not in str(caught.value)


def test_an_unknown_compression_is_not_called_damage(tmp_path):
    """HDF5 files are read with h5py, which has LZF; netCDF4 has not."""
    for name in ("x.h5", "x.nc"):
        (tmp_path / name).write_bytes(zlib.decompress(base64.b85decode(LZF)))
    assert torch.isfinite(open_fields(tmp_path / "x.h5").fields[0:1]).all()
    with pytest.raises(FileFormatError, match=r"filter that this HDF5 library lacks, such as LZF") as caught:
        open_fields(tmp_path / "x.nc")
    assert "damaged" not in str(caught.value)


def test_series_are_not_sent_to_be_single_samples(tmp_path):
    np.savez(tmp_path / "f.npz", u=np.zeros((40, 100)))
    for wanted in (None, "u"):
        with pytest.raises((ShapeError, FileFormatError), match=r"Series \(N, S\) are not fields: train your own"):
            open_fields(tmp_path / "f.npz", variable=wanted)


def test_a_store_without_content(tmp_path):
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(FileFormatError, match=r"x.zarr cannot be read"):
        open_fields(tmp_path / "x.zarr")


@pytest.mark.parametrize("kind", ["f.npy", "f.npz", "compressed.npz", "f.nc"])
def test_files_cut_short(tmp_path, kind):
    path = tmp_path / kind
    KINDS[kind](path, numbers(), np.zeros(N))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileFormatError, match="cannot be read"):
        open_fields(path)


def test_missing_files(tmp_path):
    np.save(tmp_path / "turbulence.npy", numbers())
    with pytest.raises(FileFormatError, match=r"turbulense.npy does not exist. Did you mean turbulence.npy"):
        open_fields(tmp_path / "turbulense.npy")
    with pytest.raises(FileFormatError, match=r"does not exist. Check the path"):
        open_fields(tmp_path / "no" / "folder.npy")
    with pytest.raises(OptionError, match="at least one file"):
        open_fields([])


def test_unknown_kinds(tmp_path):
    with pytest.raises(FileFormatError, match=r"must end in .npy, .npz, .nc.*, got '.csv'"):
        open_fields(damaged(tmp_path / "x.csv"))


@pytest.mark.parametrize("kind", ["f.npz", "f.nc", "f.zarr"])
def test_no_such_variable(tmp_path, kind):
    KINDS[kind](tmp_path / kind, numbers(), np.zeros(N))
    with pytest.raises(
        FileFormatError, match=rf"has no variable 'U'; it has .*u {re.escape(str((N, H, W)))} float64"
    ) as error:
        open_fields(tmp_path / kind, variable="U")
    assert "Did you mean u?" in str(error.value)
    with pytest.raises(FileFormatError, match=r"has no variable 'pressure'; it has [^?]*$"):
        open_fields(tmp_path / kind, variable="pressure")


def test_several_candidates(tmp_path):
    np.savez(tmp_path / "f.npz", u=numbers(), v=numbers(), s=np.zeros(N))
    with pytest.raises(FileFormatError, match=r"must have one variable that can be the fields, got u, v. Name one"):
        open_fields(tmp_path / "f.npz")


def test_no_candidates(tmp_path):
    np.savez(tmp_path / "f.npz", s=np.zeros(N), label=np.array(["a"] * N))
    with pytest.raises(FileFormatError, match=r"two for space, got s \(10,\) float64, label \(10,\) <U1"):
        open_fields(tmp_path / "f.npz")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(FileFormatError, match="got none at all"):
        open_fields(tmp_path / "empty.npz")


def test_a_single_number_beside_the_fields_is_left_out(tmp_path):
    np.savez(tmp_path / "f.npz", u=numbers(), dt=0.1)
    source = open_fields(tmp_path / "f.npz")
    assert source.names == ("u",)
    assert source.left_out == {"dt": f"has shape (), not {N} samples along dimension 0"}
    assert list(open_arrays(tmp_path / "f.npz")) == ["u"]


def test_groups_of_hdf5_files_are_not_read_and_the_error_says_so(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["fields/p"] = numbers()
    with pytest.raises(FileFormatError, match=r"got none at all \(datasets in groups are not read; copy them"):
        open_fields(tmp_path / "f.h5")
    with pytest.raises(FileFormatError, match=r"no variable 'fields/p'; it has none at all \(datasets in groups"):
        open_fields(tmp_path / "f.h5", variable="fields/p")


def test_fields_need_three_dimensions(tmp_path):
    np.save(tmp_path / "f.npy", numbers(H, W))
    with pytest.raises(ShapeError, match=r"got 'u' of .*f.npy with shape \(4, 6\).*array\[None\]"):
        open_fields(tmp_path / "f.npy", variable="u")


class Trap:
    def __reduce__(self):
        return sys.exit, ("a pickle was loaded",)


def test_pickled_objects_are_refused_and_never_loaded(tmp_path):
    objects = np.empty((N, H, W), dtype=object)
    objects[:] = Trap()
    np.save(tmp_path / "f.npy", objects)
    np.savez(tmp_path / "f.npz", trap=objects)
    np.savez(tmp_path / "with.npz", trap=objects, u=numbers())
    np.savez_compressed(tmp_path / "compressed.npz", trap=objects, u=numbers())
    for name in ("f.npy", "f.npz"):
        with pytest.raises(FileFormatError, match=r"Pickled objects are not loaded"):
            open_fields(tmp_path / name)
    for name in ("f.npy", "with.npz", "compressed.npz"):
        with pytest.raises(FileFormatError, match=r"'trap' .* must hold numbers, got pickled"):
            open_fields(tmp_path / name, variable="trap")
    for name in ("with.npz", "compressed.npz"):
        assert open_fields(tmp_path / name).names == ("u",)


@pytest.mark.parametrize("values", [np.full((N, H, W), "a"), numbers() + 1j, numbers().astype("M8[s]")])
def test_fields_must_be_real_numbers(tmp_path, values):
    np.savez(tmp_path / "f.npz", u=values)
    with pytest.raises(FileFormatError, match=f"must hold real numbers, got {re.escape(str(values.dtype))}"):
        open_fields(tmp_path / "f.npz", variable="u")


@pytest.mark.parametrize("shape", [(0, H, W), (N, 0, W)])
@pytest.mark.parametrize("name", ["f.npy", "f.npz", "f.nc"])
def test_empty_fields(tmp_path, shape, name):
    u = np.zeros(shape)
    np.save(tmp_path / "f.npy", u)
    np.savez(tmp_path / "f.npz", field=u)
    xarray.Dataset({"field": (("t", "y", "x"), u)}).to_netcdf(tmp_path / "f.nc", engine="netcdf4")
    with pytest.raises(DegenerateDataError, match=rf"'field' must have entries, got shape {re.escape(str(shape))}"):
        open_fields(tmp_path / name)


def test_nan_is_counted_and_named(tmp_path):
    u = numbers()
    u[:, 1:3] = np.nan  # land, the same in every sample
    u[0, 0, 0] = np.inf
    np.savez(tmp_path / "sst.npz", sst=u)
    with pytest.raises(
        NonFiniteError, match=rf"'sst' must be finite; {2 * W + 1} of {H * W} entries in samples 0 to 0"
    ):
        open_fields(tmp_path / "sst.npz")
    filled = open_fields(tmp_path / "sst.npz", fill=0.0)
    assert filled.fields[0:1].isfinite().all()
    assert not filled.fields[1:2][0, 0, 1:3].any()


def test_nan_that_comes_later_is_found_while_reading(tmp_path):
    u = numbers()
    u[7, 0, 0] = np.nan
    np.save(tmp_path / "u.npy", u)
    source = open_fields(tmp_path / "u.npy", variable="u")
    assert len(source.fields[0:7]) == 7
    with pytest.raises(NonFiniteError, match=rf"'u'.* 1 of {4 * H * W} entries in samples 4 to 7"):
        list(read_batches(Samples(source.fields), 4))


def test_overflow_into_single_precision_is_found(tmp_path):
    np.save(tmp_path / "u.npy", 1e300 * (1 + numbers() ** 2))
    with pytest.raises(NonFiniteError, match="infinite"):
        open_fields(tmp_path / "u.npy", dtype=torch.float32)
    assert open_fields(tmp_path / "u.npy").shape == (1, H, W)


def test_samples_of_different_shapes(tmp_path):
    np.save(tmp_path / "a.npy", numbers())
    np.save(tmp_path / "b.npy", numbers(N, H, W + 1))
    with pytest.raises(ShapeError, match=r"\(4, 6\) in .*a.npy and \(4, 7\) in .*b.npy"):
        open_fields([tmp_path / "a.npy", tmp_path / "b.npy"])


def test_the_second_file_lacks_the_variable_of_the_first(tmp_path):
    np.savez(tmp_path / "a.npz", u=numbers())
    np.savez(tmp_path / "b.npz", v=numbers())
    with pytest.raises(FileFormatError, match=r"b.npz has no variable 'u'; it has v"):
        open_fields([tmp_path / "a.npz", tmp_path / "b.npz"])


def test_channels_must_fit_together(tmp_path):
    np.savez(tmp_path / "grids.npz", u=numbers(), v=numbers(N, H, W + 1))
    with pytest.raises(ShapeError, match="one grid"):
        open_fields(tmp_path / "grids.npz", variable=["u", "v"])
    np.savez(tmp_path / "times.npz", u=numbers(), v=numbers(N + 1, H, W))
    with pytest.raises(ShapeError, match=r"got 'v' of .*times.npz with other samples than 'u'"):
        open_fields(tmp_path / "times.npz", variable=["u", "v"])


def test_sample_dim_that_is_not_there(tmp_path):
    write_netcdf(tmp_path / "f.nc", numbers(), np.zeros(N))
    with pytest.raises(OptionError, match="no dimension 'tme'; it has time, y, x"):
        open_fields(tmp_path / "f.nc", sample_dim="tme")
    np.save(tmp_path / "f.npy", numbers())
    for dim in ("time", 3, -1):
        with pytest.raises(OptionError, match=f"from 0 to 2 .* got {dim!r}"):
            open_fields(tmp_path / "f.npy", sample_dim=dim)


def test_slices_are_consecutive(tmp_path):
    np.save(tmp_path / "f.npy", numbers())
    source = open_fields(tmp_path / "f.npy", variable="u")
    with pytest.raises(OptionError, match="step 2"):
        source.fields[::2]


@pytest.mark.parametrize("hidden", ["xarray", "netCDF4"])
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, hidden):
    write_netcdf(tmp_path / "f.nc", numbers(), np.zeros(N))
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(FileFormatError, match=r"pip install 'isospan\[fields\]'"):
        open_fields(tmp_path / "f.nc")


def test_arrays_are_rows_for_training(tmp_path):
    write_npz(tmp_path / "f.npz", numbers(), np.arange(float(N)))
    source = open_fields(tmp_path / "f.npz")
    train, test = hold_out(Samples(source.fields, source.quantities), 0.2)
    assert torch.equal(test[0:2].quantities["s"], torch.tensor([8.0, 9.0]))
    assert train[0:3].fields.shape == (3, 1, H, W)


def test_arrays_of_other_lengths_are_left_out_and_say_why(tmp_path):
    np.savez(tmp_path / "a.npz", u=np.zeros((5, 4, 4)), age=np.zeros(3))
    source = open_fields(tmp_path / "a.npz")
    assert source.names == ("u",)
    assert source.left_out == {"age": "has shape (3,), not 5 samples along dimension 0"}
    xarray = pytest.importorskip("xarray")
    arrays = {"u": (("t", "y", "x"), np.zeros((5, 4, 4))), "depth": (("y", "x"), np.zeros((4, 4)))}
    xarray.Dataset(arrays).to_netcdf(tmp_path / "a.nc")
    source = open_fields(tmp_path / "a.nc")
    assert source.left_out == {"depth": "has the dimensions y, x, not the sample dimension 't'"}
    assert source.sample_dim == "t"


def test_what_is_known_is_not_the_fields(tmp_path):
    np.savez(tmp_path / "a.npz", u=np.zeros((5, 4, 4)), v=np.zeros((5, 4, 4)))
    assert open_fields(tmp_path / "a.npz", quantities=["v"]).variables == ("u",)
    with pytest.raises(FileFormatError, match="must have one variable that can be the fields"):
        open_fields(tmp_path / "a.npz", quantities=["u", "v"])


@pytest.mark.parametrize(("fill", "dtype"), [(float("nan"), None), (float("inf"), None), (1e300, torch.float32)])
def test_what_is_filled_in_is_finite(tmp_path, fill, dtype):
    np.save(tmp_path / "u.npy", numbers())
    with pytest.raises(
        OptionError, match=rf"fill must be a finite number of .*, got {re.escape(str(fill))}\. Pass fill=VALUE"
    ):
        open_fields(tmp_path / "u.npy", fill=fill, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
def test_an_offset_costs_no_digits(tmp_path, dtype):
    u = (100_000_000 + np.arange(N * H * W).reshape(N, H, W)).astype(dtype)
    np.savez(tmp_path / "u.npz", u=u, s=u[:, 0, 0])
    source = open_fields(tmp_path / "u.npz", variable="u")
    assert torch.equal(source.fields[0:N], torch.from_numpy(u.astype(np.float64))[:, None])
    assert torch.equal(source.quantities["s"][3:5], torch.from_numpy(u[3:5, 0, 0].astype(np.float64)))


@pytest.mark.parametrize("name", ["u.h5", "u.nc"])
@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_floats_of_hdf5_that_netcdf_does_not_know(tmp_path, name, dtype):
    h5py, u = pytest.importorskip("h5py"), numbers().astype(dtype)
    with h5py.File(tmp_path / name, "w") as file:
        file["u"], file["label"] = u, [b"a"] * N
    assert torch.equal(open_fields(tmp_path / name).fields[0:N], torch.from_numpy(u.astype("float64"))[:, None].to(
        torch.float32 if dtype == "float16" else torch.float64
    ))  # fmt: skip


FILLED = {"f4": 9.969209968386869e36, "f8": 9.969209968386869e36, "i2": -32767, "i4": -2147483647}


@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("dtype", FILLED)
def test_what_was_never_written_to_a_netcdf_file_is_missing(tmp_path, kind, dtype):
    """The values are those of NC_FILL_FLOAT and its like in netcdf.h."""
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(tmp_path / "u.nc", "w", format=kind) as file:
        for dim, size in (("t", 3), ("y", H), ("x", W)):
            file.createDimension(dim, size)
        file.createVariable("u", dtype, ("t", "y", "x"))[0] = 5
        file.createVariable("declared", dtype, ("t",), fill_value=7)[:] = [FILLED[dtype], 7, 1]
        file.createVariable("packed", "i2", ("t",)).scale_factor = 0.5
        file.createVariable("bytes", "i1", ("t",))[:] = [-127, 0, 1]
    source = open_fields(tmp_path / "u.nc", fill=-1.0)
    assert source.fields[0:3].flatten(1)[:, 0].tolist() == [5, -1, -1]
    assert source.quantities["declared"][0:3].tolist() == pytest.approx([FILLED[dtype], -1, 1], rel=1e-7)
    assert source.quantities["packed"][0:3].tolist() == [-1, -1, -1]
    assert source.quantities["bytes"][0:3].tolist() == [-127, 0, 1]
    with pytest.raises(NonFiniteError, match=f"{H * W} of {H * W} entries in samples 1 to 1"):
        open_fields(tmp_path / "u.nc").fields[1:2]
