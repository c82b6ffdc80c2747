"""Commands whose output has another encoding than UTF-8 write what it lacks as something alike."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest

from isospan.cli import app
from isospan.cli._messages import replace_unencodable

SMALL = ("--epochs", 1, "--batch-size", 8, "--max-bins", 3, "--variable", "u")
NAME = "涡é×"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("ascii", "R2 3 deg - ??e x .@ ? ..."),
        ("latin-1", "R² 3° - ??é × .@ ? ..."),
        ("cp437", "R² 3° - ??é x .█ ? ..."),
        ("gbk", "R2 3° – 涡é × ▁█ ? …"),
        ("utf-8", "R² 3° – 涡é × ▁█ ? …"),
    ],
)
def test_what_an_encoding_lacks_is_written_as_something_alike(monkeypatch, encoding, said):
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding=encoding))
    replace_unencodable()
    print("R² 3° – 涡é × ▁█ \udcff …", end="", flush=True)
    assert stream.getvalue().decode(encoding) == said


@pytest.mark.parametrize(
    "encoding", ["ascii", "gbk", *(pytest.param(other, marks=pytest.mark.slow) for other in ("latin-1", "cp437"))]
)
@pytest.mark.filterwarnings("ignore:Probes are fitted:isospan.errors.NumericalWarning")
@pytest.mark.filterwarnings("ignore:Glyph")
def test_every_command_ends_well(encoding, flow, tmp_path, monkeypatch, no_figures):
    run, latents = tmp_path / "run-é", tmp_path / "z.npz"
    np.savez(latents, z=np.random.default_rng(0).normal(size=(60, 3)), **{NAME: np.arange(60.0)})
    commands = [
        (["--help"], 0),
        (["train", flow, "-q", f"{NAME}=local_mean", "--out", run, *SMALL], 0),
        (["size", flow, "-q", f"{NAME}=local_mean", "--variable", "u", "--out", tmp_path / "s.png"], 0),
        (["decode", run, flow], 0),
        (["edit", run, flow, "--set", f"{NAME}=*2"], 0),
        (["probe", run, flow], 0),
        (["probe", latents, latents, "--out", tmp_path / "probe"], 0),
        (["decode", tmp_path / "涡 – nowhere", flow], 2),
        (["train", flow, "-q", "涡 – é", "--variable", "u"], 2),
        (["--涡"], 2),
    ]
    for arguments, code in commands:
        streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            with pytest.raises(SystemExit) as ended:
                app([str(argument) for argument in arguments])
        shown = [stream.buffer.getvalue().decode(encoding) for stream in streams.values() if not stream.flush()]
        assert ended.value.code == code, shown


def test_the_progress_bar_of_a_terminal_without_unicode(flow, tmp_path):
    program = (
        "from isospan.experiment import reports; reports.write_report = lambda summary, out: out / 'report.html';"
        "from isospan.cli import app; app()"
    )
    arguments = ["train", flow, "-q", f"{NAME}=local_mean", "--out", tmp_path, *SMALL, "--no-baseline"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "guided, epoch 1" in done.stdout.decode("ascii")
    assert "R2" in done.stdout.decode("ascii")
