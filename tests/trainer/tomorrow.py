"""`python -m trainer …` on the next day, as templates tell it."""

import datetime
import runpy
import sys
from typing import Any

import shared.rendering


class Tomorrow(datetime.datetime):
    """Whose `now` is a day late."""

    @classmethod
    def now(cls, *zone: Any) -> datetime.datetime:
        return datetime.datetime.now(*zone) + datetime.timedelta(days=1)


if __name__ == "__main__":
    shared.rendering.datetime = Tomorrow  # type: ignore[misc,assignment]
    sys.argv[0] = "trainer"
    runpy.run_module("trainer", run_name="__main__", alter_sys=True)
