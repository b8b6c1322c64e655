"""The kinds of stories by name: functions of a `Story`, registered where they are written."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.story import Story

Play = Callable[[Story], None]


@dataclass(frozen=True)
class Kind:
    """`needs_machine`: plays with the hostile machine's library. `share`: how often it is played
    beside the others.
    """

    name: str
    program: str
    play: Play
    needs_machine: bool
    share: int

    @property
    def sentence(self) -> str:
        paragraph = (self.play.__doc__ or "").strip().split("\n\n")[0]
        return " ".join(paragraph.split())


KINDS: dict[str, Kind] = {}


def kind(program: str, *, machine: bool = False, share: int = 2) -> Callable[[Play], Play]:
    """Register a story under its function's name."""

    def register(play: Play) -> Play:
        KINDS[play.__name__] = Kind(play.__name__, program, play, machine, share)
        return play

    return register


def load() -> dict[str, Kind]:
    """All kinds, in the order of the three programs."""
    from tests.chaos import evaluation_stories  # noqa: F401
    from tests.chaos.generator_stories import (  # noqa: F401
        batches,
        budgets,
        disk,
        files,
        imports,
        inputs,
        kills,
        machine,
        network,
        parts,
        server,
        sharing,
    )
    from tests.chaos.trainer_stories import files as trainer_files  # noqa: F401
    from tests.chaos.trainer_stories import kills as trainer_kills  # noqa: F401

    return KINDS
