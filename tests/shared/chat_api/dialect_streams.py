"""Replies of real servers as bytes, in the shape that each provider sends, and what they mean.

Recorded from documentation and issue threads, shortened; one entry for each peculiarity that was
ever seen.
"""

import json

from tests.shared.chat_api.stream_events import (
    COUNT,
    SAID,
    STOP,
    THOUGHT,
    USAGE,
    Stream,
    chunk,
    over_lines,
    parts,
    sayings,
    sse,
    thoughts,
    whole_message,
)

DEEPSEEK_USAGE = USAGE | {
    "completion_tokens_details": {"reasoning_tokens": 6},
    "prompt_cache_hit_tokens": 3,
}


FIRST = chunk({"role": "assistant", "content": None, "reasoning_content": ""})


TAGGED = f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"


BARE = f"{THOUGHT}\n</think>\n\n{SAID}"


DETAILS = [
    chunk({"reasoning_details": [{"type": "reasoning.text", "text": part}]})
    for part in parts(THOUGHT)
]


OPENROUTER = [
    chunk(
        {
            "content": "",
            "reasoning": part,
            "reasoning_details": [{"type": "reasoning.text", "text": part}],
        }
    )
    for part in parts(THOUGHT)
]


MISTRAL = [
    chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": p}]}]})
    for p in parts(THOUGHT)
]


MISTRAL_SAYS = [chunk({"content": [{"type": "text", "text": part}]}) for part in parts(SAID)]


WHOLE = whole_message(content=SAID, reasoning_content=THOUGHT)


