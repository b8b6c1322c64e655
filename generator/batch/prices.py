"""A batch lane needs its own price: a live one, or none, would make every sum of dollars wrong."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from generator.config import REHEARSAL_URL, LaneConfig
from shared.errors import InputError

OWN_MACHINE = ("localhost", "127.0.0.1", "::1")


def refuse_unpriced(lanes: Sequence[LaneConfig]) -> None:
    """Errors: `InputError` for a batch lane without a price; a server on this machine asks for
    none.
    """
    for lane in lanes:
        host = urlsplit(lane.base_url).hostname or ""
        is_own = lane.base_url == REHEARSAL_URL or host in OWN_MACHINE
        if lane.mode == "batch" and not is_own and not (lane.price_in or lane.price_out):
            raise InputError(
                f"lane {lane.name}: no batch price of {lane.model} is known: set price_in and"
                " price_out as the provider lists them for batches (USD per million tokens)"
            )
