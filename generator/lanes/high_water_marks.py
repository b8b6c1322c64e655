"""How far ahead of what is spent a budget's mark on the disk must be. Pure.

The mark runs ahead by a block, so that it is written seldom; whoever finds it after a crash takes
all of it as spent.
"""

from dataclasses import replace

from generator.lanes.limits import Limits
from generator.spending import HighWater, Spent

# of an allowance: what a crash may cost of it, and 500 writes to the disk until it is used up
BLOCK_SHARE = 0.002
# a mark further ahead, as early guesses of what a call takes leave it, is brought down
BLOCKS_AHEAD_MAX = 10.0


def is_below_mark(
    spent: HighWater, mark: HighWater | None, limits: Limits, tokens: int, usd: float
) -> bool:
    """Whether a call of this size stays below the mark, and the mark is not too far ahead."""
    if mark is None or mark.day != spent.day:
        return False
    rooms = [
        (limits.calls_per_day, mark.calls - spent.calls, 1),
        (limits.tokens_per_day, mark.tokens - spent.tokens, tokens),
        (limits.usd_per_day, mark.usd - spent.usd, usd),
        (limits.usd_total, mark.total_usd - spent.total_usd, usd),
    ]
    return all(
        call <= room <= call + BLOCKS_AHEAD_MAX * max(_block(limit), call)
        for limit, room, call in rooms
        if limit
    )


def mark_ahead(spent: HighWater, limits: Limits, call: Spent) -> HighWater:
    """The mark for what is spent, a call more, and a block."""
    return HighWater(
        day=spent.day,
        day_ends=spent.day_ends,
        calls=spent.calls + max(call.calls, int(_block(limits.calls_per_day))),
        tokens=spent.tokens + call.tokens + int(_block(limits.tokens_per_day)),
        usd=spent.usd + call.usd + _block(limits.usd_per_day),
        total_usd=spent.total_usd + call.usd + _block(limits.usd_total),
    )


def spent_by_mark(today: Spent, mark: HighWater, limits: Limits) -> Spent:
    """What counts as spent today where the mark is of today. Only what is limited: of the rest a
    mark tells no more than what calls in flight were guessed to take.
    """
    return Spent(
        max(today.calls, mark.calls) if limits.calls_per_day else today.calls,
        max(today.tokens, mark.tokens) if limits.tokens_per_day else today.tokens,
        max(today.usd, mark.usd) if limits.usd_per_day else today.usd,
    )


def with_others(own: HighWater, others: HighWater) -> HighWater:
    """What is spent by this generator and by others; of theirs only the total counts where it is of
    another day.
    """
    total_usd = own.total_usd + others.total_usd
    if others.day != own.day:
        return replace(own, total_usd=total_usd)
    return HighWater(
        own.day,
        own.day_ends,
        own.calls + others.calls,
        own.tokens + others.tokens,
        own.usd + others.usd,
        total_usd,
    )


def _block(limit: float) -> float:
    return BLOCK_SHARE * limit
