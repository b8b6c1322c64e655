"""A block of usual events read at once says what the same events say one by one."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.chat_api.dialects import Gathering
from shared.chat_api.event_stream import EventSplitter
from shared.chat_api.event_template import template_of
from tests.shared.chat_api.dialect_streams import ANSWERS
from tests.shared.chat_api.failing_streams import FAILURES
from tests.shared.chat_api.stream_events import COUNT, STOP, chunk, sse

EVENT_STREAMS = [s for s in [*ANSWERS, *FAILURES] if s.content_type == "text/event-stream"]
BEFORE = b'data: {"model": "r1", "choices": [{"index": 0, "delta": {"content": "'
BEHIND = b'"}, "finish_reason": null}]}'
USUAL = BEFORE + b"Okay" + BEHIND
# Between the quotation marks of a text: what could be taken for the end of one, or of an array.
NASTY = [
    b"",
    b"a",
    b"\\n\\n",
    b"\\\\",
    b"\\",
    b'\\"',
    b'"',
    b'","',
    b'"\n,"',
    b'x","y","z',
    b'"],["',
    b',"x',
    b'"]',
    b'{"',
    b"\\ud83c",
    b"\\udf4e",
    b"\xf0\x9f\x8d\x8e",
    b"\xff",
    b"\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\x00",
    b"[" * 40,
    BEHIND,
    BEHIND + b"\n\n" + BEFORE,
    BEHIND[1:],
    b'"}, "finish_reason": "stop"}]}\n\n: ',
]


def said(gathering: Gathering) -> tuple[object, ...]:
    """All that a gathering has to say."""
    return (
        gathering.texts(),
        gathering.generated_text(),
        gathering.size,
        gathering.chunks,
        gathering.finish_reason,
        gathering.model,
        gathering.usage,
        gathering.counted(40),
        gathering.done,
        gathering.error,
        gathering.closes_only,
    )


def expect_the_same(body: bytes, edges: list[int]) -> None:
    """Read `body`, cut at the edges, at once and event by event."""
    fast = Gathering()
    slow = Gathering()
    fast_splitter = EventSplitter()
    slow_splitter = EventSplitter()
    for start, end in itertools.pairwise([0, *sorted(edges), len(body)]):
        fast_count = fast.take_events(fast_splitter.whole_events(body[start:end]))
        slow_count = slow.take(slow_splitter.feed(body[start:end]))
        assert fast_count == slow_count
        assert said(fast) == said(slow)
    fast.take(fast_splitter.end())
    slow.take(slow_splitter.end())
    assert said(fast) == said(slow)


@pytest.mark.parametrize("stream", EVENT_STREAMS, ids=lambda stream: stream.name)
def test_a_recorded_stream_says_the_same_read_at_once_wherever_it_is_cut(stream: Any) -> None:
    events = [at + 2 for at in range(len(stream.body)) if stream.body[at : at + 2] == b"\n\n"]
    expect_the_same(stream.body, [])
    expect_the_same(stream.body, events)
    for edge in range(0, len(stream.body), max(1, len(stream.body) // 16)):
        expect_the_same(stream.body, [edge])


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_recorded_stream_says_the_same_cut_at_many_places(data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from(EVENT_STREAMS))
    expect_the_same(stream.body, data.draw(st.lists(st.integers(0, len(stream.body)), max_size=12)))


DELTAS = st.dictionaries(
    st.sampled_from(["content", "reasoning_content", "reasoning", "reasoning_details", "role"]),
    st.text(max_size=4) | st.sampled_from([None, "", [], 0, [{"text": "x"}], "\ud83c", '"', "\\"]),
    min_size=1,
    max_size=3,
)
MORE = st.sampled_from([{}] * 8 + [{"usage": None}, {"error": "x"}, {"model": 2**63}, {"usage": 1}])
EVENTS = st.builds(lambda delta, more: chunk(delta, **more), DELTAS, MORE)


@pytest.mark.slow
@given(st.lists(EVENTS | st.sampled_from([STOP, COUNT]), max_size=4), st.data(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_events_of_any_kind_repeated_say_the_same(
    kinds: list[dict[str, Any]], data: st.DataObject, ensure_ascii: bool
) -> None:
    kinds = [kind for kind in kinds for _ in range(data.draw(st.integers(1, 4)))]
    texts = [json.dumps(kind, ensure_ascii=ensure_ascii) for kind in kinds]
    body = "".join(f"data: {text}\n\n" for text in texts).encode("utf-8", "surrogatepass")
    expect_the_same(body, data.draw(st.lists(st.integers(0, len(body)), max_size=6)))


@pytest.mark.slow
@given(st.lists(st.sampled_from(NASTY) | st.binary(max_size=6), max_size=6), st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_the_place_of_a_text_says_the_same(
    pieces: list[bytes], data: st.DataObject
) -> None:
    texts = [BEFORE + piece + BEHIND for piece in pieces]
    body = b"\n\n".join([USUAL, *texts, USUAL]) + b"\n\n"
    expect_the_same(body, [len(USUAL) + 2])
    expect_the_same(body, data.draw(st.lists(st.integers(0, len(body)), max_size=4)))


def test_two_pieces_that_make_json_together_are_not_taken_for_texts() -> None:
    for pair in itertools.product(NASTY, repeat=2):
        texts = [BEFORE + piece + BEHIND for piece in pair]
        expect_the_same(b"\n\n".join([USUAL, *texts]) + b"\n\n", [len(USUAL) + 2])


def test_pieces_that_make_as_many_values_as_texts_together_are_not_taken_for_texts() -> None:
    pieces = [b'x",["', b"b", b'"],"y']
    texts = [BEFORE + piece + BEHIND for piece in pieces]
    expect_the_same(b"\n\n".join([USUAL, *texts]) + b"\n\n", [len(USUAL) + 2])


def test_an_event_in_which_before_and_behind_overlap_has_no_text() -> None:
    expect_the_same(USUAL + b"\n\n" + BEFORE + BEHIND[1:] + b"\n\n", [len(USUAL) + 2])


def test_the_usual_block_of_each_provider_is_read_at_once() -> None:
    kinds = (
        {"content": None, "reasoning_content": "Okay"},
        {"content": "Okay", "reasoning_content": None},
        {"reasoning": "Okay"},
        {"role": "assistant", "content": "Okay"},
    )
    for delta in kinds:
        field = next(name for name in delta if delta[name] == "Okay")
        body = sse(
            *[chunk(delta | {field: text}) for text in ("a", 'b"\\', "", "\n🍎")], done=False
        )
        template = template_of(sse(chunk(delta), done=False)[:-2])
        assert template is not None
        assert template.texts(body[:-2]) == ["a", 'b"\\', "", "\n🍎"]


@pytest.mark.parametrize(
    "event",
    [
        chunk({"content": "a", "reasoning_content": "b"}),
        chunk({"content": "a"}, "stop"),
        chunk({"content": "a"}, usage={"completion_tokens": 1}),
        chunk({"content": "a"}, error="late"),
        chunk({"content": [{"text": "a"}]}),
        chunk({"role": "assistant", "content": ""}),
        STOP,
        COUNT,
    ],
    ids=lambda event: json.dumps(event["choices"])[:60],
)
def test_an_event_that_says_more_than_one_text_is_no_template(event: dict[str, Any]) -> None:
    assert template_of(sse(event, done=False)[:-2]) is None


def test_a_field_that_stands_twice_in_an_event_is_no_template() -> None:
    assert template_of(b'data: {"choices": [{"delta": {"content": "a", "content": "b"}}]}') is None
