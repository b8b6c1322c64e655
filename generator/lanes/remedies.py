"""What a user can do about a lane that stops: the key of the configuration that its refusal
points at. Pure.
"""

from generator.config import LaneConfig
from shared.chat_api.errors import BadRequest, CallError, KeyRefused, UnknownModel, Unreachable


def with_remedy(error: CallError, lane: LaneConfig) -> str:
    """The error's message, and in brackets what to correct, where that can be told."""
    remedy = _remedy(error, lane)
    return f"{error.message} ({remedy})" if remedy else error.message


def _remedy(error: CallError, lane: LaneConfig) -> str:
    if isinstance(error, KeyRefused):
        if not lane.api_key_env:
            return "set `api_key_env` to the variable with a key"
        return f"correct the key in {lane.api_key_env}"
    if isinstance(error, UnknownModel):
        return "correct `lane.model` or `lane.base_url`"
    if isinstance(error, Unreachable):
        return "look at the network, that server and `lane.base_url`"
    if not isinstance(error, BadRequest):
        return ""
    if error.setting == "lane.max_tokens":
        return "set `lane.max_tokens` to what this server allows"
    if error.setting:
        return f"correct `{error.setting}`"
    return "look at `lane.model`, `lane.max_tokens`, `[sampling]`"
