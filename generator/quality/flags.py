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
LOOP_WORDS = 24
LOOP_SHARE = 0.25  # of the runs of so many words, the share that has come before
PERIODIC_TAIL = 2_000  # characters; a tail that deflates to a fiftieth repeats itself
RUNAWAY_WORDS = 16_000
THINKING_WORDS = 12
# characters of one reasoning: screening takes milliseconds whatever it is given
LOOKED_AT = 400_000

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CYRILLIC_ARABIC = re.compile(r"[\u0400-\u04ff\u0600-\u06ff\u0900-\u097f\u0e00-\u0e7f]")
_LATIN = re.compile(r"[A-Za-z]{2,}")
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I can(?:no|')t"
    r" (?:help|assist|answer|solve|provide|comply)"
    r"|as an AI\b|as a language model|I must decline|I won't be able to)|无法(?:回答|提供|协助)|抱歉",
    re.I,
)
_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|system|user|assistant)\|>|<｜[^｜>]{1,40}｜>|\[/?INST\]"
    r"|<</?SYS>>",
    re.I,
)
_PROMPT = re.compile(r"\b(?:my|the) system prompt\b|put your final answer within \\boxed", re.I)
_TAGS = re.compile(r"</?think>")
_ENDED = re.compile(r"[.!?。！？)\]}*`'\"”$：:>✓✔✅️#-]\s*\Z|\d\s*\Z")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def flags_of(trace: Trace) -> list[str]:
    """The flags of one trace, in the order of `FLAGS`. Milliseconds a trace, whatever its text."""
    thinking = trace.reasoning[:LOOKED_AT]
    words = thinking.split()
    is_flagged = {
        "mixed languages": _mixed(trace.problem, thinking),
        "loop": _loops(thinking, words),
        "runaway": len(words) > RUNAWAY_WORDS or len(trace.reasoning) > LOOKED_AT,
        "no thinking": len(words) < THINKING_WORDS,
        "unfinished thinking": (
            bool(thinking) and (bool(_TAGS.search(thinking)) or not _ENDED.search(trace.reasoning))
        ),
        "unsupported answer": (
            trace.verdict != "truncated" and not _supported(trace.final_answer, thinking)
        ),
        "refusal": bool(_REFUSAL.search(trace.response[:2_000])) and not last_box(trace.response),
        "leaked prompt": _leaks(trace, thinking),
    }
    return [flag for flag in FLAGS if is_flagged[flag]]


def _mixed(problem: str, thinking: str) -> bool:
    for script in (_CJK, _CYRILLIC_ARABIC):
        foreign_letters = len(script.findall(thinking))
        allowed_letters = max(FOREIGN_LETTERS, FOREIGN_SHARE * len(thinking))
        if not script.search(problem) and foreign_letters > allowed_letters:
            return True
    latin = sum(len(word) for word in _LATIN.findall(thinking))
    return bool(_CJK.search(problem)) and not _LATIN.search(problem) and latin > 0.5 * len(thinking)


def _loops(thinking: str, words: list[str]) -> bool:
    tail = thinking[-PERIODIC_TAIL:].encode()
    is_periodic = len(zlib.compress(tail, 1)) * 30 < len(tail)
    if len(tail) >= PERIODIC_TAIL and is_periodic:
        return True
    runs = len(words) - LOOP_WORDS + 1
    if runs < 2 * LOOP_WORDS:
        return False
    distinct = {hash(tuple(words[at : at + LOOP_WORDS])) for at in range(runs)}
    return 1 - len(distinct) / runs > LOOP_SHARE


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
    if not answer_numbers.isdisjoint(_numbers(thinking)):
        return True
    return bool(re.search(r"\\frac|/|\\sqrt|\^", answer))  # the thinking may write it otherwise


def _numbers(text: str) -> set[str]:
    return {_plain(number) for number in _NUMBER.findall(text)}


def _plain(number: str) -> str:
    number = number.replace(",", "").lstrip("-")
    if "." in number:
        return number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def _leaks(trace: Trace, thinking: str) -> bool:
    if _CONTROL.search(thinking) or _CONTROL.search(trace.response):
        return True
    if _PROMPT.search(trace.response):
        return True
    prompts = [message["content"] for message in trace.messages if message["role"] == "system"]
    prompt = prompts[0] if prompts else ""
    return len(prompt) > 40 and prompt[:200] in thinking + trace.response
