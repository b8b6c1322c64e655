"""The stream of problems, and the tally of what it took and what it left out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from generator.problems.rows import BadRow, Skipped
from shared.records import Problem

MOST_SOURCES = 12  # named in a line

# Says why a problem is left out, "" to take it: screening, wired in by the pipeline.
Screen = Callable[[Problem], str]


@dataclass
class ProblemTally:
    """What became of the rows read so far. read = taken + skipped + bad rows of a hub."""

    read: int = 0
    taken: int = 0
    without_gold: int = 0  # of those taken
    by_source: Counter[str] = field(default_factory=Counter)  # taken
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    skipped_by_source: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, reason)
    files: str = ""  # a line on the files of the split, where a folder has others
    columns: str = ""  # a line on the data set that was recognised by its columns
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)  # the first ones, "file:line: why"

    def in_words(self) -> list[str]:
        """What was taken by source, and what was left out and why; one line each, nothing where
        there is nothing.
        """
        lines = [line for line in (self.columns, self.files) if line]
        if len(self.by_source) > 1:
            sources = ", ".join(
                f"{source} {count:,}" for source, count in self.by_source.most_common(MOST_SOURCES)
            )
            lines.append(f"of which {sources}")
        if self.without_gold:
            lines.append(
                f"without a gold answer {self.without_gold:,}: their samples will be unverifiable"
            )
        if self.skipped:
            reasons = ", ".join(
                f"{reason} {count:,}" for reason, count in self.skipped.most_common()
            )
            lines.append(f"left out of {self.read:,}: {reasons}")
        if self.bad_rows:
            place = self.bad[0] if self.bad else "in the hub data set"
            lines.append(f"bad lines {self.bad_rows:,}, the first: {place}")
        return lines

    def skip(self, source: str, reason: str) -> None:
        """Count a row that is left out."""
        self.skipped[reason] += 1
        self.skipped_by_source[source, reason] += 1


class ProblemStream(Iterator[Problem]):
    """The problems one by one, `limit` of them at most (0: all); `tally` says what was left out
    so far and why.
    """

    def __init__(
        self,
        items: Iterable[Problem | Skipped | BadRow],
        limit: int,
        screen: Screen | None,
        tally: ProblemTally,
    ) -> None:
        self._items = iter(items)
        self._limit = limit
        self._screen = screen
        self.tally = tally

    def __next__(self) -> Problem:
        if self._limit and self.tally.taken >= self._limit:
            raise StopIteration
        for item in self._items:
            problem = self._take(item)
            if problem is not None:
                return problem
        raise StopIteration

    def _take(self, item: Problem | Skipped | BadRow) -> Problem | None:
        """The problem, if it is one and the screen lets it through."""
        tally = self.tally
        tally.read += 1
        if isinstance(item, BadRow):
            tally.bad_rows += 1
            return None
        if isinstance(item, Skipped):
            tally.skip(item.source, item.reason)
            return None
        reason = self._screen(item) if self._screen else ""
        if reason:
            tally.skip(item.source, reason)
            return None
        tally.taken += 1
        if item.gold is None:
            tally.without_gold += 1
        tally.by_source[item.source] += 1
        return item
