"""What would let two generators take one day for two: zones that differ, clocks that disagree. Pure."""

from collections.abc import Iterable

from shared.errors import InputError

SHORTEST_DAY_SECONDS = 82_800  # 23 hours: where summer time begins
CLOCKS_APART_SECONDS = 300.0  # more than machines with a time service are ever apart


def refuse_other_zones(account: str, day: float, days: Iterable[float]) -> None:
    """Errors: `InputError` where one of `days`, by their beginnings, overlaps with `day` and is
    not the same.
    """
    for other_day in days:
        if other_day != day and abs(other_day - day) < SHORTEST_DAY_SECONDS:
            raise InputError(
                f"account {account or 'of the run'}: another generator that shares its allowance"
                " has another day_timezone: give all of them the same one"
            )


def refuse_other_clock(here: float, there: float) -> None:
    """Errors: `InputError` where this machine's clock and the database's are far apart."""
    seconds = here - there
    if abs(seconds) > CLOCKS_APART_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        raise InputError(
            f"budget.shared_env: this machine's clock is {abs(seconds):,.0f} s {way} the database's:"
            " set the wrong one, or a day's allowance is given twice"
        )
