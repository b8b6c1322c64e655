"""What a run writes down while it trains: the lines of metrics.jsonl and probe.jsonl, and its speed."""

import json
from collections import deque
from pathlib import Path
from typing import Any

from shared.file_writing import write_atomically
from trainer.artifacts.metrics import read_lines

METRICS = "metrics.jsonl"
GENERATION_EVALS = "probe.jsonl"
NAMES = (METRICS, GENERATION_EVALS)
SPEED_STEPS = 50  # the last so many steps make the speed


class MetricsLog:
    """The files of one run's folder. Only the first of several processes writes."""

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self._folder = folder
        self._writes = writes

    def append(self, name: str, record: dict[str, Any]) -> None:
        """One line more in the file `name`."""
        if not self._writes:
            return
        with (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def drop_after(self, step: int) -> None:
        """Drop the lines after `step`: a run that goes on from there will write them again."""
        if not self._writes:
            return
        for name in NAMES:
            path = self._folder / name
            if path.exists():
                records = [record for record in read_lines(path) if record["step"] <= step]
                text = "".join(json.dumps(record) + "\n" for record in records)
                write_atomically(path, text.encode())


class Throughput:
    """Tokens and wall-clock seconds of the last steps. What lies between steps is not counted."""

    def __init__(self) -> None:
        self._tokens: deque[int] = deque(maxlen=SPEED_STEPS)
        self._seconds: deque[float] = deque(maxlen=SPEED_STEPS)

    def add_step(self, tokens: int, seconds: float) -> None:
        """Count one step."""
        self._tokens.append(tokens)
        self._seconds.append(seconds)

    def add_wait(self, seconds: float) -> None:
        """Count a wait for the GPU, which works behind the host, to the last step."""
        self._seconds[-1] += seconds

    @property
    def tokens_per_second(self) -> float:
        """Of all processes together."""
        return sum(self._tokens) / sum(self._seconds)

    @property
    def seconds_per_step(self) -> float:
        """The mean of the last steps."""
        return sum(self._seconds) / len(self._seconds)
