"""The worlds: what a server allows and how long its calls are, what a client is like, what changes
in the middle. The same ones for every controller, and the same each time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.generator.lanes.lane_simulation import Allows, Queues, Server, Window

CEILING = 1024  # where the real limit is to be found
MINUTE = 60.0
# Calls like R1's: half of them under two minutes, a tail of a quarter of an hour.
LONG: dict[str, float] = {"seconds": 120.0, "spread": 0.7, "first_token": 1.0}
SHORT: dict[str, float] = {"seconds": 2.0}
WINDOWS: tuple[Window, ...] = ("sliding", "fixed", "bucket")


@dataclass(frozen=True, eq=False)
class World:
    """`ceiling`: of the calls in flight, as the user configured it."""

    name: str
    seconds: float
    values: dict[str, Any]  # of the server
    ceiling: int = CEILING
    stall: float = 0.0
    slots: int = 0  # > 0: a server that queues instead
    # (when, what of the server is changed)
    changes: tuple[tuple[float, dict[str, Any]], ...] = ()
    lesson_ends: float = 0.0  # when what taught a wrong lesson is over; 0: nothing did

    @property
    def is_limited(self) -> bool:
        """Whether there is a real limit, for which a 429 is the client's fault."""
        return "at_once" in self.values or "a_minute" in self.values

    def server(self, seed: int) -> Server:
        """A fresh one."""
        if self.slots:
            return Queues(self.slots, seed=seed, **self.values)
        return Allows(seed=seed, **self.values)

    def on(self, server: Server) -> list[tuple[float, Callable[[], None]]]:
        """The changes, for a simulation."""
        return [(moment, _setter(server, values)) for moment, values in self.changes]


def _setter(server: Server, values: dict[str, Any]) -> Callable[[], None]:
    def change() -> None:
        for name, value in values.items():
            setattr(server, name, value)

    return change


def _chance() -> list[World]:
    worlds = []
    for share in (0.005, 0.02, 0.05, 0.1):
        short = World(
            f"429 by chance {share:.1%}, calls of 2 s", 600, {"refused_share": share, **SHORT}, 64
        )
        long = World(
            f"429 by chance {share:.1%}, calls like R1's",
            3600,
            {"refused_share": share, **LONG},
            256,
        )
        worlds += [short, long]
    for share in (0.02, 0.1):
        values = {"refused_share": share, "retry_after": 1.0, **SHORT}
        worlds.append(World(f"429 by chance {share:.0%}, each names 1 s, 2 s", 600, values, 64))
    values = {"refused_share": 0.02, "seconds": 0.15, "first_token": 0.05}
    worlds.append(World("429 by chance 2%, calls of 0.15 s", 60, values, 64))
    return worlds


def _minute() -> list[World]:
    worlds = []
    for limit, seconds in ((60, 1800.0), (300, 1200.0), (3000, 600.0)):
        for window in WINDOWS:
            values = {"a_minute": limit, "window": window, **SHORT}
            worlds.append(World(f"{limit} a minute, {window}, 2 s", seconds, values))
    for limit in (60, 300):
        for window in WINDOWS:
            values = {"a_minute": limit, "window": window, **LONG}
            worlds.append(World(f"{limit} a minute, {window}, like R1's", 3600, values))
    values = {"a_minute": 300, "retry_after": 5.0, **SHORT}
    worlds.append(World("300 a minute, 429 names 5 s", 1200, values))
    values = {"a_minute": 300, "names_limits": True, **SHORT}
    worlds.append(World("300 a minute, named in the 429", 1200, values))
    values = {"a_minute": 300, "seconds": 10.0}
    worlds.append(World("300 a minute, just passed by 64 calls of 10 s", 1200, values, 64))
    values = {"a_minute": 300, "refused_share": 0.02, **SHORT}
    worlds.append(World("300 a minute and 2% by chance", 1200, values))
    return worlds


def _like_a_real_run() -> list[World]:
    """The provider of `benchmarks.peers` on the same machine: calls of one length, a 429 at once."""
    values: dict[str, Any] = {
        "a_minute": 300,
        "window": "bucket",
        "seconds": 1.5,
        "is_constant": True,
        "first_token": 0.05,
        "latency": 0.001,
    }
    return [
        World(
            f"300 a minute, bucket of {size}, 64 calls of 1.5 s",
            1200,
            {"bucket_size": size, **values},
            64,
        )
        for size in (20, 300)
    ]


