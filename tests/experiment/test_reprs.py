"""A repr is one short line, and shows no tensor."""

import warnings

import numpy as np
import pytest
import torch

from isospan.experiment import Quantity, Sizes, Targets, TrainedRun, audit, edit, train
from isospan.experiment._data import read_source
from isospan.experiment.samples import Samples, select
from isospan.experiment.training import History, read_out
from isospan.experiment.training._run_state import Run
from isospan.guided import SpaceObjective
from isospan.integrations import Checkpoints, Guide, Means

NAMES = [f"a quantity with a long name, number {i}" for i in range(20)]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What a small run makes, and objects of many quantities with long names, by name."""
    folder = tmp_path_factory.mktemp("reprs")
    noise = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    fields = torch.nn.functional.interpolate(noise, size=(16, 16), mode="bilinear")
    np.savez(folder / "flow.npz", u=fields.numpy()[:, 0], age=np.arange(40.0))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Probes are fitted on")  # 8 samples are held out
        patch.setattr("isospan.experiment.reports.write_report", lambda summary, out: folder / "run" / "report.html")
        result = train(config(folder))
        z = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
        audited = audit(z, dict.fromkeys(NAMES[:3], z[:, :2]))
    used = TrainedRun.load(folder / "run")
    source, samples = used.open([folder / "flow.npz"]), Samples(fields, dict.fromkeys(NAMES, fields))
    guide, means = Guide(SpaceObjective(dict.fromkeys(NAMES, 2), latent_dim=50)), Means()
    for name in NAMES:
        means.add({name: torch.ones(())}, samples=3)
    state = Run(result.model, None, None, torch.Generator(), torch.ones(1, 1, 1), 1e-3, 10)
    return {
        "Result": result,
        "TrainedNetwork": result.guided,
        "RunSummary": result.summary,
        "History": result.guided.history,
        "Edit": edit(folder / "run", [folder / "flow.npz"], {"local_mean": "*1.1"}, linear=True),
        "TrainedRun": used,
        "Audit": audited,
        "Source": source,
        "FieldSource": source.opened,
        "FieldArray": source.opened.arrays["u"],
        "Channels": read_source([folder / "flow.npz"], variable=["u", "u"]).samples.fields,
        "RowRanges": select(Samples(source.opened.arrays["u"]), [range(3), range(5, 9)]).fields,
        "Samples": samples,
        "Sizes": Sizes(dict.fromkeys(NAMES, (8, 20)), 400, 400),
        "sizes of the run": result.sizes,
        "Targets": Targets(tuple(Quantity(name, "") for name in NAMES), n=dict.fromkeys(NAMES, 8)),
        "Readout": read_out(result.model, Samples(fields)),
        "Run": state,
        "long History": History(steps=[1], losses={name: [0.5] for name in NAMES}),
        "Guide": guide,
        "Means": means,
        "Checkpoints": Checkpoints(folder / "run"),
    }


def config(folder):
    from isospan.experiment import TrainConfig

    return TrainConfig(
        files=[folder / "flow.npz"],
        quantities={"local_mean": "", "gradient_x": ""},
        out=folder / "run",
        epochs=2,
        batch_size=8,
        width=4,
        max_bins=3,
    )


KINDS = """Result TrainedNetwork RunSummary History Edit TrainedRun Audit Source FieldSource FieldArray
Channels RowRanges Samples Sizes Targets Readout Run Guide Means Checkpoints""".split()


@pytest.mark.parametrize("kind", [*KINDS, "sizes of the run", "long History"])
def test_a_repr_is_one_short_line_without_tensors(shown, kind):
    text = repr(shown[kind])
    assert len(text) <= 300, text
    assert "\n" not in text
    assert "tensor(" not in text
    assert "array(" not in text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("sizes of the run", "'local_mean': (3, "),
        ("Result", "local_mean, gradient_x; latent_dim="),
        ("Edit", "local_mean fidelity "),
        ("History", "History(8 steps, "),
        ("FieldArray", "FieldArray('u', shape=(40, 1, 16, 16), dtype=torch.float32, "),
        ("FieldSource", "FieldSource(40 samples of u (1, 16, 16), age ())"),
        ("RowRanges", "RowRanges(7 rows in 2 ranges of FieldArray('u', "),
        ("Samples", "Samples(fields (40, 1, 16, 16), a quantity with a long name, number 0 (40, 1, 16, 16), "),
        ("Samples", " …, in_memory=True)"),
        ("Guide", " …}, step=0, epoch=0)"),
        ("Means", "Means(a quantity with a long name, number 0 of 3 samples, "),
        ("Readout", "moments of: none)"),
    ],
)
def test_a_repr_names_sizes_and_numbers(shown, kind, expected):
    assert expected in repr(shown[kind])
