"""The keys of `[problems]`, as this package reads them."""

from typing import Protocol


class ProblemSettings(Protocol):
    """The keys of `[problems]` that are read here."""

    @property
    def source(self) -> str:
        """A file, a folder, a hub's data set or a synthetic kind."""
        ...

    @property
    def split(self) -> str:
        """Of a folder or a hub's data set."""
        ...

    @property
    def problem_field(self) -> str:
        """The column of the text."""
        ...

    @property
    def answer_field(self) -> str:
        """The column of the gold answer; "": the usual ones."""
        ...

    @property
    def solution_field(self) -> str:
        """The column of a worked solution."""
        ...

    @property
    def only_sources(self) -> tuple[str, ...]:
        """Of the rows' `source` column; (): all."""
        ...

    @property
    def limit(self) -> int:
        """Problems at most; 0: all."""
        ...

    @property
    def seed(self) -> int:
        """Of the order."""
        ...

    @property
    def on_bad_line(self) -> str:
        """ "stop" or "skip"."""
        ...
