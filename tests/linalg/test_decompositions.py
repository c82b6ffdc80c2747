"""The setting ``use_cpu_fallback`` reaches every decomposition of a guided space, and brings the result back."""

import re
from pathlib import Path

import pytest
import torch

import isospan
from isospan import linalg
from isospan.errors import NonFiniteError
from isospan.linalg._decompositions import decomposition
from isospan.settings import config

ROOT = Path(isospan.__file__).parent
BY_TORCH = re.compile(r"torch\.(linalg\.(eig|svd|qr|pinv|lstsq|cholesky|solve)\w*|geqrf|ormqr|svd\w*|pinverse)\(")
ONE_MATRIX = [
    linalg.eigh,
    linalg.nearest_frame,
    linalg.nested_frame,
    linalg.orthogonal_complement,
    linalg.orthonormal_rows,
    linalg.pinv,
    linalg.qr,
    linalg.svd,
    linalg.svdvals,
    linalg.symmetric_spectrum,
]


@pytest.mark.parametrize("routine", ONE_MATRIX, ids=lambda r: r.__name__)
def test_the_matrix_is_taken_to_the_cpu(routine):
    """A tensor on the meta device says so when it is asked for its entries."""
    with config.context(use_cpu_fallback=True), pytest.raises(NotImplementedError, match="out of meta"):
        routine(torch.empty(3, 3, device="meta"))


@pytest.mark.parametrize("routine", [linalg.principal_angles, linalg.solve_gram, linalg.top_left_singular])
def test_so_are_two(routine):
    second = 2 if routine is linalg.top_left_singular else torch.empty(3, 3, device="meta")
    with config.context(use_cpu_fallback=True), pytest.raises(NotImplementedError, match="out of meta"):
        routine(torch.empty(3, 3, device="meta"), second)


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("routine", [*ONE_MATRIX, linalg.gram_spectrum], ids=lambda f: f.__name__)
def test_what_is_not_finite_is_named(routine, bad, fallback):
    """LAPACK would say that its algorithm failed to converge; what propagates NaN may."""
    A = torch.eye(3)
    A[1, 2] = A[2, 1] = bad
    with config.context(use_cpu_fallback=fallback):
        try:
            result = routine(A)
        except NonFiniteError as error:
            assert "NaN or infinite of 9 entries" in str(error)  # noqa: PT017
        else:
            parts = result if isinstance(result, tuple) else (result,)
            assert not all(bool(part.isfinite().all()) for part in parts)


def test_results_return_to_the_device_of_the_first():
    def on_the_cpu(x):
        assert x.device.type == "cpu"
        return x, x

    class Elsewhere(torch.Tensor):
        device = torch.device("meta")

        def cpu(self):
            return torch.ones(2)

    x = torch.ones(2).as_subclass(Elsewhere)
    with config.context(use_cpu_fallback=True):
        assert [part.device.type for part in decomposition(on_the_cpu)(x)] == ["meta", "meta"]
        assert decomposition(lambda x: on_the_cpu(x)[0])(x).device.type == "meta"


@pytest.mark.parametrize("package", ["moments", "guided", "experiment"])
def test_packages_above_do_not_decompose_by_themselves(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    assert [path.name for path in files if BY_TORCH.search(path.read_text())] == []
