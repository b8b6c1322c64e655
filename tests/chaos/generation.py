"""What the stories of the generator share: a teacher, a problem set, a configuration, and the
promises about a corpus, looked at from outside.
"""

import json
import re
import shutil
import signal
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import corpus_reader, teacher_modes
from tests.chaos.processes import Process
from tests.chaos.story import SIGNALS, Story
from tests.chaos.teacher import PROBLEM, Choose, Teacher, problem_line

CALL = re.compile(r"call#(\d+)#")
LINE_ENDS = ("\u2028".encode(), "\u2029".encode(), "\u0085".encode(), b"\r")
DONE, BUG, INPUT, BUDGET, NO_LANE, CANNOT_WRITE = range(6)  # the contract's exit codes
USUAL_FAULTS = {
    "wrong": 0.08,
    "truncated": 0.04,
    "cut": 0.04,
    "unavailable": 0.03,
    "too_many": 0.02,
    "empty": 0.02,
    "reset": 0.02,
}


@dataclass
class Snapshot:
    """A corpus between two processes."""

    lines: dict[str, bytes]
    sealed: dict[str, str]
    calls: int


class Generation:
    """One story's generator: `Story` beside it does what all programs need."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.corpus = story.folder / "corpus"
        self.source = story.folder / "problems.jsonl"
        self.problem_count = 0
        self.samples: int | None = 1  # of each problem in the end; None where verdicts decide
        self.config = story.folder / "config.toml"
        self.teacher: Teacher
        self._snapshot: Snapshot | None = None

    # --- making

    def prepare(
        self,
        problems: int | None = None,
        choose: Choose | None = None,
        gap: float = 0.003,
        **keys: Any,
    ) -> None:
        """A teacher, problems and a configuration; keys are written `lane__concurrency=8`."""
        rng = self.story.rng
        self.serve(choose or usual, gap)
        self.write_problems(rng.randint(16, 32) if problems is None else problems)
        self.configure(**keys)

    def serve(self, choose: Choose, gap: float = 0.003) -> Teacher:
        story = self.story
        self.teacher = Teacher(f"{story.kind}:{story.seed}", story.key, choose, gap)
        story.at_close(self.teacher.close)
        return self.teacher

    def write_problems(self, count: int, path: Path | None = None, more: str = "") -> None:
        """So many problems more."""
        numbers = range(self.problem_count, self.problem_count + count)
        with (path or self.source).open("a", encoding="utf-8") as file:
            file.writelines(problem_line(number, more) for number in numbers)
        self.problem_count += count

    def configure(self, path: Path | None = None, **keys: Any) -> Path:
        """Write the configuration: quick timeouts, one grader, no server."""
        rng = self.story.rng
        settings: dict[str, Any] = {
            "corpus": str(self.corpus),
            "problems__source": str(self.source),
            "screening__near_duplicates": 0,
            "timeouts__connect": 3,
            "timeouts__first_token": 3,
            "timeouts__stall": 2,
            "timeouts__total": 8,
            "retry__attempts": 4,
            "daemon__port": 0,
            "daemon__drain_seconds": 5,
            "shards__rows": rng.choice((3, 5, 9, 2000)),
            "grading__workers": 1,
            "lane__name": "only",
            "lane__base_url": f"http://127.0.0.1:{self.teacher.port}/v1",
            "lane__model": "teacher-r1",
            "lane__api_key_env": "CHAOS_KEY",
            "lane__concurrency": 8,
        } | keys
        path = path or self.config
        path.write_text(to_toml(settings), encoding="utf-8")
        return path

    def edit(self, old: str, new: str) -> None:
        """Replace a text in the configuration."""
        self.config.write_text(self.config.read_text().replace(old, new))

    def run(self, *words: object, **how: Any) -> Process:
        return self.story.start("generator", "run", self.config, *words, **how)

    def command(self, *words: object, **how: Any) -> Process:
        return self.story.start("generator", *words, **how)

    # --- moments

    def moment(self, process: Process) -> None:
        """Wait for a random moment of a run: a time, a number of calls, a file that appears."""
        rng = self.story.rng
        how = rng.choice(("time", "early", "calls", "whole", "sealed", "open", "bytes"))
        number = rng.randint(1, 14)
        calls = len(self.teacher.calls)
        whole = self.teacher.whole
        sealed = len(self._shards("*.jsonl"))
        if how == "time":
            process.wait(rng.uniform(0.03, 1.2))
            return
        if how == "early":
            process.wait(rng.uniform(0.0, 0.3))
            return
        conditions = {
            "calls": lambda: len(self.teacher.calls) >= calls + number,
            "whole": lambda: self.teacher.whole >= whole + number,
            "sealed": lambda: len(self._shards("*.jsonl")) > sealed,
            "open": lambda: bool(self._shards("*.open")),
            "bytes": lambda: self._size() > 3000 * number,
        }
        self.story.until(conditions[how], process, 10)
        process.wait(rng.choice((0, 0, rng.uniform(0, 0.1))))

    def answered(self, process: Process, count: int) -> None:
        """Wait until so many more replies were sent whole."""
        target = self.teacher.whole + count
        self.story.until(lambda: self.teacher.whole >= target, process)

    def _shards(self, pattern: str) -> list[Path]:
        return list(self.corpus.glob(f"*/shard-{pattern}"))

    def _size(self) -> int:
        try:
            return sum(path.stat().st_size for path in self._shards("*"))
        except FileNotFoundError:
            return 0

    def kill_and_look(self, process: Process) -> bool:
        """kill -9, then what must still hold; False where the run was over."""
        hit = self.story.kill(process)
        self.look()
        return hit

    def partly(self, least: int = 6, how: str = "") -> None:
        """A run that got somewhere and was killed or drained."""
        process = self.run()
        self.answered(process, least)
        how = how or self.story.rng.choice(("kill", "kill", "drain"))
        if how == "kill":
            self.story.kill(process)
        else:
            process.send(self.story.rng.choice(SIGNALS))
            self.story.end(process, {DONE, BUDGET}, "drained run")
        self.look()

    # --- looking

    def look(self, ledger: bool = True) -> None:
        """While no process runs: nothing that stood has changed, the ledger is not ahead."""
        corpus = corpus_reader.read(self.corpus)
        self._compare(corpus)
        self._no_faults(corpus)
        if ledger:
            self._ledger_is_not_ahead(corpus)
        self._snapshot = Snapshot(corpus.lines, corpus.sealed, len(self.teacher.calls))

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

    def finish(self, codes: Collection[int] = (DONE,)) -> int | None:
        """Run to the end, and all that must hold there."""
        code = self.story.end(self.run(), codes, "last run")
        self.complete(whole=code == DONE)
        self.nothing_asked_again()
        return code

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
        if self.teacher.visits:
            self.story.violation(f"a redirect was followed: {self.teacher.visits[0][:200]!r}")
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
        return self.story.end(self.command("check", self.corpus), codes, "check")

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
        if match is None or int(match[1]) >= len(self.teacher.calls):
            return
        call = self.teacher.calls[int(match[1])]
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
        for call in self.teacher.calls[self._snapshot.calls :]:
            if call.problem in finished:
                self.story.violation(f"problem {call.problem} was finished and asked again")
                return

    def within(self, limit: int, what: str = "calls_per_day") -> None:
        """The teacher's own count is not above a limit of calls."""
        if len(self.teacher.calls) > limit:
            self.story.violation(
                f"budget: {len(self.teacher.calls)} calls at the server, {what} = {limit}"
            )

    def remove_ledger(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            (self.corpus / f"ledger.sqlite{suffix}").unlink(missing_ok=True)

    def copy_corpus(self, name: str) -> Path:
        return Path(shutil.copytree(self.corpus, self.story.folder / name))


def usual(problem: int, nth: int, rng: Any) -> str:
    """A teacher on an ordinary bad day."""
    if nth > 2:
        return "slow"
    draw = rng.random()
    for mode, rate in USUAL_FAULTS.items():
        draw -= rate
        if draw < 0:
            return mode
    return str(rng.choice(["slow", "slow", "slow", "plain", "split_events", "json_body"]))


def always(mode: str) -> Choose:
    return lambda problem, nth, rng: mode


def some_of(*names: str) -> Choose:
    return lambda problem, nth, rng: rng.choice(names)


def to_toml(settings: Mapping[str, Any]) -> str:
    tables: dict[str, list[str]] = {"": []}
    for name, value in settings.items():
        table, _, key = name.rpartition("__")
        tables.setdefault(table, []).append(f"{key} = {json.dumps(value)}")
    lines = list(tables.pop(""))
    for table, entries in sorted(tables.items(), key=lambda item: item[0] == "lane"):
        lines += [f"[[{table}]]" if table == "lane" else f"[{table}]", *entries]
    return "\n".join(lines) + "\n"


SIGKILL = signal.SIGKILL
SIGHUP = signal.SIGHUP
SIGSTOP = signal.SIGSTOP
SIGCONT = signal.SIGCONT
