"""The frame of a page: one HTML file with everything in it, and the policy that lets nothing
else run or load.
"""

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib import resources

CLOSING = "</body></html>\n"
MAIN = "<main"  # a page without one of its own gets one


@cache
def asset(package: str, name: str) -> str:
    """The text of a style or script that lies beside a package's modules."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def math_script() -> str:
    """The script that turns text with TeX into nodes: Temml and `renderText(text, withMath)`."""
    return asset(__package__, "vendor/temml.min.js") + "\n" + asset(__package__, "math.js")


def page_script(script: str = "") -> str:
    """A page's own script, then what every page has: the reader's language, with its catalogue of
    strings, and places that scroll.
    """
    catalogue = json.dumps(json.loads(asset(__package__, "chinese.json")), ensure_ascii=False)
    # Never the end of the script element, whatever a catalogue says.
    language = asset(__package__, "language.js").replace(
        "CATALOGUE", catalogue.replace("<", "\\u003c")
    )
    return "\n".join([script, language, asset(__package__, "scrolling.js")])


def page_style(*styles: str) -> str:
    """The pages' common style, then a page's own."""
    return "\n".join([asset(__package__, "page.css"), *styles])


def policy(style: str, script: str = "", *, connect: str = "'none'") -> str:
    """The Content-Security-Policy of a page: its own style and script by their hashes, no other.

    `connect`: where the script may send requests.
    """
    script_source = _hash(script) if script else "'none'"
    return (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; connect-src {connect}; img-src"
        f" data:; script-src {script_source}; style-src {_hash(style)}"
    )


def document(
    title: str,
    body: str,
    *,
    style: str = "",
    script: str = "",
    connect: str = "'none'",
) -> str:
    """A whole page as text.

    Args:
        title: plain text.
        body: HTML, already escaped by whoever made it.
        style: CSS of this page, after the common one.
        script: JavaScript of this page, run after the body; with the languages' script behind it
            the only one that the policy allows.
        connect: where the script may send requests.
    """
    return document_opening(title, body, style=style, script=script, connect=connect) + CLOSING


def document_opening(
    title: str,
    body: str,
    *,
    style: str = "",
    script: str = "",
    connect: str = "'none'",
) -> str:
    """A page up to `CLOSING`, for whoever streams large data blocks between the two."""
    whole_style = page_style(style)
    whole_script = page_script(script)
    content_policy = escape(policy(whole_style, whole_script, connect=connect), quote=True)
    if MAIN not in body:
        body = f"<main>{body}</main>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy}">'
        f"<style>{whole_style}</style></head><body>\n{body}\n<script>{whole_script}</script>\n"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
