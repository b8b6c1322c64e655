"""Multiple choice in the shapes of the hub -> a question whose options carry letters, and the right letter.

gpqa       {"Question": "…", "Correct Answer": "…", "Incorrect Answer 1": "…", …, "Incorrect Answer 3": "…"}
mmlu_pro   {"question": "…", "options": ["…", … up to ten], "answer": "I", "answer_index": 8}
mmlu       {"question": "…", "choices": ["…", "…", "…", "…"], "answer": 1}
arc        {"question": "…", "choices": {"text": ["…", …], "label": ["A", …]}, "answerKey": "B"}
aqua_rat   {"question": "…", "options": ["A)21", "B)21.5", …], "correct": "E"}

GPQA's rows say which option is right, not where it stands: its order is drawn from a seed. The
other sets keep the order of the row, in which their published numbers were measured.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from shared.errors import InputError
from shared.grading.choices import options as options_in

QUESTION_FIELDS = ("question", "Question", "problem", "prompt", "input")
_OPTION_FIELDS = ("options", "choices")
_RIGHT_FIELDS = ("answer_index", "answerKey", "answer", "correct", "gold", "target")
_GPQA_RIGHT = "Correct Answer"
_GPQA_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_INSTRUCTION = "Answer with the letter of the right option."
_FEW_WORDS = 12  # a question of fewer ("Which is true?") says nothing without its options


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """A question, its options and the place of the right one. `is_drawn`: the row gives the
    options no order.
    """

    question: str
    options: tuple[str, ...]
    right: int
    is_drawn: bool = False

    def asked(self, seed: int) -> tuple[str, str]:
        """(the problem as it is asked, the right letter); `seed` is of the order, where one is
        drawn.
        """
        order = list(range(len(self.options)))
        if self.is_drawn:
            order = _drawn_order(self.question, len(self.options), seed)
        letters = ascii_uppercase[: len(order)]
        lines = []
        for letter, index in zip(letters, order, strict=True):
            lines.append(f"{letter}) {self.options[index]}")
        text = "\n".join([self.question, "", _INSTRUCTION, "", *lines])
        right_letter = letters[order.index(self.right)]
        return text, right_letter

    @property
    def text(self) -> str:
        """What is kept out of a corpus: the question, with its options where it is short."""
        if len(self.question.split()) >= _FEW_WORDS:
            return self.question
        return "\n".join([self.question, *self.options])


def multiple_choice(row: Mapping[str, Any], place: str) -> MultipleChoice | None:
    """The multiple choice in a row; None where it is none, or its text lists the options itself.

    Errors: `InputError` where no option is named as the right one.
    """
    question = next((row[name] for name in QUESTION_FIELDS if _is_text(row.get(name))), None)
    if question is None:
        return None
    question = question.strip()
    if _is_text(row.get(_GPQA_RIGHT)):
        texts = [row[_GPQA_RIGHT]]
        texts += [row[name] for name in _GPQA_WRONG if _is_text(row.get(name))]
        options = tuple(text.strip() for text in texts)
        return MultipleChoice(question, options, right=0, is_drawn=True)
    options, labels = _listed_options(row)
    if len(options) < 2 or len(options_in(question)) == len(options):
        return None
    right = _right_index(row, options, labels, place)
    return MultipleChoice(question, options, right)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _listed_options(row: Mapping[str, Any]) -> tuple[tuple[str, ...], Sequence[str]]:
    """The texts of a row's options and their labels; () where it lists none."""
    value = next((row[name] for name in _OPTION_FIELDS if row.get(name)), None)
    labels: Sequence[str] = ascii_uppercase
    if isinstance(value, Mapping):
        labels = [str(label) for label in value.get("label", ())]
        value = value.get("text")
    if not isinstance(value, list) or len(value) > len(ascii_uppercase):
        return (), labels
    if not all(isinstance(option, str | int | float) for option in value):
        return (), labels
    options = [str(option).strip() for option in value]
    return _without_letters(options), labels


def _without_letters(options: Sequence[str]) -> tuple[str, ...]:
    """Options without the letters that all of them begin with."""
    lettered = [
        re.fullmatch(rf"\(?{letter}\s*[).:]\s*(.+)", option, re.DOTALL)
        for letter, option in zip(ascii_uppercase, options, strict=False)
    ]
    texts = [match[1] for match in lettered if match is not None]
    return tuple(texts if len(texts) == len(options) else options)


def _right_index(
    row: Mapping[str, Any],
    options: Sequence[str],
    labels: Sequence[str],
    place: str,
) -> int:
    present = [row[name] for name in _RIGHT_FIELDS if row.get(name) is not None]
    for answer in present:
        index = _index_of(answer, options, labels)
        if index is not None:
            return index
    description = f"{present[0]!r}" if present else "nothing"
    raise InputError(
        f"{place}: {description} names none of the {len(options)} options: give the letter, the"
        " number from 0 or the text of the right one"
    )


def _index_of(
    answer: Any,
    options: Sequence[str],
    labels: Sequence[str],
) -> int | None:
    """The place of the option that an answer names by number, letter or text."""
    if isinstance(answer, int) and 0 <= answer < len(options):
        return answer
    text = str(answer).strip()
    for names in (labels, options):
        if text and text in names:
            index = list(names).index(text)
            if index < len(options):
                return index
            return None
    return None


def _drawn_order(question: str, count: int, seed: int) -> list[int]:
    """The order of `count` options: by digest, so the same on every machine."""
    digests = []
    for index in range(count):
        text = f"{seed} {index} {question}"
        digests.append(hashlib.sha256(text.encode()).digest())
    return sorted(range(count), key=lambda index: digests[index])
