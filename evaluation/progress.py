"""What the user sees while answers come.

A live line on a terminal, a plain line every 30 seconds elsewhere.
"""

import sys
import threading
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from shared.durations import duration

LINE_SECONDS = 30.0


class Progress:
    """Counts one model's answers to one benchmark and shows them.

    `total` answers in all, `cached` of them from the cache. Methods may be called from any thread.
    """

    def __init__(self, title: str, total: int, cached: int, console: Console | None = None) -> None:
        self._title = title
        self._total = total
        self._cached_count = cached
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._lock = threading.Lock()
        self._new_count = 0
        self._verdict_count = 0
        self._correct_count = 0
        self._token_count = 0
        self._began = time.monotonic()
        self._last_line = self._began
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._view,
                console=self._console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is None:
            self._console.print(self.line(), soft_wrap=True, markup=False)

    def came(self) -> None:
        """An answer is in the cache."""
        with self._lock:
            self._new_count += 1

    def graded(self, correct: bool) -> None:
        """One more answer has its verdict."""
        with self._lock:
            self._verdict_count += 1
            if correct:
                self._correct_count += 1

    def tokens(self, count: int) -> None:
        """So many tokens were made; also the moment when a plain line may be due."""
        with self._lock:
            self._token_count += count
        now = time.monotonic()
        if self._live is None and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._console.print(self.line(), soft_wrap=True, markup=False)

    def line(self) -> str:
        """Title and counts as plain text."""
        return f"{self._title}: {self._counts()}"

    def _counts(self) -> str:
        with self._lock:
            done_count = self._cached_count + self._new_count
            is_running = done_count < self._total
            seconds = time.monotonic() - self._began
            parts = [f"{done_count:,} of {self._total:,} answers"]
            if self._cached_count:
                parts.append(f"{self._cached_count:,} from the cache")
            if self._verdict_count:
                so_far = " so far" if is_running else ""
                parts.append(f"{self._correct_count / self._verdict_count:.1%} right{so_far}")
            if self._token_count and seconds > 0:
                parts.append(f"{self._token_count / seconds:,.0f} tokens/s")
            if self._new_count and is_running:
                seconds_left = (self._total - done_count) * seconds / self._new_count
                parts.append(f"ready in {duration(seconds_left)}")
            return ", ".join(parts)

    def _view(self) -> Group:
        """Title and bar, the counts below: together they are longer than 80 columns."""
        done_count = self._cached_count + self._new_count
        bar = ProgressBar(total=self._total, completed=done_count, width=24)
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(self._title), bar)
        return Group(row, Text(f"  {self._counts()}"))
