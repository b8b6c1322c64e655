"""One controller in one world, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf

from benchmarks.controller.rules import RULES, Fixed
from benchmarks.controller.worlds import World
from tests.generator.lanes.lane_simulation import (
    Allows,
    Log,
    Queues,
    Server,
    Subject,
    one_gate,
    simulate,
)

SEED = 1
LEAST_SHARE = 0.9  # of the best fixed setting's throughput
MOST_REFUSED = 0.03  # of the calls, where there is a real limit
MOST_SECONDS = 60.0  # to unlearn
Controller = Callable[[int], Subject]  # from a ceiling


def ours(ceiling: int) -> Subject:
    """The gate of the product."""
    return one_gate(concurrency=ceiling)


CONTROLLERS: dict[str, Controller] = {"ours": ours, **RULES}


@dataclass(frozen=True)
class Outcome:
    """`share`: of the calls that the best fixed setting completes. `refused`: the share of calls
    that a limit answered with 429, those by chance aside. `unlearnt`: seconds after the end of a
    wrong lesson from which on a minute brings nine tenths of the usual; inf: it never does.
    """

    share: float
    refused: float
    unlearnt: float = 0.0


def run(world: World, controller: Controller, seed: int = SEED) -> Log:
    """Simulate."""
    server = world.server(seed)
    return simulate(
        [(controller(world.ceiling), server)],
        world.seconds,
        at=world.on(server),
        stall=world.stall,
    )


def outcome(world: World, controller: Controller, seed: int = SEED) -> Outcome:
    """Simulate and judge."""
    log = run(world, controller, seed)
    refusals = log.refused()
    calls = refusals + log.ok()
    unlearnt = seconds_to_unlearn(world, log) if world.lesson_ends else 0.0
    return Outcome(log.ok() / best_fixed(world, seed), refusals / max(1, calls), unlearnt)


def misses(world: World, result: Outcome) -> list[str]:
    """The bounds that a controller does not keep."""
    bounds = {
        "slow": result.share < LEAST_SHARE,
        "429": world.is_limited and result.refused >= MOST_REFUSED,
        "lesson": result.unlearnt > MOST_SECONDS,
    }
    return [name for name, is_missed in bounds.items() if is_missed]


def seconds_to_unlearn(world: World, log: Log) -> float:
    """After the lesson's end, until the minute that follows has nine tenths of the starts that
    were taken up in a minute before the lesson (mean of the two minutes before it began).
    """
    began = world.changes[0][0]
    usual = sum(began - 120 <= moment < began for moment in log.taken) / 2
    for seconds in range(int(world.seconds - world.lesson_ends - 60)):
        begin = world.lesson_ends + seconds
        if sum(begin <= moment < begin + 60 for moment in log.taken) >= 0.9 * usual:
            return float(seconds)
    return inf


@cache
def best_fixed(world: World, seed: int = SEED) -> int:
    """The calls that the best fixed setting completes: of those that keep the limits, or stay a
    tenth below. Where a limit changes, it changes with it.
    """
    return max(_completed(world, share, seed) for share in (1.0, 0.95, 0.9))


def _completed(world: World, share: float, seed: int) -> int:
    server = world.server(seed)
    client = Fixed(*_setting(world, server, share))

    def follow() -> None:
        client.set(*_setting(world, server, share))

    changes = world.on(server)
    follows = [(moment, follow) for moment, _ in changes]
    steps = [*changes, *follows]
    log = simulate([(client, server)], world.seconds, at=steps, stall=world.stall)
    return log.ok()


def _setting(world: World, server: Server, share: float) -> tuple[int, float]:
    if isinstance(server, Queues):
        return int(world.slots * (2 - share)), 0.0
    assert isinstance(server, Allows)
    in_flight = int(server.at_once * share) if "at_once" in world.values else world.ceiling
    per_minute = server.a_minute * share if "a_minute" in world.values else 0.0
    return in_flight, per_minute
