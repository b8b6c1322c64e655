"""The lanes: which teacher is asked, when, and how often.

    async with (
        Lanes(config, teacher_for, ledger, high_water) as lanes,
        asyncio.TaskGroup() as group,
    ):
        dispatching = group.create_task(lanes.dispatch())
        answer = await lanes.ask(sample_id, messages, params)
        dispatching.cancel()

`ask` waits until the cheapest lane that may take the sample now takes it, makes the call, and tries
again where that helps, on another lane where there is one. It never raises for what a teacher did:
a sample that fails for good comes back as an `Answer` with its best partial text and
`completion.error`. It raises

    Drained     after `drain()`, for a sample that has no call in flight: leave it for the next run
    OutOfBudget (exit 3) a budget or a window ended and `daemon.wait = false`
    NoLane      (exit 4) no lane can be used

and the last two only when no call is in flight any more, so a caller may end the run at once.
"""

from generator.answer import Answer
from generator.lanes.dispatch import LOOK_AGAIN_SECONDS
from generator.lanes.lanes import Lanes
from generator.lanes.stop_conditions import Drained, HandedOn, NoLane, OutOfBudget

__all__ = [
    "LOOK_AGAIN_SECONDS",
    "Answer",
    "Drained",
    "HandedOn",
    "Lanes",
    "NoLane",
    "OutOfBudget",
]
