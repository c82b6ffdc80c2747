"""Errors and warnings of the commands: without tracebacks, with options instead of arguments."""

import codecs
import io
import logging
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.logging import RichHandler

from isospan.errors import IsospanError, NumericalWarning

OPTIONS = {
    r"variable=\['u', 'v'\]": "--variable u --variable v",
    r"\bvariable=NAME\b": "--variable NAME",
    r"\bfill=VALUE\b": "--fill VALUE",
    r"\bresume=True\b": "--resume",
    r"Pass fit=\(z, y\) of other data": "Pass files of more samples",
    r"(with|got) (periodic|orthogonal)=False": r"\1 --no-\2",
    r"\b(periodic|orthogonal)=(True|False)": lambda found: f"{'no ' * (found[2] == 'False')}--{found[1]}",
    r"\(lr=([^)]*)\)": r"(--learning-rate \1)",
    r"\blatent='auto'": "--latent auto",
    r"^(latent|epochs|device|batch_size|strength|out|fill) must": lambda found: f"--{_dashed(found[1])} must",
    r"\bmax_n\b": "--max-bins",
    r"\b(sample_dim|max_bins)\b": lambda found: f"--{_dashed(found[1])}",
    r"\b(bin|k)_thresholds?\b": r"--\1-threshold",
    r"\bn_thresholds\b": "--bin-threshold",
    r"Each of --": "--",
    r"\btrust=True\b": "--trust",
    r"\bencoder=CLASS\b": "--encoder module:Class",
    r"\bencoder='([^'\s]*)'": r"--encoder \1",
    r"\bencoder=(?=['\"])": "--encoder ",
    r"\bRaise k\.": "Raise it with --k-threshold, or for latents with -k NAME=K.",
    r"\bquantities=\{NAME: FUNCTION\}": "--quantity NAME=module:function",
    r"\bquantities=\{(['\"])(.*?)\1: FUNCTION\}": r"--quantity '\2=module:function'",
}
"""Replaces arguments of Python functions in messages by options; patterns and their replacements."""

console = Console(highlight=False, emoji=False, quiet=os.environ.get("RANK", "0") != "0")
errors = Console(stderr=True, highlight=False, emoji=False)


SUBSTITUTES = str.maketrans("–−×’“”→·▁▂▃▄▅▆▇█", '--x\'"">..:-=+*#@') | {ord("°"): " deg"}
"""ASCII for characters that the commands write and that have no decomposition."""


def replace_unencodable() -> None:
    """Let the output streams replace characters that their encoding lacks, instead of an error."""
    codecs.register_error("isospan", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="isospan")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace by ASCII, such as a letter without its accent; else by question marks of the same width."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(SUBSTITUTES)
    parts = [unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode() or _unknown(char) for char in text]
    return "".join(parts), error.end


def _unknown(char: str) -> str:
    return "??" if unicodedata.east_asian_width(char) in "WF" else "?"


def in_options(text: str) -> str:
    """Return a message with options instead of arguments.

    Example:
        >>> in_options("sample_dim must be a number. Pass fill=VALUE, or take latent='auto' with orthogonal=False.")
        '--sample-dim must be a number. Pass --fill VALUE, or take --latent auto with --no-orthogonal.'
    """
    for pattern, option in OPTIONS.items():
        text = re.sub(pattern, option, text)
    return text


def _dashed(argument: str) -> str:
    return argument.replace("_", "-")


@contextmanager
def clean_errors(*, debug: bool, interrupted: str = "") -> Iterator[None]:
    """Print an error of isospan or of a file as one message, and exit with code 2. Print warnings as one line each.

    Of several processes only the first that fails prints its error: the others fail because of it, or for the same
    reason.

    Args:
        debug: raise the error with its traceback.
        interrupted: message after an interrupt.
    """
    with _printed_warnings():
        try:
            yield
        except KeyboardInterrupt:
            if _first_to_fail():
                errors.print(f"Interrupted. {interrupted}".rstrip())
            raise typer.Exit(130) from None
        except Exception as error:
            expected = isinstance(error, (IsospanError, OSError))
            if debug or (not expected and _first_to_fail()):
                raise
            if expected and _first_to_fail():
                errors.print(f"[bold red]Error{_rank()}:[/]", end=" ")
                errors.print(in_options(str(error)), markup=False, soft_wrap=True)
            raise typer.Exit(2) from None


def _first_to_fail() -> bool:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    from isospan._core.launch import first_to_fail

    return first_to_fail()


def _rank() -> str:
    return f" on rank {os.environ['RANK']}" if console.quiet else ""


@contextmanager
def _printed_warnings() -> Iterator[None]:
    """Print warnings and log messages of isospan as lines above the progress bar."""
    logger = logging.getLogger("isospan")
    shown = RichHandler(console=errors, show_time=False, show_path=False)
    handler = logging.NullHandler() if console.quiet else shown
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", NumericalWarning)
            warnings.showwarning = lambda message, *_args, **_kwargs: logger.warning("%s", in_options(str(message)))
            yield
    finally:
        logger.removeHandler(handler)
