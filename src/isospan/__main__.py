"""``python -m isospan`` is the command ``isospan``."""

from isospan.cli import app

if __name__ == "__main__":
    app(prog_name="isospan")
