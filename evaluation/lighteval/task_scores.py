"""The metrics of a task of lighteval's, in a process that can be killed: some compute without end,
and all of them run on what strangers' models wrote.

A request has `task`, `document` and `text`, a reply `scores` (by the metric's name), `failed`: what
the metric raised, or `missing`: what it lacks, and the remedy.
"""

import atexit
import functools
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from evaluation.lighteval.metric import START_SECONDS, VARIABLES
from evaluation.records import TaskDocument
from shared import json_child
from shared.errors import InputError
from shared.json_child import ChildLost, JsonChild

ANSWER_SECONDS = 20.0
# of nltk's LookupError, whose name is coloured
_NLTK_RESOURCE = re.compile(r"Resource (?:\x1b\[\d+m)?(?P<name>[\w-]+)(?:\x1b\[0m)? not found")


class TaskScores:
    """Asks the metrics of one module of lighteval's. Owns the child process. Not to be shared
    between threads.
    """

    def __init__(self, module: str) -> None:
        command = [sys.executable, "-m", "evaluation.lighteval.task_scores", module]
        self._child = JsonChild(
            command, "lighteval", start_seconds=START_SECONDS, more_variables=VARIABLES
        )
        self._child.launch()

    @classmethod
    @functools.cache
    def of_this_process(cls, module: str) -> "TaskScores":
        """The one child for a module that all evaluations of a process use, one after another."""
        task_scores = cls(module)
        atexit.register(task_scores.close)
        return task_scores

    def scores(self, document: TaskDocument, text: str) -> Mapping[str, float] | str:
        """Every metric's score of `text`; a reason where there is none, in time or at all.

        Errors: `CannotStart`; `InputError` where a metric lacks a package or its data.
        """
        request = {"task": document.task, "document": dict(document.fields), "text": text}
        try:
            reply = self._child.ask(request, ANSWER_SECONDS)
        except ChildLost as error:
            return str(error)
        if "missing" in reply:
            raise InputError(
                f"benchmarks: lighteval:{document.task}: its metric lacks {reply['missing']}, or leave"
                " the task out; the answers are kept"
            )
        if "failed" in reply:
            return f"the metric failed: {reply['failed']}"
        scores: Mapping[str, float] = reply["scores"]
        return scores

    def close(self) -> None:
        """End the child, for good."""
        self._child.kill()

    def leave(self) -> None:
        """End the child if it is at work: whoever waits for it does not any more."""
        if self._child.is_busy:
            self.close()
            type(self).of_this_process.cache_clear()


def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Import the module that is the process's argument; the function that answers a request."""
    import logging

    logging.disable(logging.CRITICAL)
    from lighteval.tasks.requests import Doc

    from evaluation.lighteval.named_tasks import task_metrics
    from evaluation.lighteval.task_metrics import scores_of

    module = sys.argv[1]
    metrics: dict[str, list[Any]] = {}

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        task = request["task"]
        try:
            if task not in metrics:
                metrics[task] = task_metrics(module, task)
            scores = scores_of(metrics[task], Doc(**request["document"]), request["text"])
        except ImportError as error:
            return {"missing": f"a package ({_line(error)}): install it into .venv/evaluation"}
        except Exception as error:
            missing = missing_nltk_data(error)
            if missing:
                return {"missing": f"nltk's {missing}: put it into ~/nltk_data, or NLTK_DATA"}
            # Whatever a metric trips over is one answer without a score, no reason to lose the run.
            return {"failed": _line(error)}
        return {"scores": scores}

    return answer


def missing_nltk_data(error: Exception) -> str:
    """The data of nltk's that an error asks for ("punkt_tab"); "" where it is about something
    else. Without it a metric would fail for some answers and not for others.
    """
    match = _NLTK_RESOURCE.search(str(error)) if isinstance(error, LookupError) else None
    return match["name"] if match else ""


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


if __name__ == "__main__":
    json_child.serve(prepare)
