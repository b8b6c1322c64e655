"""What the user sees while answers come: a live line on a terminal, a plain line every 30
seconds elsewhere.
"""

import sys
import threading
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from shared.durations import duration

LINE_SECONDS = 30.0


class Progress:
    """Counts one model's answers to one benchmark and shows them. Methods may be called from
    any thread.
    """

    def __init__(self, title: str, total: int, kept: int, console: Console | None = None) -> None:
        self._title, self._total, self._kept = title, total, kept
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._lock = threading.Lock()
        self._came = self._judged = self._correct = self._tokens = 0
        self._began = time.monotonic()
        self._last_line = self._began
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._row,
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
            self._console.print(self.line(), soft_wrap=True)

    def came(self) -> None:
        """An answer is in the cache."""
        with self._lock:
            self._came += 1

    def graded(self, correct: bool) -> None:
        with self._lock:
            self._judged += 1
            self._correct += correct

    def tokens(self, count: int) -> None:
        """So many tokens were made; also the moment when a plain line may be due."""
        with self._lock:
            self._tokens += count
        now = time.monotonic()
        if self._live is None and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._console.print(self.line(), soft_wrap=True)

    def line(self) -> str:
        return f"{self._title}: {self._counts()}"

    def _counts(self) -> str:
        with self._lock:
            done, seconds = self._kept + self._came, time.monotonic() - self._began
            parts = [f"{done:,} of {self._total:,} answers"]
            if self._kept:
                parts.append(f"{self._kept:,} from the cache")
            if self._judged:
                parts.append(
                    f"{self._correct / self._judged:.1%} right so far"
                    if done < self._total
                    else f"{self._correct / self._judged:.1%} right"
                )
            if self._tokens and seconds > 0:
                parts.append(f"{self._tokens / seconds:,.0f} tokens/s")
            if self._came and done < self._total:
                parts.append(f"ready in {duration((self._total - done) * seconds / self._came)}")
            return ", ".join(parts)

    def _row(self) -> Table:
        row = Table.grid(padding=(0, 1))
        row.add_row(
            self._title,
            ProgressBar(total=self._total, completed=self._kept + self._came, width=24),
            self._counts(),
        )
        return row
