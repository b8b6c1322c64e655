"""One lane as the run has it: a gate, a teacher, a limiter."""

from collections.abc import Mapping
from typing import Any

from aiolimiter import AsyncLimiter

from generator.config import LaneConfig
from generator.lanes.gate import Gate
from shared.chat_api import ChatClient
from shared.chat_api.request import Request
from shared.records import Message


def request_for(lane: LaneConfig, messages: list[Message], params: Mapping[str, Any]) -> Request:
    """What a lane is asked. `params`: temperature, top_p, max_tokens; its own ceiling may lower
    the last.
    """
    max_tokens = int(params["max_tokens"])
    if lane.max_tokens:
        max_tokens = min(max_tokens, lane.max_tokens)
    return Request(
        messages,
        lane.model,
        float(params["temperature"]),
        float(params["top_p"]),
        max_tokens,
        lane.extra_body,
    )


class Lane:
    """A gate with its teacher and, where requests a minute are limited, the limiter that spaces
    them.
    """

    def __init__(self, config: LaneConfig, gate: Gate, teacher: ChatClient) -> None:
        self.gate = gate
        self.teacher = teacher
        self.limiter: AsyncLimiter | None = None
        self.reload(config)

    def reload(self, config: LaneConfig) -> None:
        """Take up changed limits."""
        self.config = config
        per_minute = self.gate.account.pace.configured
        if not per_minute:
            self.limiter = None
        elif self.limiter is None or self.limiter.time_period != 60 / per_minute:
            # One at a time: AsyncLimiter(n, 60) lets n through at once.
            self.limiter = AsyncLimiter(1, 60 / per_minute)
