"""`python -m generator report CORPUS`: one self-contained HTML page about a corpus, also while
a run is going.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from generator.quality.suspect_golds import write_suspects
from generator.report.figures import collect
from generator.report.page import page
from shared.destinations import check_destination, note_ours
from shared.file_writing import write_atomically

FILE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `report`."""
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--out", type=Path, metavar="PAGE.html", help=f"default: CORPUS/{FILE}")
    parser.add_argument(
        "--force", action="store_true", help="replace a page that this program did not write"
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is. Errors: `InputError` for no corpus, `CannotWrite`."""
    print(write_report(args.corpus, args.out or args.corpus / FILE, args.force))
    return 0


def write_report(corpus: Path, out: Path, force: bool = False) -> str:
    """Write the page to `out`, and the list of suspect golds into the corpus; the line for the
    user.

    `force`: also in the place of a file that is not ours. Errors: `InputError`, `CannotWrite`.
    """
    if out.resolve() != (corpus / FILE).resolve():
        check_destination(out, force)
        out = out.resolve()  # where a link points, not the link itself
    suspects = write_suspects(corpus)
    figures = collect(corpus)
    write_atomically(out, page(figures, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC").encode())
    note_ours(out)
    return (
        f"{out}: {figures.rows:,} samples, {figures.kept:,} kept, {len(suspects):,} suspect golds"
    )
