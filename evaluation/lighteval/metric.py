"""lighteval's own extractive metric, in a process that can be killed.

Its time limits are alarms, and an alarm does not reach into one long computation: `9^{9^{9}}` would
hold the run for ever. So the metric lives in a child process which gets one answer at a time and is
replaced when it takes too long. It is slow to start (lighteval imports half the world), so it
starts while the first answers are being made.

The child reads {"gold": …, "text": …} and writes {"match": true} as JSON lines.
"""

import atexit
import functools
import json
import selectors
import subprocess
import sys
from typing import Any

from evaluation.lighteval.loading import without_litellm

_START_SECONDS, _ANSWER_SECONDS = 300.0, 10.0
_MOST_RESTARTS = 5


class SecondOpinion:
    """Asks lighteval's metric. Owns the child process. Not to be shared between threads."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._start()

    @classmethod
    @functools.cache
    def of_this_process(cls) -> "SecondOpinion":
        """The one child that all evaluations of a process use, one after another."""
        opinion = cls()
        atexit.register(opinion.close)
        return opinion

    def match(self, gold: str, text: str) -> bool | None:
        """Whether the metric takes `text` for right; None where it came to no result in time."""
        if self._child is None or not text.strip():
            return None if self._child is None else False
        try:
            assert self._child.stdin is not None
            self._child.stdin.write(json.dumps({"gold": gold, "text": text}).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            self._replace()
            return None
        line = self._line(_ANSWER_SECONDS)
        if not line:
            self._replace()
            return None
        match: bool | None = json.loads(line)["match"]
        return match

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "evaluation.lighteval.metric"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._started = False

    def _line(self, seconds: float) -> bytes:
        assert self._child is not None
        assert self._child.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._child.stdout, selectors.EVENT_READ)
            if not self._started:
                if not ready.select(_START_SECONDS) or not self._child.stdout.readline():
                    return b""
                self._started = True
            return self._child.stdout.readline() if ready.select(seconds) else b""

    def _replace(self) -> None:
        self.close()
        self._restarts += 1
        if self._restarts <= _MOST_RESTARTS:
            self._start()


def _metric() -> Any:
    with without_litellm():
        from lighteval.metrics.dynamic_metrics import MultilingualExtractiveMatchMetric
        from lighteval.metrics.utils.extractive_match_utils import (
            ExprExtractionConfig,
            LatexExtractionConfig,
        )

    # as lighteval sets it up for GSM8K and MATH-500: the gold as it stands, the prediction's box
    # before anything else
    return MultilingualExtractiveMatchMetric(
        gold_extraction_target=(
            ExprExtractionConfig(),
            LatexExtractionConfig(boxed_match_priority=0),
        ),
        pred_extraction_target=(
            ExprExtractionConfig(),
            LatexExtractionConfig(boxed_match_priority=0),
        ),
        precision=5,
    )


def _serve() -> None:
    import logging

    logging.disable(logging.CRITICAL)
    metric = _metric()
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    out = sys.stdout.buffer
    out.write(b"ready\n")
    out.flush()
    for line in sys.stdin.buffer:
        wanted = json.loads(line)
        doc = Doc(query="", choices=[f"${wanted['gold']}$"], gold_index=0)
        try:
            match = metric.compute(doc, ModelResponse(text=[wanted["text"]])) >= 1
        except (
            Exception
        ):  # whatever the metric trips over is its opinion withheld, and no reason to lose the run
            match = None
        out.write(json.dumps({"match": match}).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    _serve()
