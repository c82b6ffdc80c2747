"""What is written uses the words of the glossary. Single words without exception are refused by codespell."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

REFUSED = {
    "re-solve": "solve",
    "re-solves": "solves",
    "at first": "at initialisation, early in training",
    "conjugate_by": "change_of_basis",
    "dealt": "sharded",
    "directsum": "direct_sum",
    "disentanglement_loss_original": "disentanglement_loss, except in isospan.compat",
    "leaves as it is": "does not change, is invariant under",
    "stands at": "is at",
    "so many": "n, as many",
    "sym2": "symmetric_square",
    "tap": "kernel position",
    "tile": "summary",
    "best probe": "best rank-k probe",
    "ceiling": "R² of the best rank-k probe",
    "displace": "shift",
    "displaced": "shifted",
    "goes on": "continues",
    "headline": "summary",
    "in the place of": "instead of",
    "is told": "gets, is given, knows",
    "lengthen": "upsample",
    "orbit mean": "group average",
    "of late": "recently",
    "settle": "synchronize",
    "past that fades": "exponential moving average",
    "pull at": "gradient norm",
    "stand at": "are at",
    "taps": "kernel positions, kernel size",
    "turned": "rotated, transformed",
    "verdict": "summary",
    "what the message says": "the condition itself",
}
"""Phrases that occur nowhere, and what to say."""

ALLOWED = {
    "disentanglement_loss_original": (
        *("compat/spacelearn/_disentanglement.py", "compat/spacelearn/loss.py", "docs/api/compat.rst"),
        *("tests/compat/test_spacelearn.py", "tests/contracts/test_bad_input.py"),
    ),
    "displaced": ("datasets/_ant.py", "datasets/ant.py", "datasets/_springs.py", "datasets/springs.py"),  # of masses
    "tile": ("tests/experiment/readers/test_damage.py", "tests/subspaces/test_latent_space.py"),  # numpy.tile
}
"""Files in which a phrase means something else, or is the name of another package."""


def texts():
    """Path and text, in lower case, of all that is written for people."""
    paths = [
        path for folder in ("src", "docs", "tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*")
    ]
    for path in [*sorted(paths), *sorted(ROOT.glob("*.md"))]:
        written = path.suffix in {".py", ".rst", ".md", ".j2"} and "_build" not in path.parts
        if written and path != Path(__file__):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8").lower()


TEXTS = list(texts())


def occurrences(phrase, texts=TEXTS):
    """File and line of each occurrence, as whole words, also across the lines of a comment."""
    words = r"(?:\s|#)+".join(map(re.escape, phrase.split()))
    pattern = re.compile(rf"(?<![\w-]){words}(?![\w-])")
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        for name, text in texts
        if phrase.split()[0] in text and not name.endswith(ALLOWED.get(phrase, "//"))
        for match in pattern.finditer(text)
    ]


@pytest.mark.parametrize(("phrase", "instead"), REFUSED.items())
def test_refused_phrases_occur_nowhere(phrase, instead):
    found = occurrences(phrase)
    assert not found, f"say {instead!r}: {', '.join(found)}"


def test_a_phrase_is_found_as_whole_words_and_across_lines():
    text = "it\n# goes\n    # on; goes on. It foregoes on, goes on-line, goes_on, goes over"
    assert occurrences("goes on", [("a.py", text)]) == ["a.py:2", "a.py:3"]
    assert occurrences("tile", [("src/a.py", "tile"), ("tests/experiment/readers/test_damage.py", "tile")]) == [
        "src/a.py:1"
    ]


def test_the_words_that_codespell_refuses_have_a_replacement():
    lines = (ROOT / ".codespell-dialect.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert lines == sorted(lines)
    assert all(re.fullmatch(r"[\w-]+->[\w -]+", line) for line in lines)
    assert not [found for line in lines for found in occurrences(line.partition("->")[0])]
