"""HTML tables of the report. Cells are HTML already; what comes from outside is escaped by callers."""

from collections.abc import Iterable
from html import escape
from typing import Any


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table with a line of titles, wide ones to be scrolled on a narrow screen."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(_row(cells) for cells in rows)
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"


def _row(cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def pairs_table(pairs: Iterable[tuple[str, Any]]) -> str:
    """A table of keys and values; both are escaped here."""
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>" for key, value in pairs
    )
    return f"<table>{rows}</table>"
