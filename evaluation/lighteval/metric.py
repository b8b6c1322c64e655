"""lighteval's own extractive metric, in a process that can be killed.

Its time limits are alarms, and an alarm does not reach into one long computation: `9^{9^{9}}` would
hold the run for ever. So the metric lives in a `JsonChild` which gets one answer at a time. It is
slow to start (lighteval imports half the world), so it starts while the first answers are being
made.

A request has `golds` and `text`, a reply `match` (null where the metric raised).
"""

import atexit
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from shared import json_child
from shared.json_child import ChildLost, JsonChild

START_SECONDS = 300.0
ANSWER_SECONDS = 10.0
COMMAND = [sys.executable, "-m", "evaluation.lighteval.metric"]
# Where the libraries behind lighteval keep their files, whether they may use the network, and which
# devices they see.
VARIABLES = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "HF_DATASETS_CACHE",
        "HF_DATASETS_OFFLINE",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "NLTK_DATA",
        "TRANSFORMERS_OFFLINE",
        "XDG_CACHE_HOME",
    }
)


class SecondOpinion:
    """Asks lighteval's metric. Owns the child process. Not to be shared between threads."""

    def __init__(self) -> None:
        self._child = JsonChild(
            COMMAND, "lighteval", start_seconds=START_SECONDS, more_variables=VARIABLES
        )
        self._child.launch()

    @classmethod
    @functools.cache
    def of_this_process(cls) -> "SecondOpinion":
        """The one child that all evaluations of a process use, one after another."""
        opinion = cls()
        atexit.register(opinion.close)
        return opinion

    def match(self, golds: Sequence[str], text: str) -> bool | None:
        """Whether the metric takes `text` for one of `golds`; None where it came to no result in
        time.

        Errors: `CannotStart`: a comparison without it would miss a column that it promises.
        """
        if not text.strip():
            return False
        try:
            reply = self._child.ask({"golds": list(golds), "text": text}, ANSWER_SECONDS)
        except ChildLost:
            return None
        match: bool | None = reply["match"]
        return match

    def close(self) -> None:
        """End the child, for good."""
        self._child.kill()

    def leave(self) -> None:
        """End the child if it is at work: whoever waits for it does not any more."""
        if self._child.is_busy:
            self.close()
            type(self).of_this_process.cache_clear()


def _metric() -> Any:
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


def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Import lighteval; the function that answers a request."""
    import logging

    logging.disable(logging.CRITICAL)
    metric = _metric()
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        choices = [f"${gold}$" for gold in request["golds"]]
        doc = Doc(query="", choices=choices, gold_index=list(range(len(choices))))
        try:
            match = bool(metric.compute(doc, ModelResponse(text=[request["text"]])) >= 1)
        except Exception:
            # Whatever the metric trips over is its opinion withheld, no reason to lose the run.
            return {"match": None}
        return {"match": match}

    return answer


if __name__ == "__main__":
    json_child.serve(prepare)