def _in_flight() -> list[World]:
    worlds = []
    for limit in (10, 60, 500):
        short = World(
            f"{limit} in flight, 2 s", 100 if limit == 500 else 600, {"at_once": limit, **SHORT}
        )
        long = World(f"{limit} in flight, like R1's", 7200, {"at_once": limit, **LONG})
        worlds += [short, long]
    values: dict[str, Any] = {"at_once": 60, "retry_after": 1.0, "seconds": 10.0}
    worlds.append(World("60 in flight, 429 names 1 s, 10 s", 1200, values))
    values = {"at_once": 60, "names_limits": True, "seconds": 10.0}
    worlds.append(World("60 in flight, named in the 429, 10 s", 1200, values))
    values = {"at_once": 60, "refused_share": 0.02, "seconds": 10.0}
    worlds.append(World("60 in flight and 2% by chance, 10 s", 1200, values))
    return worlds


def _both() -> list[World]:
    worlds = []
    for in_flight, per_minute, seconds in (
        (10, 60, 8.0),
        (60, 100, 30.0),
        (60, 300, 10.0),
        (500, 3000, 8.0),
    ):
        name = f"{in_flight} in flight and {per_minute} a minute, {seconds:.0f} s"
        values = {"at_once": in_flight, "a_minute": per_minute, "seconds": seconds}
        worlds.append(World(name, 300 if per_minute == 3000 else 1200, values))
    return worlds


def _slow() -> list[World]:
    stretch = {"seconds": 10.0, "capacity": 60}
    return [
        World("a queue before 64 slots, 30 s", 1800, {"seconds": 30.0}, slots=64),
        World("a queue before 256 slots, 300 s", 7200, {"seconds": 300.0}, slots=256),
        World("slower beyond 60 in flight, 10 s", 1200, stretch, 256),
        World(
            "60 in flight, three times as slow later",
            1200,
            {"at_once": 60, "seconds": 10.0},
            changes=((600, {"seconds": 30.0, "first_token": 1.0}),),
        ),
        World(
            "300 a minute, three times as slow later",
            1200,
            {"a_minute": 300, "seconds": 10.0},
            changes=((600, {"seconds": 30.0, "first_token": 1.0}),),
        ),
    ]


def _loaded() -> list[World]:
    worlds = []
    for stall in (0.5, 2.0):
        client = f"a client that looks every {stall:g} s"
        worlds += [
            World(f"{client}, 2% by chance, 10 s", 600, {"refused_share": 0.02}, 64, stall),
            World(f"{client}, 300 a minute, 2 s", 1200, {"a_minute": 300, **SHORT}, stall=stall),
            World(f"{client}, 60 in flight, 10 s", 1200, {"at_once": 60}, stall=stall),
        ]
    return worlds


def _changes() -> list[World]:
    short = {"a_minute": 300, **SHORT}
    return [
        World(
            "60, 30, 90 in flight, 10 s",
            1800,
            {"at_once": 60},
            changes=((600, {"at_once": 30}), (1200, {"at_once": 90})),
        ),
        World(
            "300, 100, 600 a minute, 2 s",
            1800,
            short,
            changes=((600, {"a_minute": 100}), (1200, {"a_minute": 600})),
        ),
    ]


def _lessons() -> list[World]:
    """Something teaches a wrong lesson, and is over at 360 s (540 s: a limit)."""
    burst = ((350, {"refused_share": 0.9}), (360, {"refused_share": 0.0}))
    slow = (
        (300, {"seconds": 20.0, "first_token": 20.0}),
        (360, {"seconds": 2.0, "first_token": 0.3}),
    )
    return [
        World(
            "a burst of chance 429, 64 calls of 2 s", 600, SHORT, 64, changes=burst, lesson_ends=360
        ),
        World("a burst, 64 calls of 10 s", 600, {}, 64, changes=burst, lesson_ends=360),
        World("a burst, 60 in flight", 600, {"at_once": 60}, changes=burst, lesson_ends=360),
        World(
            "a burst, 300 a minute", 600, {"a_minute": 300, **SHORT}, changes=burst, lesson_ends=360
        ),
        World("a slow minute, 64 calls of 2 s", 600, SHORT, 64, changes=slow, lesson_ends=360),
        World(
            "a slow minute, 60 in flight of 2 s",
            600,
            {"at_once": 60, **SHORT},
            changes=slow,
            lesson_ends=360,
        ),
        World(
            "60 in flight, 20 for three minutes, 10 s",
            780,
            {"at_once": 60},
            changes=((360, {"at_once": 20}), (540, {"at_once": 60})),
            lesson_ends=540,
        ),
        World(
            "300 a minute, 100 for three minutes, 2 s",
            780,
            {"a_minute": 300, **SHORT},
            changes=((360, {"a_minute": 100}), (540, {"a_minute": 300})),
            lesson_ends=540,
        ),
    ]


WORLDS = [
    *_chance(),
    *_minute(),
    *_like_a_real_run(),
    *_in_flight(),
    *_both(),
    *_slow(),
    *_loaded(),
    *_changes(),
]
LESSONS = _lessons()
