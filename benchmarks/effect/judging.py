"""Which answers are right: greedy texts against gold numbers. Only what follows `</think>`
counts.
"""

import re
from collections.abc import Sequence

from benchmarks.effect.corpora import Question

Said = tuple[str, bool]  # an answer's text, and whether it came to its end


def judge(questions: Sequence[Question], answers: Sequence[Said]) -> dict[str, int]:
    """How many answers are right, boxed, and came to their end."""
    return {
        "right": sum(
            is_right(question, said) for question, said in zip(questions, answers, strict=True)
        ),
        "boxed": sum(bool(_boxes(text)) for text, _ in answers),
        "finished": sum(finished for _, finished in answers),
    }


def is_right(question: Question, said: Said) -> bool:
    """Whether the answer ended by itself with the gold number in its last box."""
    text, finished = said
    found = _boxes(text)
    return finished and bool(found) and _number(found[-1]) == _number(question.gold)


def _boxes(text: str) -> list[str]:
    """What stands in the boxes of the answer proper: thinking that was never closed has none."""
    _, closed, said = text.rpartition("</think>")
    return re.findall(r"\\boxed\{([^{}]*)\}", said if closed or "<think>" not in text else "")


def _number(text: str) -> float | str:
    """A number without its thousands separators and currency, or the text where there is none."""
    plain = text.replace(",", "").replace("$", "").replace("\\", "").strip()
    try:
        return float(plain)
    except ValueError:
        return plain
