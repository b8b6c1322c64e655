"""What the stories of the evaluation share: problems, models or a server, the comparison that it
comes to undisturbed, and what must hold in its folder, looked at from outside.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.chaos.answer_server import AnswerServer
from tests.chaos.processes import Process
from tests.chaos.shared_inputs import inputs, once
from tests.chaos.story import Story

DONE = 0
INPUT = 2
DEAD_SERVER = 4
CANNOT_WRITE = 5
BATCH = 4
PROBLEMS = {"endpoint": 30, "models": 6}
CACHE_KEYS = {"key", "id", "sample", "prompt_sha", "text", "finish_reason"}


class Evaluating:
    """One story's evaluation; `engine`: "endpoint", or "models" on the processor."""

    def __init__(self, story: Story, engine: str = "endpoint") -> None:
        self.story = story
        self.engine = engine
        self.root = story.folder.parent
        self.out = story.folder / "out"
        self.config = story.folder / "evaluate.toml"
        self.problems = story.folder / "sums.jsonl"
        lines = [
            json.dumps({"problem": f"Problem {i}: what is {i}?", "answer": str(i)}) + "\n"
            for i in range(PROBLEMS[engine])
        ]
        self.problems.write_text("".join(lines))
        self.models = ["base", "tuned"]
        if engine == "models":
            folder = inputs(story.programs, "evaluation", self.root)
            self.models = [str(folder / name) for name in self.models]
        self.server = AnswerServer(f"{story.kind}:{story.seed}")
        story.at_close(self.server.close)
        self.expected = self._undisturbed()
        self.asked_before = sum(self.server.asked.values())
        self.answered_before = self.server.count
        self.configure()

    def configure(self) -> None:
        engine = 'device = "cpu"\n'
        if self.engine == "endpoint":
            url = f"http://127.0.0.1:{self.server.port}/v1"
            engine = f'kind = "endpoint"\nbase_url = "{url}"\nbatch = {BATCH}\n'
            engine += "timeout_seconds = 60\n"  # none is too slow on a busy machine
        new_tokens = 64 if self.engine == "endpoint" else 8
        self.config.write_text(
            f"out = {json.dumps(str(self.out))}\nmodels = {json.dumps(self.models)}\n"
            f"benchmarks = [{json.dumps(str(self.problems))}]\n"
            f"[generation]\nmax_new_tokens = {new_tokens}\n[engine]\n{engine}"
        )

    def _undisturbed(self) -> dict[str, Any]:
        """The comparison where nothing happens to it; made once an engine."""

        def make(folder: Path) -> None:
            own_out = self.out
            own_config = self.config
            self.out = folder / "out"
            self.config = folder / "evaluate.toml"
            self.configure()
            process = self.run()
            code = process.wait(240)
            if code != DONE:
                raise RuntimeError(f"the undisturbed run ended with {code}: {process.text()}")
            self.out = own_out
            self.config = own_config

        folder = once(self.root / f"undisturbed-{self.engine}", make)
        return comparison(folder / "out")

    def run(self, *words: object, **how: Any) -> Process:
        variables = {"OPENAI_API_KEY": self.story.key}
        return self.story.start(
            "evaluation", "run", self.config, *words, variables=variables, **how
        )

    def command(self, *words: object, **how: Any) -> Process:
        return self.story.start("evaluation", *words, **how)

    def moment(self, process: Process) -> None:
        """Wait for a random moment of a run."""
        rng = self.story.rng
        how = rng.choice(("time", "answers", "answers", "lines", "file"))
        if how == "time":
            process.wait(rng.uniform(0.02, 1.5))
            return
        number = rng.randint(1, PROBLEMS[self.engine])
        answers = self.server.count + number
        lines = self.lines() + number
        name = rng.choice(("lighteval", "comparison.json", "manifest.json", "verdicts.jsonl"))
        conditions = {
            "answers": lambda: self.server.count >= answers,
            "lines": lambda: self.lines() >= lines,
            "file": lambda: any(self.out.rglob(name)),
        }
        if self.engine == "models" and how == "answers":
            how = "lines"
        self.story.until(conditions[how], process, 20)
        process.wait(rng.choice((0, 0, rng.uniform(0, 0.1))))

    def lines(self) -> int:
        """Whole lines in the caches of answers."""
        return sum(path.read_bytes().count(b"\n") for path in self.out.glob("*/*/answers.jsonl"))

    def kill_and_look(self, process: Process) -> bool:
        hit = self.story.kill(process)
        self.story.no_traceback(process)
        self.look()
        return hit

    def look(self) -> None:
        """While no process runs: whole lines are answers, none stands twice, reports are whole."""
        for path in self.out.glob("*/*/answers.jsonl"):
            ids = []
            for line in path.read_bytes().split(b"\n")[:-1]:
                try:
                    row = json.loads(line)
                    ids.append((row["id"], row["sample"], row["key"]))
                except (ValueError, KeyError, TypeError):
                    self.story.violation(
                        f"{path.name}: a whole line that is no answer: {line[:80]!r}"
                    )
                    continue
                if not row.keys() >= CACHE_KEYS:
                    self.story.violation(f"{path.name}: an answer lacks keys: {line[:80]!r}")
            if len(set(ids)) != len(ids):
                self.story.violation(f"{path.parent.name}/{path.name}: an answer stands twice")
        for name in ("comparison.json", "manifest.json"):
            path = self.out / name
            try:
                path.exists() and json.loads(path.read_bytes())
            except ValueError:
                self.story.violation(f"{name} is torn")

    def finish(self, codes: Collection[int] = (DONE,)) -> None:
        """The same command once more ends with the undisturbed comparison."""
        self.story.end(self.run(), codes, "last run")
        self.complete()

    def complete(self) -> None:
        """What must hold in a finished evaluation's folder."""
        self.look()
        try:
            result = comparison(self.out)
        except (OSError, ValueError) as error:
            self.story.violation(f"comparison.json: {error!r}")
            return
        if result != self.expected:
            self.story.violation(f"comparison.json differs: {result} for {self.expected}")
        report = self.out / "report.html"
        if not report.exists() or not report.read_text().rstrip().endswith("</html>"):
            self.story.violation("report.html is not there or not whole")
        for path in self.out.glob("*/*/answers.jsonl"):
            count = len(path.read_bytes().splitlines())
            if count != PROBLEMS[self.engine]:
                self.story.violation(f"{path.parent.parent.name}: {count} answers")
        leftovers = [path.name for path in self.out.rglob("*.new")]
        leftovers += [path.name for path in self.out.rglob("*.tmp")]
        if leftovers:
            self.story.violation(f"left in a finished evaluation's folder: {leftovers}")

    def little_asked_again(self, stops: int) -> None:
        """Only what was in flight at a stop was asked again."""
        asked = sum(self.server.asked.values()) - self.asked_before
        needed = 2 * PROBLEMS["endpoint"]
        if asked - needed > stops * BATCH:
            self.story.violation(
                f"{asked} questions for {needed} answers after {stops} stops of {BATCH} calls"
            )


def comparison(out: Path) -> dict[str, Any]:
    """comparison.json without what differs from run to run. Errors: `OSError`, `ValueError`."""
    found = json.loads((out / "comparison.json").read_bytes())
    return {"benchmarks": _without_times(found["benchmarks"])}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(part) for key, part in value.items() if "second" not in key}
    if isinstance(value, list):
        return [_without_times(part) for part in value]
    return value
