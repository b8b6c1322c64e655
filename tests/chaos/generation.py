"""What the stories of the generator share: a teacher, a problem set, a configuration, moments."""

import json
import shutil
import signal
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tests.chaos.corpus_promises import CorpusPromises
from tests.chaos.processes import Process
from tests.chaos.story import SIGNALS, Story
from tests.chaos.teacher import Choose, Teacher, problem_line

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


class Generation(CorpusPromises):
    """One story's generator: `Story` beside it does what all programs need."""

    def __init__(self, story: Story) -> None:
        super().__init__(story, story.folder / "corpus")
        self.source = story.folder / "problems.jsonl"
        self.config = story.folder / "config.toml"
        self.teacher: Teacher

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
        self.ask(Teacher(f"{story.kind}:{story.seed}", story.key, choose, gap))
        story.at_close(self.teacher.close)
        return self.teacher

    def ask(self, teacher: Teacher) -> None:
        """Take a teacher, which others may ask as well."""
        self.teacher = teacher
        self.calls = teacher.calls
        self.visits = teacher.visits

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

    # --- the end

    def finish(self, codes: Collection[int] = (DONE,)) -> int | None:
        """Run to the end, and all that must hold there."""
        code = self.story.end(self.run(), codes, "last run")
        self.complete(whole=code == DONE)
        self.nothing_asked_again()
        return code

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
