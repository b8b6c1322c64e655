"""A reasoning model's text: the thinking between `<think>` and `</think>`, and what it says outside.

The one rule of every program, whichever way a text came:

1. The first closing tag ends the thinking. Where no opening tag stands before it, the chat template
   had opened the thinking in the prompt (R1's own does), and all before it is thinking.
2. What stands before the opening tag was said, not thought: it is part of the response.
3. Text stays as it was sent. Only the tags go, and the line breaks that belong to them: one after
   `<think>`, one before `</think>` and up to two after it. Tags behind the first thinking stay, so
   that a response that opens another one still shows it.
4. Only what stands outside every thinking is an answer (`spoken`). A thinking that was opened and
   never closed, the first or a later one, leaves none, whatever was said before it.
"""

import re
from dataclasses import dataclass

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
_TAG = re.compile("</?think>")


@dataclass(frozen=True, slots=True)
class SplitText:
    """A text as thinking and response. `unclosed`: a thinking in it never ended, so that nothing
    was answered, whatever the text contains.
    """

    reasoning: str
    response: str
    unclosed: bool


def split(text: str, *, untagged_is_thinking: bool = False) -> SplitText:
    """Thinking and response of a generated text.

    `untagged_is_thinking`: what a text without any tag is. By itself it is a response; where the
    limit cut it, or the server is known to begin inside the thinking, it is a thinking that never
    ended.
    """
    if is_untagged(text):
        if untagged_is_thinking:
            return SplitText(text, "", unclosed=True)
        return SplitText("", text, unclosed=False)
    lead = ""
    body = text
    if not closes_only(text):
        lead, _, body = text.partition(THINK_OPEN)
        body = body.removeprefix("\n")
    lead = lead if lead.strip() else ""
    reasoning, closing, response = body.partition(THINK_CLOSE)
    if not closing:
        # With words before it the tag must stay, or the response would look like an answer.
        if lead:
            return SplitText("", text, True)
        return SplitText(body, "", True)
    response = lead + _after_tag(response)
    return SplitText(reasoning.removesuffix("\n"), response, spoken(response) is None)


def spoken(text: str) -> str | None:
    """What stands outside every thinking of a text; None where a thinking never ends.

    The same for a whole text and for the response that `split` makes of it. Linear in the text.
    """
    pieces: list[str] = []
    thinking = False
    end = 0
    for tag in _TAG.finditer(text):
        if tag[0] == THINK_CLOSE:
            if not thinking:  # all so far was thought, without an opening tag
                pieces.clear()
            thinking = False
            end = tag.end()
        elif not thinking:
            pieces.append(_after_tag(text[end : tag.start()]) if end else text[: tag.start()])
            thinking = True
    if thinking:
        return None
    return "".join(pieces) + (_after_tag(text[end:]) if end else text)


def join(reasoning: str, response: str) -> str:
    """The text of a thinking and its response, as a student learns it: what `split` takes apart."""
    return f"{THINK_OPEN}\n{reasoning}\n{THINK_CLOSE}\n\n{response}"


def is_untagged(text: str) -> bool:
    """Whether a text has no thinking tag at all: it alone does not tell a thought from an
    answer.
    """
    return THINK_OPEN not in text and THINK_CLOSE not in text


def closes_only(text: str) -> bool:
    """Whether a text closes a thinking that it never opened: the chat template had opened it in
    the prompt.
    """
    head, closing, _ = text.partition(THINK_CLOSE)
    return bool(closing) and THINK_OPEN not in head


def _after_tag(text: str) -> str:
    """A text that follows a closing tag, without the line breaks that belong to the tag."""
    return text.removeprefix("\n").removeprefix("\n")
