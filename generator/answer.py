"""What asking for one sample brought: where the lanes and the record of a sample meet."""

from dataclasses import dataclass
from typing import Any

from shared.records import Completion


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample's answer. A failed one has the best partial text and `completion.error`."""

    completion: Completion
    lane: str  # "" where no call was made
    model: str
    params: dict[str, Any]  # temperature, top_p, max_tokens, extra_body as sent
    attempts: int  # HTTP calls made
    cost_usd: float | None  # of all of them; None where the lane has no prices
