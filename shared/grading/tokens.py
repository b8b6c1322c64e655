"""Cleaned LaTeX or plain text, token by token."""

import re

_TOKEN_KINDS = ("number", "command", "other", "other")  # by the groups of `_TOKEN`
_SUBSCRIPT = re.compile(r"\s*_\s*(?:\{([\w ,]{1,20})\}|(\w))|'+")
_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*|\.\d+)|\\([A-Za-z]+)|(\\[{}|])|(.))", re.DOTALL)


class Unreadable(Exception):
    """Not an expression that this parser knows."""


class Tokens:
    """The tokens of `text` from `position` on. Kinds: number, command (with its backslash left
    out), other.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        # The token at `_ahead_position`: most are looked at several times before one is taken.
        self._ahead: tuple[str, str] | None = None
        self._ahead_position = -1
        self._ahead_end = 0

    def peek(self) -> tuple[str, str] | None:
        """(kind, value) of the next token; None at the end."""
        if self._ahead_position != self.position:
            self._ahead_position = self.position
            match = _TOKEN.match(self.text, self.position)
            if match is None:
                self._ahead = None
            else:
                group = match.lastindex or 1
                self._ahead = _TOKEN_KINDS[group - 1], match[group]
                self._ahead_end = match.end()
        return self._ahead

    def peek_kind(self) -> str:
        """The kind of the next token; "" at the end."""
        token = self.peek()
        return token[0] if token else ""

    def take(self) -> tuple[str, str]:
        """(kind, value) of the next token, passed over. Errors: `Unreadable` at the end."""
        token = self.peek()
        if token is None:
            raise Unreadable("ends too early")
        self.position = self._ahead_end
        return token

    def accept(self, *values: str) -> str | None:
        """Pass over the next token if it is one of `values`, which it returns."""
        token = self.peek()
        if token is not None and token[0] != "number" and token[1] in values:
            self.take()
            return token[1]
        return None

    def expect(self, value: str) -> None:
        """Pass over `value`. Errors: `Unreadable` where something else comes."""
        if self.accept(value) is None:
            raise Unreadable(f"{value!r} is missing")

    def subscript(self) -> str:
        """The index or the primes behind a letter: "_1", "'"; "" where there are none."""
        match = _SUBSCRIPT.match(self.text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        index = match[1] or match[2]
        return f"_{index}" if index else match[0]
