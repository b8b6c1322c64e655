"""Trace screening: what a reader would stumble over. Flags never change a verdict; `export
--drop-flags` drops by them.

    mixed languages      the thinking goes over into another script than the problem's
    loop                 long runs of words come back again and again
    runaway              longer than any thinking that still gets somewhere
    no thinking          no reasoning, or a line of it
    unfinished thinking  the reasoning breaks off in the middle of a sentence, or thinking tags stand inside it
    unsupported answer   the reasoning's own last result is another one, or the answer does not occur in it
    refusal              the response declines instead of answering
    leaked prompt        control tokens or the instructions themselves stand in the text

Thresholds were set on 582 real DeepSeek-R1 traces: docs/experiments/data-quality.md has what each
flag finds there.
"""

import re
import zlib

import numpy as np
from numpy.typing import NDArray

from generator.quality.words import Words, fewest_deflated_bytes
from shared.grading.extract import FinalAnswer, extract, last_box
from shared.records import Trace

FLAGS = (
    "mixed languages",
    "loop",
    "runaway",
    "no thinking",
    "unfinished thinking",
    "unsupported answer",
    "refusal",
    "leaked prompt",
)

FOREIGN_SHARE = 0.02
FOREIGN_LETTERS = 20
PERIODIC_TAIL = 2_000  # characters; a tail that deflates to a fiftieth repeats itself
RUNAWAY_WORDS = 16_000
THINKING_WORDS = 12
# characters of one reasoning: screening takes milliseconds whatever it is given
LOOKED_AT = 400_000
REFUSAL_CHARACTERS = 2_000  # of a response, in which it would be
TAIL_CHARACTERS = 2_000  # of the thinking, where the answer is looked for first

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CYRILLIC_ARABIC = re.compile(r"[\u0400-\u04ff\u0600-\u06ff\u0900-\u097f\u0e00-\u0e7f]")
# each with the code points that it stands for: (first, last)
_SCRIPTS = (
    (_CJK, ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7AF))),
    (_CYRILLIC_ARABIC, ((0x0400, 0x04FF), (0x0600, 0x06FF), (0x0900, 0x097F), (0x0E00, 0x0E7F))),
)
_LATIN = re.compile(r"[A-Za-z]{2,}")
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I can(?:no|')t"
    r" (?:help|assist|answer|solve|provide|comply)"
    r"|as an AI\b|as a language model|I must decline|I won't be able to)|无法(?:回答|提供|协助)|抱歉",
    re.I,
)
# One of them stands in every match, in lower case. None has i, s or k: other letters match those.
_REFUSAL_MARKS = (
    "orry",
    "able",
    "cannot",
    "can't",
    " an a",
    "language model",
    "decl",
    "无法",
    "抱歉",
)
_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|system|user|assistant)\|>|<｜[^｜>]{1,40}｜>|\[/?INST\]"
    r"|<</?SYS>>",
    re.I,
)
# Every match of it has one of these in it, or ends in "t]" or "T]".
_CONTROL_MARKS = ("<|", "<｜", "<<")
_BRACKET = ord("]")
_PROMPT = re.compile(r"\b(?:my|the) system prompt\b|put your final answer within \\boxed", re.I)
_PROMPT_MARKS = ("prompt", "your")  # one of them stands in every match, in lower case
_TAGS = ("<think>", "</think>")
_SENTENCE_ENDS = frozenset(".!?。！？)]}*`'\"”$：:>✓✔✅️#-")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")  # its sign is not compared
_OF_NUMBERS = frozenset("0123456789,.")


def flags_of(trace: Trace) -> list[str]:
    """The flags of one trace, in the order of `FLAGS`. Under a millisecond for most."""
    thinking = trace.reasoning[:LOOKED_AT]
    words = Words(thinking)
    is_flagged = {
        "mixed languages": _mixed(trace.problem, thinking, words.high),
        "loop": _ends_periodic(thinking) or words.repeats_itself(),
        "runaway": len(words) > RUNAWAY_WORDS or len(trace.reasoning) > LOOKED_AT,
        "no thinking": len(words) < THINKING_WORDS,
        "unfinished thinking": bool(thinking) and _is_unfinished(trace.reasoning, thinking),
        "unsupported answer": (
            trace.verdict != "truncated" and not _supported(trace.final_answer, thinking)
        ),
        "refusal": _refuses(trace.response),
        "leaked prompt": _leaks(trace, thinking, words),
    }
    return [flag for flag in FLAGS if is_flagged[flag]]


