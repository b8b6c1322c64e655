"""What the stories of the trainer share: a tiny run, the losses it has undisturbed, and what must
hold in a run's folder, looked at from outside.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.generation import to_toml
from tests.chaos.processes import Process
from tests.chaos.shared_inputs import inputs, once
from tests.chaos.story import Story

DONE = 0
BUG = 1
INPUT = 2
CANNOT_WRITE = 5
# The runs that are told stories of: method, steps, steps between checkpoints, checkpoints kept,
# steps between probes.
VARIANTS = {
    "lora": ("lora", 6, 2, 2, 3),
    "often": ("lora", 5, 1, 2, 2),
    "full": ("full", 4, 2, 2, 2),
}


@dataclass(frozen=True)
class Outcome:
    """What a run's folder says in the end."""

    losses: dict[int, float]
    held_out: dict[int, float]
    weights: str  # sha256 of merged/'s


class Training:
    """One story's run."""

    def __init__(self, story: Story, variant: str = "") -> None:
        self.story = story
        self.variant = variant or story.rng.choice(list(VARIANTS))
        self.root = story.folder.parent
        self.inputs = inputs(story.programs, "trainer", self.root)
        self.run_folder = story.folder / "run"
        self.corpus = self.inputs / "corpus"
        self.config = story.folder / "train.toml"
        self.expected = self._undisturbed()

    def configure(self) -> Path:
        """Write the configuration of this story's variant."""
        method, steps, save_steps, kept, probe_steps = VARIANTS[self.variant]
        settings: dict[str, Any] = {
            "run": str(self.run_folder),
            "model": str(self.inputs / "model"),
            "corpora": [str(self.corpus)],
            "method": method,
            "train__max_length": 512,
            "train__batch": 4,
            "train__learning_rate": 1e-2,
            "train__max_steps": steps,
            "train__save_steps": save_steps,
            "train__save_total_limit": kept,
            "train__logging_steps": 1,
            "train__holdout": 0.05,
            "train__precision": "fp32",
            "probe__problems": 2,
            "probe__every_steps": probe_steps,
            "probe__max_new_tokens": 8,
        }
        self.config.write_text(to_toml(settings), encoding="utf-8")
        return self.config

    @property
    def steps(self) -> int:
        return VARIANTS[self.variant][1]

    def _undisturbed(self) -> Outcome:
        """What the run comes to where nothing happens to it; made once a variant."""

        def make(folder: Path) -> None:
            own_folder = self.run_folder
            own_config = self.config
            self.run_folder = folder / "run"
            self.config = folder / "train.toml"
            self.configure()
            process = self.run()
            code = process.wait(240)
            if code != DONE:
                raise RuntimeError(f"the undisturbed run ended with {code}: {process.text()}")
            self.run_folder = own_folder
            self.config = own_config

        folder = once(self.root / f"undisturbed-{self.variant}", make)
        return outcome(folder / "run")

    def run(self, **how: Any) -> Process:
        return self.story.start("trainer", "run", self.config, **how)

    def command(self, *words: object, **how: Any) -> Process:
        return self.story.start("trainer", *words, **how)

    def moment(self, process: Process) -> None:
        """Wait for a random moment of a run."""
        rng = self.story.rng
        how = rng.choice(("time", "line", "line", "checkpoint", "file"))
        if how == "time":
            process.wait(rng.uniform(0.02, 2.0))
            return
        line = rng.choice(
            (
                "held-out loss at",
                "probe at step",
                f"step {rng.randint(1, self.steps)}/",
                "weights of",
            )
        )
        number = len(list(self.run_folder.glob("checkpoints/checkpoint-*")))
        name = rng.choice(("adapter", "merged.new", "merged", "report.html", "metrics.jsonl"))
        conditions = {
            "line": lambda: line in process.text(),
            "checkpoint": lambda: (
                number < len(list(self.run_folder.glob("checkpoints/checkpoint-*")))
            ),
            "file": lambda: (self.run_folder / name).exists(),
        }
        self.story.until(conditions[how], process, 30)
        process.wait(rng.choice((0, 0, rng.uniform(0, 0.08))))

    def kill_and_look(self, process: Process) -> bool:
        hit = self.story.kill(process)
        self.story.no_traceback(process)
        self.look()
        return hit

    def look(self) -> None:
        """While no process runs: what is marked as whole is whole."""
        for mark in self.run_folder.glob("checkpoints/checkpoint-*/whole.json"):
            try:
                files = json.loads(mark.read_bytes())["files"]
            except ValueError:
                self.story.violation(f"{mark}: the mark of a whole checkpoint is torn")
                continue
            for name, size in files.items():
                path = mark.parent / name
                if not path.is_file() or path.stat().st_size != size:
                    self.story.violation(f"{path} is not what its checkpoint's mark says")
        merged = self.run_folder / "merged"
        if merged.exists() and not (merged / "model.safetensors").is_file():
            self.story.violation("merged/ is in place without its weights")

    def checkpoints(self) -> list[Path]:
        """Those with a mark, the newest last."""
        folders = [mark.parent for mark in self.run_folder.glob("checkpoints/*/whole.json")]
        return sorted(folders, key=lambda folder: int(folder.name.rpartition("-")[2]))

    def finish(self, codes: Collection[int] = (DONE,)) -> None:
        """The same command once more ends with what the undisturbed run came to."""
        self.story.end(self.run(), codes, "last run")
        self.complete()

    def complete(self) -> None:
        """What must hold in a finished run's folder."""
        self.look()
        try:
            result = outcome(self.run_folder)
        except (OSError, ValueError, KeyError) as error:
            self.story.violation(f"a finished run's files cannot be read: {error!r}")
            return
        if result.losses != self.expected.losses:
            self.story.violation(f"losses differ: {result.losses} for {self.expected.losses}")
        if result.held_out != self.expected.held_out:
            self.story.violation(
                f"held-out losses differ: {result.held_out} for {self.expected.held_out}"
            )
        if result.weights != self.expected.weights:
            self.story.violation("merged/ holds other weights than the undisturbed run's")
        self._manifest_is_whole()
        leftovers = [path.name for path in self.run_folder.rglob("*.new")]
        leftovers += [path.name for path in self.run_folder.rglob("*.tmp")]
        if leftovers:
            self.story.violation(f"left in a finished run's folder: {leftovers}")
        report = self.run_folder / "report.html"
        if not report.exists() or not report.read_text().rstrip().endswith("</html>"):
            self.story.violation("report.html is not there or not whole")
        limit = VARIANTS[self.variant][3]
        if len(self.checkpoints()) > limit:
            self.story.violation(f"{len(self.checkpoints())} checkpoints are kept, not {limit}")

    def _manifest_is_whole(self) -> None:
        manifest = json.loads((self.run_folder / "manifest.json").read_bytes())
        missing = {"identity", "data", "plan", "result", "libraries"} - manifest.keys()
        if missing:
            self.story.violation(f"manifest.json has no {sorted(missing)}")
        if self.variant != "full" and manifest.get("merge", {}).get("holds") is not True:
            self.story.violation("manifest.json does not say that merged/ is proved")
        for shard in manifest.get("data", {}).get("shards", []):
            path = Path(shard["corpus"]) / shard["name"]
            if path.exists() and shard["sha256"] != digest_of(path):
                self.story.violation(f"manifest.json has another sha256 of {path}")


def outcome(run_folder: Path) -> Outcome:
    """Losses by step, each once and in order, and the weights. Errors: `ValueError`."""
    losses: dict[int, float] = {}
    held_out: dict[int, float] = {}
    for line in (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for key, values in (("loss", losses), ("held_out_loss", held_out)):
            if key not in record:
                continue
            if record["step"] in values or any(step > record["step"] for step in values):
                raise ValueError(f"metrics.jsonl: step {record['step']} twice or out of order")
            values[record["step"]] = record[key]
    return Outcome(losses, held_out, digest_of(run_folder / "merged" / "model.safetensors"))


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
