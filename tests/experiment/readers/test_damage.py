"""Damaged files of every kind are read right or refused by name, as far as their format protects what they hold."""

import gc
import re
import struct
import time
import warnings
import zipfile
from zlib import crc32

import numpy as np
import pytest
import torch

from isospan._core import numpy_files
from isospan.errors import FileFormatError, IsospanError
from isospan.experiment.readers import open_arrays, open_fields

xarray = pytest.importorskip("xarray")

U = np.random.default_rng(0).standard_normal((10, 4, 6))


def dataset():
    return xarray.Dataset({"u": (("t", "y", "x"), U, {"units": "m"}), "s": ("t", np.arange(10.0))})


def write_zarr(path, **options):
    dataset().to_zarr(path, consolidated=False, **options)


WRITERS = {
    "npy.npy": lambda path: np.save(path, U),
    "stored.npz": lambda path: np.savez(path, u=U, s=np.arange(10.0)),
    "deflated.npz": lambda path: np.savez_compressed(path, u=U, s=np.arange(10.0)),
    "cdf1.nc": lambda path: dataset().to_netcdf(path, format="NETCDF3_CLASSIC", unlimited_dims=["t"]),
    "cdf2.nc": lambda path: dataset().to_netcdf(path, format="NETCDF3_64BIT"),
    "netcdf4.nc": lambda path: dataset().to_netcdf(path),
    "checked.nc": lambda path: dataset().to_netcdf(path, encoding={"u": {"zlib": True, "fletcher32": True}}),
    "hdf5.h5": lambda path: dataset().to_netcdf(path, engine="h5netcdf"),
    "two.zarr": lambda path: write_zarr(path, zarr_format=2),
    "three.zarr": lambda path: write_zarr(path, zarr_format=3),
}
CHECKED = {"stored.npz", "deflated.npz"}  # whose checksum covers all of an array
SLOW_TO_OPEN = {"netcdf4.nc", "checked.nc", "hdf5.h5", "two.zarr", "three.zarr"}


def damaged(content, rng):
    """Content cut short, or with up to three flipped bits.

    The HDF5 library reads for ever in some damaged heaps, where values of variable length are: they stay whole.
    """
    if rng.random() < 0.15:
        return content[: rng.integers(len(content))]
    damaged = bytearray(content)
    for at in rng.integers(len(content), size=rng.integers(1, 4)):
        damaged[at] ^= 1 << rng.integers(8)
    for heap in re.finditer(b"GCOL", content):  # signature, version, its size at byte 8
        (size,) = struct.unpack_from("<Q", content, heap.start() + 8)
        damaged[heap.start() : heap.start() + size] = content[heap.start() : heap.start() + size]
    return bytes(damaged)


def read(path):
    with open_fields(path, variable="u") as source:
        return source.fields[0 : len(source)]


def damage_and_read(tmp_path, kind, cases):
    """Every outcome is an error of ours or fields of the right shape, and of checked formats the right fields."""
    path = tmp_path / kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[kind](path)
        files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
        whole, refused = read(path), 0
        for case in range(cases):
            rng = np.random.default_rng(case)
            file = files[rng.integers(len(files))]
            content = file.read_bytes()
            file.write_bytes(damaged(content, rng))
            try:
                got = read(path)
                assert got.shape == whole.shape, case
                assert kind not in CHECKED or torch.equal(got, whole), case
            except IsospanError as error:
                refused += 1
                named = str(path) in str(error) or not isinstance(error, FileFormatError)
                assert named, case
            finally:
                file.write_bytes(content)
    return refused


@pytest.mark.parametrize("kind", WRITERS)
def test_damage_is_refused_by_name(tmp_path, kind):
    assert damage_and_read(tmp_path, kind, cases=20 if kind in SLOW_TO_OPEN else 100) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_much_damage_is_refused_by_name(tmp_path, kind):
    assert damage_and_read(tmp_path, kind, cases=1000 if kind in SLOW_TO_OPEN else 5000) > 0


