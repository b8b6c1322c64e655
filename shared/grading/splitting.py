r"""Cutting an answer where no bracket is open: lists, brackets around the whole, rows of a matrix."""

import re
from functools import lru_cache

_OPEN = ("(", "[", "\\{", "{")
_CLOSE = (")", "]", "\\}", "}")
_GROUP = re.compile(r"\\[{}]|\\[A-Za-z]+|[()\[\]{}]")
MAX_PARTS = 200


@lru_cache(maxsize=64)
def _scanner(separator: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<separator>{separator})|\\\\|\\[{{}}]|[()\[\]{{}}]")


def split_outside(text: str, separator: str) -> list[str]:
    """`text` cut at every match of the pattern `separator` that stands outside all brackets."""
    parts: list[str] = []
    start = depth = 0
    for match in _scanner(separator).finditer(text):
        if match["separator"] is not None:
            if depth == 0 and len(parts) < MAX_PARTS:
                parts.append(text[start : match.start()])
                start = match.end()
        elif match[0] in _OPEN:
            depth += 1
        elif match[0] in _CLOSE:
            depth = max(0, depth - 1)
    return [*parts, text[start:]]


def bracketed(text: str) -> tuple[str, str, str] | None:
    """(opening, body, closing) where one pair of brackets, perhaps of unlike kinds as in `(3,4]`, holds the whole."""
    text = text.strip()
    depth = 0
    for match in _GROUP.finditer(text):
        if match[0] in _OPEN:
            if match.start() == 0:
                opening = match[0]
            elif depth == 0:
                return None
            depth += 1
        elif match[0] in _CLOSE:
            depth -= 1
            if depth == 0:
                return (opening, text[len(opening) : match.start()], match[0]) if match.end() == len(text) else None
        elif depth == 0:
            return None
        if depth < 0:
            return None
    return None


_MATRIX = re.compile(
    r"^(.*?)\\begin\s*\{([pbvBV]?(?:small)?matrix|array)\}\s*(?:\{[lcr| ]*\})?(.*)\\end\s*\{\2\}$", re.DOTALL
)


def read_matrix(text: str) -> tuple[str, list[list[str]]] | None:
    """(factor in front, rows of entries) of a matrix or column vector; None if the text is none."""
    match = _MATRIX.match(text)
    if match is None or "\\begin" in match[3]:
        return None
    rows = re.split(r"\\\\(?:\[[^\]]*\])?", match[3])
    entries = [[entry.strip() for entry in row.split("&")] for row in rows if row.strip()]
    return (match[1].strip(), entries) if len(entries) <= MAX_PARTS else None