def _mixed(problem: str, thinking: str, high: NDArray[np.uint32]) -> bool:
    """`high`: the thinking's code points above 127."""
    allowed_letters = max(FOREIGN_LETTERS, FOREIGN_SHARE * len(thinking))
    may_be_foreign = len(high) > allowed_letters
    for script, ranges in _SCRIPTS if may_be_foreign else ():
        foreign_letters = 0
        for low, last in ranges:
            is_inside = (high >= low) & (high <= last)
            foreign_letters += int(np.count_nonzero(is_inside))
        if foreign_letters > allowed_letters and not script.search(problem):
            return True
    if not _CJK.search(problem) or _LATIN.search(problem):
        return False
    latin = sum(len(word) for word in _LATIN.findall(thinking))
    return latin > 0.5 * len(thinking)


def _ends_periodic(thinking: str) -> bool:
    tail = thinking[-PERIODIC_TAIL:].encode(errors="surrogatepass")
    if len(tail) < PERIODIC_TAIL:
        return False
    if fewest_deflated_bytes(tail) * 30 >= len(tail):
        return False
    deflated = zlib.compress(tail, 1)
    return len(deflated) * 30 < len(tail)


def _is_unfinished(reasoning: str, thinking: str) -> bool:
    """Thinking tags stand inside it, or it ends neither a sentence nor a formula."""
    if "<" in thinking and any(tag in thinking for tag in _TAGS):
        return True
    last = reasoning.rstrip()[-1:]
    return last not in _SENTENCE_ENDS and not last.isdecimal()


def _supported(answer: str | None, thinking: str) -> bool:
    """Whether the thinking comes to the answer. Answers and thinking without a number are not
    judged.
    """
    if not answer or not thinking:
        return True
    answer_numbers = _numbers(answer)
    if not answer_numbers:
        return True
    box = extract(thinking) if "boxed" in thinking else None
    box_numbers = _numbers(box.text) if isinstance(box, FinalAnswer) else set()
    if box_numbers:
        return not box_numbers.isdisjoint(answer_numbers)
    if any(_stands_in(thinking, number) for number in answer_numbers):
        return True
    for text in (_tail(thinking), thinking):
        if not answer_numbers.isdisjoint(_numbers(text)):
            return True
    return bool(re.search(r"\\frac|/|\\sqrt|\^", answer))  # the thinking may write it otherwise


def _stands_in(text: str, number: str) -> bool:
    """Whether the last place where these digits stand is that number: a yes is sure, a no is not."""
    start = text.rfind(number)
    if start < 0:
        return False
    end = start + len(number)
    before = text[max(0, start - 1) : start]
    behind = text[end : end + 1]
    around = before + behind
    return not any(char in _OF_NUMBERS or char.isdecimal() for char in around)


def _tail(thinking: str) -> str:
    """The end of it, cut where no number can be cut in two."""
    end = max(0, len(thinking) - TAIL_CHARACTERS)
    space = thinking.rfind(" ", 0, end)
    return thinking[max(0, space) :]


def _numbers(text: str) -> set[str]:
    spellings = set(_NUMBER.findall(text))
    return set(map(_plain, spellings))


def _plain(number: str) -> str:
    number = number.replace(",", "")
    if "." in number:
        return number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def _refuses(response: str) -> bool:
    beginning = response[:REFUSAL_CHARACTERS]
    lowered_beginning = beginning.lower()
    if not any(mark in lowered_beginning for mark in _REFUSAL_MARKS):
        return False
    return not last_box(response) and bool(_REFUSAL.search(beginning))


def _leaks(trace: Trace, thinking: str, words: Words) -> bool:
    if _may_have_control(thinking, words.encoded) and _CONTROL.search(thinking):
        return True
    if _CONTROL.search(trace.response):
        return True
    lowered_response = trace.response.lower()
    may_match = any(mark in lowered_response for mark in _PROMPT_MARKS)
    if may_match and _PROMPT.search(trace.response):
        return True
    prompts = [message["content"] for message in trace.messages if message["role"] == "system"]
    prompt = prompts[0] if prompts else ""
    return len(prompt) > 40 and prompt[:200] in thinking + trace.response


def _may_have_control(text: str, encoded: NDArray[np.uint8]) -> bool:
    """False only where `_CONTROL` finds nothing: it takes milliseconds for a long text."""
    if "<" in text and any(mark in text for mark in _CONTROL_MARKS):
        return True
    if "]" not in text:
        return False
    brackets = np.flatnonzero(encoded == _BRACKET)
    before_brackets = encoded[brackets - 1]
    is_t = (before_brackets == ord("t")) | (before_brackets == ord("T"))
    return bool(is_t.any())
