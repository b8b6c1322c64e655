"""Pieces of work that any process may do: a request as JSON-ready data, a reply likewise.

Each has one outcome on the disk, put there when it is whole; where that lies already the task does
nothing, so it may be done again at will.
"""

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import CannotWrite, InputError, Stopped

Values = dict[str, Any]

# What does a task, as "module:function".
FUNCTIONS = {
    "screen": "generator.parts.screening:perform",
    "rewrite": "generator.parts.rewriting:perform",
    "export notes": "generator.parts.exporting:perform_notes",
    "export failures": "generator.parts.exporting:perform_failures",
    "export rows": "generator.parts.exporting:perform_rows",
}
_ERRORS = {error.__name__: error for error in (InputError, CannotWrite)}


@dataclass(frozen=True, slots=True)
class Task:
    """`name` is a key of `FUNCTIONS`, `number` what messages call it by."""

    name: str
    number: int
    values: Values


def perform(task: Task) -> Values:
    """Do a task in this process. Errors: its own."""
    module, _, name = FUNCTIONS[task.name].partition(":")
    function: Callable[[Values], Values] = getattr(importlib.import_module(module), name)
    return function(task.values)


def reply_to(request: Values) -> Values:
    """What a worker answers: {"outcome": …}, or {"error": …} for what the task raised."""
    task = Task(request["name"], request["number"], request["values"])
    try:
        return {"outcome": perform(task)}
    except Stopped as stop:
        return {"error": str(stop), "kind": type(stop).__name__}
    except Exception:  # a bug: its traceback is shown by whoever started the worker
        return {"error": traceback.format_exc(), "kind": ""}


def outcome_of(reply: Values) -> Values:
    """The outcome in a reply. Errors: what the task raised; `RuntimeError` with the traceback of a
    bug.
    """
    if "error" not in reply:
        outcome: Values = reply["outcome"]
        return outcome
    kind = _ERRORS.get(reply["kind"])
    if kind is None:
        raise RuntimeError(f"a worker failed:\n{reply['error']}")
    raise kind(reply["error"])
