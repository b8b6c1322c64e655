"""Every dialect through the real client from a real server, whole, torn into single bytes and
torn anywhere.
"""

import itertools
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.chat_api import ChatClient, Clocks, clocks, stream
from shared.chat_api.dialects import Gathering
from shared.chat_api.errors import CallError
from shared.chat_api.event_stream import EventSplitter
from shared.chat_api.request import Request
from shared.records import Completion, Usage
from shared.thinking import THINK_CLOSE
from tests.fake_server import says, scripted
from tests.shared.chat_api.dialect_streams import ANSWERS
from tests.shared.chat_api.failing_streams import FAILURES
from tests.shared.chat_api.stream_events import Stream, chunk, sse

REQUEST = Request([{"role": "user", "content": "2 + 2?"}], "r1", 0.6, 0.95, 1000)
CLOCKS = Clocks(connect=5, first_token=20, stall=20, total=60)
STREAMS = [*ANSWERS, *FAILURES]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are small when nothing is waited for: that is what these tests are about."""
    monkeypatch.setattr(clocks, "_PAUSE_SECONDS_MAX", 0.0)
    monkeypatch.setattr(stream, "_AFTERMATH_SECONDS", 0.2)


async def outcome(url: str) -> tuple[type[CallError] | None, Completion | None]:
    async with ChatClient(url, clocks=CLOCKS) as client:
        try:
            return None, await client.call(REQUEST)
        except CallError as error:
            return type(error), error.partial


def expect(given: Stream, error: type[CallError] | None, completion: Completion | None) -> None:
    assert error is given.error
    if completion is None:
        assert not given.reasoning
        return
    assert (completion.reasoning, completion.response) == (given.reasoning, given.response)
    assert completion.finish_reason == given.finish_reason
    if given.completion_tokens is None:
        assert completion.usage.estimated
    else:
        assert completion.usage.completion_tokens == given.completion_tokens
        assert not completion.usage.estimated


@pytest.mark.slow
@pytest.mark.parametrize("given", STREAMS, ids=lambda s: s.name)
async def test_a_dialect_is_understood_however_its_bytes_arrive(given: Stream) -> None:
    body = given.body
    rng = random.Random(given.name)
    cuts = [0, *sorted(rng.sample(range(len(body)), min(len(body), 40))), len(body)]
    torn = [body[a:b] for a, b in itertools.pairwise(cuts) if a < b]
    single = [body[i : i + 1] for i in range(len(body))]
    ways = [
        says(pieces, given.content_type, given.closes)
        for pieces in ([body] if body else [], torn, single)
    ]
    async with scripted(*ways) as server:
        for _ in ways:
            expect(given, *await outcome(server.url))


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_events_do_not_depend_on_where_the_bytes_are_cut(data: st.DataObject) -> None:
    answer = data.draw(
        st.sampled_from([s for s in STREAMS if s.content_type == "text/event-stream"])
    )
    cuts = data.draw(st.lists(st.integers(0, len(answer.body)), max_size=30))

    def gathered(edges: list[int]) -> tuple[object, ...]:
        splitter = EventSplitter()
        gathering = Gathering()
        for a, b in zip([0, *edges], [*edges, len(answer.body)], strict=True):
            gathering.take(splitter.feed(answer.body[a:b]))
        gathering.take(splitter.end())
        return (
            gathering.texts(),
            gathering.finish_reason,
            gathering.usage,
            gathering.done,
            gathering.chunks,
        )

    assert gathered(sorted(cuts)) == gathered([])


@given(st.binary(max_size=400))
def test_no_bytes_can_break_the_reading_of_a_stream(noise: bytes) -> None:
    splitter = EventSplitter()
    gathering = Gathering()
    gathering.take(splitter.feed(b"data: " + noise + b"\n\n"))
    gathering.take(splitter.feed(b'data: {"choices": ' + noise + b"}\n\n"))
    gathering.take(splitter.end())
    gathering.texts()
    gathering.counted(10)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "reasoning",
                    "reasoning_content",
                    "reasoning_details",
                    "usage",
                    "error",
                    "text",
                    "thinking",
                    "model",
                    "finish_reason",
                    "completion_tokens",
                    "prompt_tokens",
                    "completion_tokens_details",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(JSON, JSON)
def test_no_json_can_break_the_reading_of_a_stream(one: object, two: object) -> None:
    import orjson

    gathering = Gathering()
    try:
        events = [
            orjson.dumps(one),
            orjson.dumps({"choices": [{"delta": two, "usage": one}], "usage": two}),
        ]
    except TypeError:
        return  # integers beyond 64 bits
    gathering.take(events)
    gathering.texts()
    gathering.counted(10)


@pytest.mark.parametrize(
    "nonsense", [2**64 - 1, 10**12, -7, True, False, 0, "22", 1.5, None, [], {}]
)
def test_what_cannot_be_a_count_of_tokens_is_estimated_instead(nonsense: object) -> None:
    gathering = Gathering()
    gathering.take(
        [
            orjson.dumps(
                {"choices": [{"delta": {"content": "the answer is 4"}, "finish_reason": "stop"}]}
            )
        ]
    )
    gathering.take([orjson.dumps({"usage": {"prompt_tokens": 5, "completion_tokens": nonsense}})])
    usage = gathering.counted(40)
    assert usage.estimated
    assert (usage.prompt_tokens, usage.completion_tokens) == (14, 3)


@pytest.mark.parametrize(
    "more",
    [b"{broken", b'{"error": {"message": "late"}}', b'{"choices": [{"delta": {"content": "4"}}]}'],
)
def test_what_comes_after_the_end_changes_nothing(more: bytes) -> None:
    gathering = Gathering()
    gathering.take(
        [b'{"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}', b" [DONE]", more]
    )
    assert (gathering.texts(), gathering.error) == (("", "4"), None)


def test_no_part_of_a_prompt_is_larger_than_the_prompt() -> None:
    gathering = Gathering()
    counts = {
        "prompt_tokens": 5,
        "completion_tokens": 22,
        "prompt_cache_hit_tokens": 9,
        "reasoning_tokens": -1,
    }
    gathering.take([orjson.dumps({"usage": counts})])
    assert gathering.counted(40) == Usage(5, 22, 0, 5)


@pytest.mark.parametrize("given", ANSWERS, ids=lambda s: s.name)
async def test_the_text_as_generated_has_the_thinking_in_its_tags(given: Stream) -> None:
    reply = says([given.body], given.content_type, given.closes)
    async with (
        scripted(reply) as server,
        ChatClient(server.url, clocks=CLOCKS, as_generated=True) as client,
    ):
        completion = await client.call(REQUEST)
    assert completion.reasoning == ""
    assert given.reasoning in completion.response
    assert given.response.removeprefix("Sure. ") in completion.response
    assert (THINK_CLOSE in completion.response) == bool(given.reasoning and given.response)


async def test_a_text_in_tags_is_left_as_it_was_generated() -> None:
    body = sse(chunk({"content": "Sure.<think>hm</think>4"}), chunk({}, "stop"))
    async with (
        scripted(says([body])) as server,
        ChatClient(server.url, clocks=CLOCKS, as_generated=True) as client,
    ):
        assert (await client.call(REQUEST)).response == "Sure.<think>hm</think>4"


async def test_a_thought_under_both_names_was_never_ended_where_the_text_is_wanted_as_generated() -> (
    None
):
    body = sse(chunk({"content": "hm", "reasoning": "hm"}), chunk({}, "length"))
    async with (
        scripted(says([body])) as server,
        ChatClient(server.url, clocks=CLOCKS, as_generated=True) as client,
    ):
        assert (await client.call(REQUEST)).response == "<think>\nhm"


async def test_a_lane_learns_that_its_server_opens_the_thinking_itself() -> None:
    whole = next(s for s in ANSWERS if s.name.startswith("r1 template"))
    half = b'data: {"choices": [{"delta": {"content": "Okay, 2"}}]}\n\n'
    async with (
        scripted(says([whole.body]), says([half])) as server,
        ChatClient(server.url, clocks=CLOCKS) as client,
    ):
        await client.call(REQUEST)
        with pytest.raises(CallError) as caught:
            await client.call(REQUEST)
    assert caught.value.partial is not None
    assert (caught.value.partial.reasoning, caught.value.partial.response) == ("Okay, 2", "")


async def test_tokens_are_told_block_by_block_and_none_is_missed() -> None:
    answer = ANSWERS[0]
    counts: list[int] = []
    reply = says([answer.body[:900], answer.body[900:]], gap_seconds=0.05)
    async with scripted(reply) as server, ChatClient(server.url, clocks=CLOCKS) as client:
        await client.call(REQUEST, counts.append)
    assert (
        sum(counts) == answer.body.count(b'content": "') - 1
    )  # all but the first chunk's empty one
    assert len(counts) < 10
