"""What of a changed configuration a running daemon can take up, and what needs a restart. Pure."""

from collections.abc import Mapping, Sequence

from generator.config import REHEARSAL_URL, LaneConfig
from generator.lanes.windows import windows_of

NEEDS_A_RESTART = ("base_url", "model", "api_key_env", "account", "day_timezone")


def taken_up(
    now: Mapping[str, LaneConfig], wanted: Sequence[LaneConfig]
) -> tuple[dict[str, LaneConfig], list[str]]:
    """(the lanes as they go on, a sentence for each change that needs a restart).

    `now`: the running lanes by name. Errors: InputError for a window that cannot be read.
    """
    for each in wanted:
        windows_of(each)
    new = {lane.name: lane for lane in wanted}
    notes = [
        f"lane {name}: gone from the file, goes on until a restart"
        for name in now
        if name not in new
    ]
    notes += [f"lane {name}: new, starts with a restart" for name in new if name not in now]
    lanes = {}
    for name, old in now.items():
        lane = new.get(name, old)
        kept = {key: getattr(old, key) for key in NEEDS_A_RESTART}
        notes += [
            f"lane {name}: {key} needs a restart"
            for key, value in kept.items()
            if getattr(lane, key)
            not in (value, REHEARSAL_URL)  # the rehearsal teacher has its address since the start
        ]
        lanes[name] = lane.model_copy(update=kept)
    return lanes, notes