def test_a_damaged_root_leaves_no_file_open(tmp_path):
    h5py, path = pytest.importorskip("h5py"), tmp_path / "u.h5"
    with h5py.File(path, "w") as file:
        file["u"] = U
        scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(file.id, b"_nc3_strict", h5py.h5t.UNIX_D32LE, scalar)  # of a type that no reader knows
    with pytest.raises(FileFormatError, match="cannot be read"):
        open_fields(path)
    gc.collect()  # an error while a file is closed would end this test
    with h5py.File(path, "a"):  # refused while it is open for reading
        pass


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [True, False])
@pytest.mark.parametrize("types", [["f4"], ["i1"], ["f8", "i1", "i2"]])
def test_a_classic_file_has_the_bytes_that_its_header_declares(tmp_path, kind, unlimited, types):
    netcdf, path = pytest.importorskip("netCDF4"), tmp_path / "u.nc"
    with netcdf.Dataset(path, "w", format=kind) as file:
        for dim, size in (("t", None if unlimited else 7), ("y", 3), ("x", 5)):
            file.createDimension(dim, size)
        file.createVariable("fixed", "i2", ("x",))[:] = 1
        for i, dtype in enumerate(types):
            file.createVariable(f"v{i}", dtype, ("t", "y", "x"))[:7] = np.ones((7, 3, 5))
    assert read_all(path).tolist() == np.ones((7, 1, 3, 5)).tolist()
    content = path.read_bytes()
    for kept in (len(content) - 4, len(content) - 100):
        path.write_bytes(content[:kept])
        with pytest.raises(
            FileFormatError, match=rf"u\.nc cannot be read .*declares \d+ bytes, and the file has {kept}"
        ):
            read_all(path)
    path.write_bytes(content + bytes(60))  # records that the header does not count
    with pytest.raises(FileFormatError, match="declares"):
        read_all(path)


def read_all(path):
    with open_fields(path, variable="v0") as source:
        return source.fields[0:7]


def npz_of(path, header, content, *, method=zipfile.ZIP_DEFLATED):
    """A ``.npz`` file whose array declares a shape of its own."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("u.npy", npy(header) + content)


def npy(shape, descr="<f8"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(9, 4, 6), (11, 4, 6), (10**9, 4, 6), (-10, -4, 6)])
def test_an_array_has_the_bytes_that_its_header_declares(tmp_path, method, shape):
    npz_of(tmp_path / "u.npz", shape, U.tobytes(), method=method)
    (tmp_path / "u.npy").write_bytes(npy(shape) + U.tobytes())
    for name in ("u.npz", "u.npy"):
        with pytest.raises(FileFormatError, match=rf"{name} cannot be read .*(declares|negative)"):
            open_fields(tmp_path / name, variable="u")


def set_size(path, size):
    """Let the directory of an archive declare another size of its one member, as its array does."""
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        content[(start := content.index(signature)) + at : start + at + 4] = struct.pack("<I", size)
    path.write_bytes(content)


def test_more_than_an_archive_can_hold_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path, shape = tmp_path / "u.npz", (1000, 100, 100)
    npz_of(path, shape, bytes(800))
    set_size(path, 80_000_000 + len(npy(shape)))
    with pytest.raises(FileFormatError, match=r"declares 80000000 bytes, more than \d+ can stand for"):
        open_fields(path)
    npz_of(path, shape, bytes(80_000_000))
    assert open_fields(path).shape == (1, 100, 100)  # zeros, at the highest ratio that there is
    monkeypatch.setattr(numpy_files, "physical_memory", lambda: 10**7)
    with pytest.raises(FileFormatError, match=r"declares 80000000 bytes, and the memory has 10000000. Save it with"):
        open_fields(path)


def test_an_array_that_nobody_asked_for_is_not_decompressed(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "u.npz", u=U, zeros=np.zeros((10, 3_000_000)))
    read, before = [], zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: read.append(got := before(self, n)) or got)
    started = time.perf_counter()
    source = open_fields(tmp_path / "u.npz")
    assert time.perf_counter() - started < 0.5  # 240 MB of zeros take longer
    assert source.shapes == {"u": (1, 4, 6), "zeros": (3_000_000,)}
    assert sum(map(len, read)) < 2 * U.nbytes
    assert {name: array.shape for name, array in open_arrays(tmp_path / "u.npz").items()}["zeros"] == (10, 3_000_000)


def test_one_flipped_bit_in_a_stored_array_is_found(tmp_path):
    u = np.tile(U, (100, 1, 1))  # beyond what is read with the header
    np.savez(tmp_path / "u.npz", u=u)
    content = bytearray((tmp_path / "u.npz").read_bytes())
    at = content.index(u.tobytes()) + u.nbytes - 9
    content[at] ^= 1
    (tmp_path / "u.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"checksum of u\.npy differs"):
        open_fields(tmp_path / "u.npz")


def test_the_checksum_of_a_byte_range(tmp_path):
    content = np.random.default_rng(0).bytes(3 * 2**20)
    (tmp_path / "x").write_bytes(content)
    assert numpy_files._checksum(tmp_path / "x", 7, 2**21 + 5) == crc32(content[7 : 7 + 2**21 + 5])
