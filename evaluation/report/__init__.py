"""report.html: one self-contained file that works offline.

The result, its plots, every case to read, the manifest:

    page.py         the static part, from comparison.json and the manifest; everything escaped
    headline.py     the cards on top; provenance.py the tables of the manifest at the end
    plots.py        inline SVG
    payload.py      the cases as compressed blocks
    page.css        style; blocks.js, case_view.js and cases.js are the browser of cases

page.py puts style and scripts in, with the frame and the formulas of shared/pages. The script builds
what it shows from text nodes only, and a content security policy names its hash: nothing else runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.records import Results
from evaluation.report.page import opening
from evaluation.report.payload import pack
from shared.file_writing import write_atomically
from shared.pages.frame import CLOSING


def write_report(
    path: Path, manifest: Mapping[str, Any], comparison: Mapping[str, Any], results: Results
) -> None:
    """Write the report of judged answers. Errors: `CannotWrite`."""
    page = opening(manifest, comparison).encode(errors="replace")
    write_atomically(path, b"".join([page, *pack(results), CLOSING.encode()]))
