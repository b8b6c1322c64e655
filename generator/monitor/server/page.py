"""The dashboard as one page: style and script are put into it, and the policy that lets nothing
else run.
"""

from functools import cache

from shared.pages import asset, document, math_script, policy
from shared.pages.frame import page_script, page_style

PARTS = f"{__package__}.dashboard"
SCRIPTS = ("format.js", "elements.js", "chart.js", "lanes.js", "traces.js", "dashboard.js")


@cache
def page() -> bytes:
    """The whole page, UTF-8."""
    body = asset(PARTS, "body.html")
    return document("stillhouse", body, style=_style(), script=_script(), connect="'self'").encode()


@cache
def page_policy() -> str:
    """Content-Security-Policy: only the page's own script and style, by their hashes; data from
    this server alone.
    """
    content_policy = policy(page_style(_style()), page_script(_script()), connect="'self'")
    return content_policy + "; frame-ancestors 'none'"


def _style() -> str:
    return asset(PARTS, "style.css")


def _script() -> str:
    parts = [math_script(), *(asset(PARTS, name) for name in SCRIPTS)]
    return '"use strict";\n' + "\n".join(parts)
