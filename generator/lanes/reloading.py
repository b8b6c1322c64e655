"""What of a changed configuration a running daemon can take up, and what needs a restart. Pure."""

from collections.abc import Mapping, Sequence

from generator.config import REHEARSAL_URL, BudgetConfig, LaneConfig
from generator.lanes.windows import windows_of

NEEDS_A_RESTART = ("base_url", "mode", "model", "api_key_env", "account", "day_timezone")


def taken_up(
    running: Mapping[str, LaneConfig], changed: Sequence[LaneConfig]
) -> tuple[dict[str, LaneConfig], list[str]]:
    """(the lanes as they go on, a sentence for each change that needs a restart).

    `running`: the lanes by name. Errors: InputError for a window that cannot be read.
    """
    for lane in changed:
        windows_of(lane)
    changed_lanes = {lane.name: lane for lane in changed}
    notes = [
        f"lane {name}: gone from the file, goes on until a restart"
        for name in running
        if name not in changed_lanes
    ]
    notes += [
        f"lane {name}: new, starts with a restart" for name in changed_lanes if name not in running
    ]
    lanes = {}
    for name, old_lane in running.items():
        new_lane = changed_lanes.get(name, old_lane)
        fixed_values = {key: getattr(old_lane, key) for key in NEEDS_A_RESTART}
        # The rehearsal teacher has its address since the start.
        notes += [
            f"lane {name}: {key} needs a restart"
            for key, value in fixed_values.items()
            if getattr(new_lane, key) not in (value, REHEARSAL_URL)
        ]
        lanes[name] = new_lane.model_copy(update=fixed_values)
    return lanes, notes


def budget_notes(running: BudgetConfig, changed: BudgetConfig) -> list[str]:
    """A sentence where the run's budget is to be shared elsewhere: that needs a restart."""
    is_same = (running.shared, running.shared_env) == (changed.shared, changed.shared_env)
    return [] if is_same else ["budget.shared and shared_env need a restart"]
