"""The dashboard as one page: style and script are put into it, and the policy that lets nothing else run."""

import base64
import hashlib
from functools import cache
from pathlib import Path

PARTS = Path(__file__).parent / "dashboard"


@cache
def page() -> bytes:
    """The whole page, UTF-8."""
    html = (PARTS / "index.html").read_text(encoding="utf-8")
    style, script = _style(), _script()
    return html.replace("/*style*/", style).replace("/*script*/", script).encode()


@cache
def policy() -> str:
    """Content-Security-Policy: only the page's own script and style, by their hashes; data from this server alone."""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
        f"img-src data:; script-src {_hash(_script())}; style-src {_hash(_style())}"
    )


def _style() -> str:
    return (PARTS / "style.css").read_text(encoding="utf-8")


def _script() -> str:
    return "\n".join((PARTS / name).read_text(encoding="utf-8") for name in ("math.js", "chart.js", "dashboard.js"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
