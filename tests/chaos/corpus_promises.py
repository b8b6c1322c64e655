"""The promises about a corpus, looked at from outside: by its files and the teacher's own count."""

import json
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import corpus_reader, teacher_modes
from tests.chaos.story import Story
from tests.chaos.teacher import PROBLEM, Call

CALL = re.compile(r"call#(\d+)#")
LINE_ENDS = ("\u2028".encode(), "\u2029".encode(), "\u0085".encode(), b"\r")


@dataclass
class Snapshot:
    """A corpus between two processes."""

    lines: dict[str, bytes]
    sealed: dict[str, str]
    calls: int


class CorpusPromises:
    """What must hold of one corpus at every step of a story, and at its end."""

    def __init__(self, story: Story, corpus: Path) -> None:
        self.story = story
        self.corpus = corpus
        self.problem_count = 0
        self.samples: int | None = 1  # of each problem in the end; None where verdicts decide
        self.calls: Sequence[Call] = ()  # the teacher's own book
        self.visits: Sequence[str] = ()  # to where its redirects lead
        self._snapshot: Snapshot | None = None

    def look(self, ledger: bool = True) -> None:
        """While no process runs: nothing that stood has changed, the ledger is not ahead."""
        corpus = corpus_reader.read(self.corpus)
        self._compare(corpus)
        self._no_faults(corpus)
        if ledger:
            self._ledger_is_not_ahead(corpus)
        self._snapshot = Snapshot(corpus.lines, corpus.sealed, len(self.calls))

    def forget(self) -> None:
        """The story has damaged the corpus itself: what stood before counts no more."""
        self._snapshot = None

    def _no_faults(self, corpus: corpus_reader.Corpus) -> None:
        for fault in corpus.faults[:3]:
            self.story.violation(fault)

    def _compare(self, corpus: corpus_reader.Corpus) -> None:
        before = self._snapshot
        if before is None:
            return
        lost = [id_ for id_, line in before.lines.items() if corpus.lines.get(id_) != line]
        if lost:
            self.story.violation(f"{len(lost)} finished rows lost or changed, such as {lost[0]}")
        for name, digest in before.sealed.items():
            if corpus.sealed.get(name) != digest:
                self.story.violation(f"sealed shard {name} is gone or changed")

    def _ledger_is_not_ahead(self, corpus: corpus_reader.Corpus) -> None:
        try:
            ids = corpus_reader.ledger_ids(self.corpus)
        except sqlite3.Error as error:
            self.story.violation(f"the ledger cannot be read: {error}")
            return
        extra = (ids or set()) - corpus.lines.keys()
        if extra:
            self.story.violation(f"the ledger knows {len(extra)} rows of no shard: {min(extra)}")

    def complete(self, whole: bool = True, check: bool = True) -> None:
        """What must hold after an orderly end; `whole`: every problem has its rows."""
        corpus = corpus_reader.read(self.corpus)
        self._compare(corpus)
        self._no_faults(corpus)
        if corpus.open_shards:
            self.story.violation(f"not sealed at an orderly end: {corpus.open_shards}")
        for fault in corpus_reader.manifest_faults(self.corpus, corpus):
            self.story.violation(fault)
        if whole:
            self._every_problem_has_its_rows(corpus)
        self._rows_are_true(corpus)
        if self.visits:
            self.story.violation(f"a redirect was followed: {self.visits[0][:200]!r}")
        if check:
            self.check({0})

    def complete_parts(self, corpus: corpus_reader.Corpus) -> None:
        """The same of a corpus in parts, whose manifests are their own."""
        self._compare(corpus)
        self._no_faults(corpus)
        if corpus.open_shards:
            self.story.violation(f"not sealed at an orderly end: {corpus.open_shards}")
        self._every_problem_has_its_rows(corpus)
        self._rows_are_true(corpus)
        self.check({0})

    def check(self, codes: Collection[int] = (0, 1)) -> int | None:
        """`check` by the program itself; its exit code."""
        return self.story.end(self.story.start("generator", "check", self.corpus), codes, "check")

    def _every_problem_has_its_rows(self, corpus: corpus_reader.Corpus) -> None:
        counts = dict.fromkeys(range(self.problem_count), 0)
        for _, row in corpus.rows():
            match = PROBLEM.search(row["problem"])
            if match and int(match[1]) in counts:
                counts[int(match[1])] += 1
        missing = [number for number, count in counts.items() if count == 0]
        if missing:
            self.story.violation(
                f"{len(missing)} of {self.problem_count} problems have no row: {missing[:5]}"
            )
        if self.samples is not None:
            odd = {number: count for number, count in counts.items() if count != self.samples}
            if odd and not missing:
                self.story.violation(f"rows a problem are not {self.samples}: {odd}")

    def _rows_are_true(self, corpus: corpus_reader.Corpus) -> None:
        """No wrong answer kept, no right one rejected, texts as they were sent."""
        for pile, row in corpus.rows():
            match = PROBLEM.search(row["problem"])
            if match is None:
                continue
            right = str(int(match[2]) + int(match[3]))
            correct = row["verdict"] == "correct"
            if correct and str(row["final_answer"]).strip() != right:
                self.story.violation(f"kept a wrong answer: {row['id']}: {row['final_answer']!r}")
            if pile == "rejected" and not row["reason"]:
                self.story.violation(f"rejected without a reason: {row['id']}")
            if any(end in corpus.lines[row["id"]] for end in LINE_ENDS):
                self.story.violation(f"a foreign line end in {row['id']}")
            self._row_is_as_sent(pile, row, int(match[1]))

    def _row_is_as_sent(self, pile: str, row: Mapping[str, Any], problem: int) -> None:
        match = CALL.search(row["reasoning"])
        if match is None or int(match[1]) >= len(self.calls):
            return
        call = self.calls[int(match[1])]
        place = f"{row['id']}, mode {call.mode}"
        right = call.mode in teacher_modes.RIGHT
        if call.problem != problem:
            self.story.violation(f"another problem's text: {place}: of {call.problem}")
        if right and call.whole and row["verdict"] == "incorrect":
            self.story.violation(f"a right answer was rejected: {place}: {row['reason'][:150]}")
        if not right and pile == "traces" and row["verdict"] == "correct":
            self.story.violation(f"kept what is not right: {place}")
        kept = row["verdict"] == "correct" and call.mode not in teacher_modes.CHANGED
        if kept and (row["reasoning"], row["response"]) != (call.thought, call.answer):
            self.story.violation(f"not as sent: {place}: {row['reasoning'][-60:]!r}")

    def nothing_asked_again(self) -> None:
        """What was finished at the last look was not asked later. Only for one sample a problem."""
        if self._snapshot is None or self.samples != 1:
            return
        finished = set()
        for line in self._snapshot.lines.values():
            match = PROBLEM.search(json.loads(line)["problem"])
            finished.add(int(match[1]) if match else -1)
        for call in self.calls[self._snapshot.calls :]:
            if call.problem in finished:
                self.story.violation(f"problem {call.problem} was finished and asked again")
                return

    def within(self, limit: int, what: str = "calls_per_day") -> None:
        """The teacher's own count is not above a limit of calls."""
        if len(self.calls) > limit:
            self.story.violation(f"budget: {len(self.calls)} calls at the server, {what} = {limit}")
