"""The report: a self-contained page."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from jinja2 import UndefinedError

from isospan._core.figures import empty_figure
from isospan.experiment.reports import _html as html
from isospan.experiment.reports import write_report
from isospan.experiment.reports._cards import report_cards
from isospan.experiment.reports._html import _setting, draw_figures, render_html
from isospan.experiment.training import History

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory, summary):
    """The report of a run with three quantities, written once, as (directory, summary)."""
    run = summary(3)
    return write_report(run, tmp_path_factory.mktemp("run")).parent, run


def _render(run) -> str:
    """The page with blank figures, which are quick to draw."""
    names = [name for name in html.TITLES if name != "edit"] + [f"edit_{i + 1}" for i in range(len(run.edits))]
    return render_html(run, {name: empty_figure("") for name in names})


def _of_quantity(edit, name, new):
    readings = {what: {new: getattr(edit, what)[name]} for what in ("targets", "read_before", "read_after")}
    return replace(edit, **readings)


def _renamed(run, names):
    """The same run with other names of its quantities."""
    new = dict(zip(run.guided.names, names, strict=True))

    def rename(evaluation):
        fields = ("subspace_r2", "rank_k_probe_r2", "linear_probe_r2", "decoder_r2", "variance_share")
        changed = {key: {new.get(k, k): v for k, v in getattr(evaluation, key).items()} for key in fields}
        angles = {(new[a], new[b]): values for (a, b), values in evaluation.angles.items()}
        return replace(evaluation, names=tuple(names), angles=angles, **changed)

    return replace(
        run,
        title=names[0],
        guided=rename(run.guided),
        unguided=rename(run.unguided),
        dims={new[k]: v for k, v in run.dims.items()},
        decoded={new[k]: v for k, v in run.decoded.items()},
        intervals={new[k]: v for k, v in run.intervals.items()},
        edits={new[name]: _of_quantity(edit, name, new[name]) for name, edit in run.edits.items()},
        settings={names[0]: names[1]},
        versions={names[1]: names[0]},
        sweep=None,
    )


def test_the_page_parses_and_its_tags_nest(written):
    out, _ = written
    page = Page((out / "report.html").read_text())
    assert page.tags.count("svg") == page.tags.count("figcaption") == len(list((out / "figures").glob("*.png"))) == 11


def test_the_page_refers_to_nothing_outside(written):
    out, _ = written
    text = (out / "report.html").read_text()
    page = Page(text)
    assert "http" not in text
    assert not {"link", "script", "iframe", "object", "embed", "img", "base"} & set(page.tags)
    assert not re.search(r"@import|@font-face", text)
    references = [value for name, value in page.attributes if name in {"href", "src", "srcset", "xlink:href", "data"}]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in references)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_identifiers_are_unique_and_links_lead_somewhere(written):
    out, _ = written
    page = Page((out / "report.html").read_text())
    identifiers = [value for name, value in page.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    links = [value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")]
    assert set(links) <= set(identifiers)


def test_angles_are_the_least_the_mean_and_the_greatest(summary):
    run = summary(2)
    pair = next(iter(run.guided.angles))
    run = replace(run, guided=replace(run.guided, angles={pair: torch.tensor([10.0, 20.0, 81.0])}))
    assert "10.0°37.0°81.0°" in "".join(Page(_render(run)).text.split())


def test_a_k_that_is_too_small_is_said(summary):
    run = summary(2, unguided=False)
    first, second = run.guided.names
    scores = {"rank_k_probe_r2": {first: 0.84, second: 0.9}, "linear_probe_r2": {first: 0.97, second: 0.94}}
    text = Page(_render(replace(run, guided=replace(run.guided, k={first: 10, second: 3}, **scores)))).text
    assert f"{first}: k = 10 leaves out 0.13, since the best rank-k probe has R² 0.84" in text
    assert "the full linear probe 0.97. Raise k." in text
    assert text.count("leaves out") == 1


def test_the_page_holds_the_numbers(written):
    out, run = written
    text = Page((out / "report.html").read_text()).text
    for evaluation in (run.guided, run.unguided):
        for numbers in (evaluation.subspace_r2, evaluation.rank_k_probe_r2, evaluation.linear_probe_r2):
            assert all(f"{value:.3f}" in text for value in numbers.values())
    assert all(f"{float(angles.min()):.1f}°" in text for angles in run.guided.angles.values())
    assert all(card.value in text and card.detail in text for card in report_cards(run))
    assert "0.0352" in text
    assert "Decaying turbulence <64 × 64>" in text
    assert "stream function, kinetic energy, strain rate" in text
    assert "the run took 4 min 13 s" in text


def test_metrics_and_figures_lie_beside_the_page(written):
    out, run = written
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["guided"]["subspace_r2"] == run.guided.subspace_r2
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (out / "figures").iterdir())
    assert {path.name for path in out.iterdir()} == {"report.html", "metrics.json", "figures"}


@pytest.mark.parametrize(
    "names",
    [
        ("<b>bold</b>", "<script>alert(1)</script>", '" onload="x', "a & b"),
        ("$\\frac{$", "x_$_y", "{{ 7 * 7 }}", "-->"),
        ("new\nline", "W" * 200, "W" * 200 + "!"),
    ],
)
def test_names_cannot_break_the_page(summary, names):
    run = _renamed(summary(len(names)), names)
    short = History(steps=[1], losses={name: [1.0] for name in names})
    drawn = draw_figures(replace(run, reconstructions={}, history=short, unguided_history=None))
    page = Page(render_html(run, drawn | {"reconstructions": empty_figure("")}))
    assert "script" not in page.tags
    assert "onload" not in {name for name, _ in page.attributes}
    for name in names:
        assert " ".join(name.split()) in page.text


def test_the_page_has_no_unguided_numbers_where_there_is_no_such_run(summary):
    text = Page(_render(summary(2, unguided=False))).text
    assert "unguided" not in text
    assert "without guidance" not in text


def test_a_single_quantity_has_neither_pairs_nor_leakage(summary):
    drawn = draw_figures(summary(1))
    assert not {"cross_decodability", "angles"} & set(drawn)
    page = Page(render_html(summary(1), {name: empty_figure("") for name in drawn}))
    assert "A single" not in page.text
    assert "1 quantity in a latent space" in page.text


def test_only_what_the_run_has_is_drawn(summary):
    bare = replace(summary(2), reconstructions={}, decoded={}, edits={}, sweep=None, settings={}, versions={})
    drawn = draw_figures(bare)
    assert not {"reconstructions", "decoded", "edit_1", "sweep"} & set(drawn)
    page = Page(render_html(bare, {name: empty_figure("") for name in drawn}))
    assert "fields" not in {value for name, value in page.attributes if name == "id"}


def test_unknown_numbers_are_dashes(summary):
    text = Page(_render(summary(2, spoilt=True))).text
    assert "nan" not in text.lower()
    assert "–" in text


def test_the_same_run_gives_the_same_page(summary):
    assert _render(summary(2)) == _render(summary(2))


def test_a_failed_write_leaves_the_old_report(tmp_path, summary, monkeypatch):
    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr(html, "draw_figures", lambda run: {"r2": empty_figure("")})
    with pytest.raises(UndefinedError):  # the page needs more figures than that
        write_report(summary(1), tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        ([1, "a"], "1, a"),
        ({"k": [1, 2], "n": 3}, "k: 1, 2, n: 3"),
        ([], "–"),
        (0.5, "0.5"),
        (0.09817477042468103, "0.0981748"),
    ],
)
def test_settings_read_well(value, text):
    assert _setting(value) == text


def test_an_edit_says_what_the_fields_made_of_it(summary):
    run = summary(1)
    assert "cannot be computed from the field" in Page(_render(run)).text
    ((name, edit),) = run.edits.items()
    change = 0.52 * (edit.targets[name] - edit.read_before[name])
    edit = replace(edit, computed_before={name: 0 * change}, computed_after={name: change})
    assert (
        "The edit fidelity is 0.52, where 1 is the whole change" in Page(_render(replace(run, edits={name: edit}))).text
    )