ANSWERS = [
    Stream(
        "deepseek",
        sse(
            FIRST,
            *thoughts(content=None),
            *sayings(reasoning_content=None),
            STOP | {"usage": DEEPSEEK_USAGE},
        ),
    ),
    Stream(
        "modelscope: empty strings, usage apart",
        sse(FIRST, *thoughts(content=""), *sayings(reasoning_content=""), STOP, COUNT),
    ),
    Stream(
        "vllm: reasoning",
        sse(
            chunk({"role": "assistant", "content": ""}),
            *thoughts("reasoning"),
            *sayings(),
            STOP,
            COUNT,
        ),
    ),
    Stream(
        "both names for the same thought",
        sse(
            *[chunk({"reasoning": p, "reasoning_content": p}) for p in parts(THOUGHT)],
            *sayings(),
            STOP,
            COUNT,
        ),
    ),
    Stream(
        "openrouter: reasoning, details and comments",
        b": OPENROUTER PROCESSING\n\n" * 3 + sse(*OPENROUTER, *sayings(), STOP, COUNT),
    ),
    Stream("reasoning_details alone", sse(*DETAILS, *sayings(), STOP, COUNT)),
    Stream("together: tags in the content", sse(*sayings(TAGGED), STOP, COUNT)),
    Stream("tags, one chunk each", sse(*sayings(""), chunk({"content": TAGGED}), STOP, COUNT)),
    Stream(
        "tags without line breaks", sse(*sayings(f"<think>{THOUGHT}</think>{SAID}"), STOP, COUNT)
    ),
    Stream("white space before the tag", sse(*sayings("\n" + TAGGED), STOP, COUNT)),
    Stream("r1 template: only the closing tag", sse(*sayings(BARE), STOP, COUNT)),
    Stream(
        "a word before the tag is response",
        sse(*sayings("Sure. " + TAGGED), STOP, COUNT),
        response="Sure. " + SAID,
    ),
    Stream(
        "tags inside a response are text when the thought has its own field",
        sse(*thoughts(), *sayings("I </think> " + SAID), STOP, COUNT),
        response="I </think> " + SAID,
    ),
    Stream(
        "a closing tag that leads the response when the thought has its own field",
        sse(*thoughts(), *sayings("</think>\n\n" + SAID), STOP, COUNT),
    ),
    Stream(
        "empty tags that lead the response when the thought has its own field",
        sse(*thoughts(), *sayings("<think>\n\n</think>\n\n" + SAID), STOP, COUNT),
    ),
    Stream(
        "the same thought once more, in tags",
        sse(*thoughts(), *sayings(f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"), STOP, COUNT),
    ),
    Stream(
        "the same thought once more, only closed",
        sse(*thoughts(), *sayings(f"{THOUGHT}\n</think>\n\n{SAID}"), STOP, COUNT),
    ),
    Stream(
        "each delta repeats the text so far",
        sse(
            *(
                chunk({"reasoning_content": THOUGHT[:end]})
                for end in (6, 12, 13, len(THOUGHT), len(THOUGHT))
            ),
            *(chunk({"content": SAID[:end]}) for end in (1, 2, 3, 12, len(SAID))),
            STOP,
            COUNT,
        ),
    ),
    Stream(
        "two deltas, the second of which repeats the first",
        sse(*thoughts(), chunk({"content": SAID[:12]}), chunk({"content": SAID}), STOP, COUNT),
    ),
    Stream(
        "minimax: the last event has the whole message once more",
        sse(
            *thoughts(),
            *sayings(),
            {
                "choices": [
                    {
                        "message": {"content": SAID, "reasoning_content": THOUGHT},
                        "finish_reason": "stop",
                    }
                ]
            },
            COUNT,
        ),
    ),
    Stream("[DONE] and a count, no finish_reason", sse(*thoughts(), *sayings(), COUNT)),
    Stream(
        "a reason in capitals",
        sse(*thoughts(), *sayings(), chunk({}, "STOP"), COUNT),
        finish_reason="STOP",
    ),
    Stream("a byte order mark", b"\xef\xbb\xbf" + sse(*thoughts(), *sayings(), STOP, COUNT)),
    Stream("llama.cpp: no usage", sse(*sayings(TAGGED), STOP), completion_tokens=None),
    Stream("transformers serve: no [DONE]", sse(*thoughts(), *sayings(), STOP, COUNT, done=False)),
    Stream(
        "finished, but the connection stays open",
        sse(*thoughts(), *sayings(), STOP, COUNT, done=False),
        closes=False,
    ),
    Stream(
        "siliconflow: usage in every chunk",
        sse(
            *[e | {"usage": USAGE | {"completion_tokens": 1}} for e in thoughts()],
            *sayings(),
            STOP | {"usage": USAGE},
        ),
    ),
    Stream(
        "moonshot: usage in the choice",
        sse(
            *thoughts(),
            *sayings(),
            chunk(
                None, choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]
            ),
        ),
    ),
    Stream("mistral: parts in a content list", sse(*MISTRAL, *MISTRAL_SAYS, STOP, COUNT)),
    Stream(
        "parts of a content list by their type, and words without one",
        sse(
            *[chunk({"content": [{"type": "reasoning", "text": p}]}) for p in parts(THOUGHT)],
            *[chunk({"content": [p]}) for p in parts(SAID)],
            STOP,
            COUNT,
        ),
    ),
    Stream(
        "parts that wrap their text once more",
        sse(
            *[chunk({"reasoning": {"content": [{"text": p}]}}) for p in parts(THOUGHT)],
            *[chunk({"content": [{"type": "text", "text": {"value": p}}]}) for p in parts(SAID)],
            STOP,
            COUNT,
        ),
    ),
    Stream(
        "json of a content list and reasoning_details",
        json.dumps(
            whole_message(
                content=[{"type": "text", "text": SAID[:5]}, {"type": "text", "text": SAID[5:]}],
                reasoning_details=[{"type": "reasoning.text", "text": THOUGHT}],
            )
        ).encode(),
        content_type="application/json",
    ),
    Stream(
        "json with a count, no finish_reason",
        json.dumps(whole_message(None, content=TAGGED)).encode(),
        content_type="application/json",
    ),
    Stream(
        "json without a count and without a finish_reason",
        json.dumps({"choices": [{"message": {"content": TAGGED}}]}).encode(),
        content_type="application/json",
        completion_tokens=None,
    ),
    Stream(
        "finish_reason with the last text",
        sse(*thoughts(), *sayings()[:-1], chunk({"content": parts(SAID)[-1]}, "stop"), COUNT),
    ),
    Stream("no reasoning at all", sse(*sayings(), STOP, COUNT), reasoning=""),
    Stream("crlf", sse(*thoughts(), *sayings(), STOP, COUNT, end="\r\n\r\n")),
    Stream("cr alone", sse(*thoughts(), *sayings(), STOP, COUNT, end="\r\r")),
    Stream("no space after data:", sse(*thoughts(), *sayings(), STOP, COUNT, head="data:")),
    Stream("one line break between events", sse(*thoughts(), *sayings(), STOP, COUNT, end="\n")),
    Stream("data of several lines", sse(*map(over_lines, [*thoughts(), *sayings(), STOP, COUNT]))),
    Stream(
        "event names, ids and retry hints",
        sse(*thoughts(), *sayings(), STOP, COUNT, head="event: message\nid: 7\nretry: 10\ndata: "),
    ),
    Stream(
        "comments and blank lines everywhere",
        sse(
            *thoughts(),
            *sayings(),
            STOP,
            COUNT,
            head=": keep-alive\n\n\n\n: keep-alive\ndata: ",
            end="\n\n\n",
        ),
    ),
    Stream("raw utf-8", sse(*thoughts(), *sayings(), STOP, COUNT, ensure_ascii=False)),
    Stream(
        "an emoji halved between two chunks",
        sse(
            *thoughts(),
            chunk({"reasoning_content": "\ud83c"}),
            chunk({"reasoning_content": "\udf4e"}),
            *sayings(),
            STOP,
            COUNT,
        ),
        reasoning=THOUGHT + "🍎",
    ),
    Stream("no blank line at the very end", sse(*thoughts(), *sayings(), STOP, COUNT)[:-2]),
    Stream("no stream but json", json.dumps(WHOLE).encode(), content_type="application/json"),
    Stream(
        "blank lines, then json",
        b"\n\n\n" + json.dumps(WHOLE).encode(),
        content_type="application/json",
    ),
    Stream("json that is called a stream", json.dumps(WHOLE).encode()),
    Stream(
        "length", sse(*thoughts(), chunk({}, "length"), COUNT), response="", finish_reason="length"
    ),
    Stream(
        "length inside an open tag",
        sse(*sayings("<think>\n" + THOUGHT), chunk({}, "length"), COUNT),
        response="",
        finish_reason="length",
    ),
    Stream(
        "content_filter",
        sse(*thoughts(), *sayings("I"), chunk({}, "content_filter"), COUNT),
        response="I",
        finish_reason="content_filter",
    ),
]
