"""report.html of a run."""

from pathlib import Path


def write_report(run: Path) -> None:
    """To come."""
