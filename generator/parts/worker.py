"""A worker for tasks: `python -m generator.parts.worker`, a child as `shared.json_child` serves it."""

from collections.abc import Callable
from typing import Any

from shared import json_child


def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Import what every task needs."""
    from generator.parts.tasks import reply_to

    return reply_to


if __name__ == "__main__":
    json_child.serve(prepare)
