"""What tests of one call share: a request, clocks, a whole answer, and the error of a call that
fails.
"""

from collections.abc import Callable

import pytest

from shared.chat_api import ChatClient, Clocks
from shared.chat_api.errors import CallError
from shared.chat_api.limits import LimitNews
from shared.chat_api.request import Request
from tests.fake_server import Reply, says, scripted
from tests.shared.chat_api.dialect_streams import ANSWERS

REQUEST = Request([{"role": "user", "content": "2 + 2?"}], "r1", 0.6, 0.95, 1000)
PATIENT = Clocks(connect=5, first_token=30, stall=30, total=60)
WHOLE = says([ANSWERS[0].body])
COMMENT = b": keep-alive\n\n\n"
KEY = "sk-5f2c9e81a7b34d60b1d9"


async def failure(
    client: ChatClient,
    request: Request = REQUEST,
    on_limits: Callable[[LimitNews], None] = lambda news: None,
) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.call(request, on_limits=on_limits)
    return caught.value


async def failure_of(reply: Reply, clocks: Clocks = PATIENT, key: str = "") -> CallError:
    async with scripted(reply) as server, ChatClient(server.url, key, clocks) as client:
        return await failure(client)
