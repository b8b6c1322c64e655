r"""Multiple choice: the options that a problem lists, the letter that an answer names, and
whether it is right.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from shared.grading.normalise import clean
from shared.grading.outcome import NeedsWorker, Outcome, Undecidable

TAIL = 6_000  # characters from the end of a problem in which its options are looked for
MAX_OPTION = 600

_DRESS = r"\\(?:text|textbf|textrm|mathrm|mathbf|mathsf|bf|rm|textit|boldsymbol|mbox)"
_DRESSED = re.compile(
    rf"(?:{_DRESS})\s*\{{\s*(?:\\ )?(\(?)\s*([A-J])\s*(\)?[.:]?)\s*(?:\\ )?\}}(\s*[).:])?"
    rf"|\(\s*{_DRESS}\s*\{{\s*([A-J])\s*\}}\s*\)"
)
# Runs of them would be read again from each of their places.
_SPACES = re.compile(r"[ \t]+|(?<=\n\n)\n+")
_OLD_DRESS = re.compile(
    r"\{\s*\\(?:bf|rm|it)\s*\(?([A-J])\)?\s*\}|\(\s*\\(?:bf|rm|it)\s+([A-J])\s*\)"
)
_STYLES = (
    re.compile(r"\(\s*([A-J])\s*\)"),
    re.compile(r"(?:(?<=[\s$~,;}])|^)([A-J])\s?[).]\s*(?=[\S])(?!\))"),
    re.compile(r"(?:(?<=[\s$~,;}])|^)([A-J])\s?[:：、．]\s*(?=\S)"),
)
_LETTER = re.compile(
    r"^(?:选\s?|(?:the )?(?:correct )?(?:option|choice|answer)(?: is)?:?\s*)?"
    r"(?:\(\s*(?P<round>[A-Za-z])\s*\)|(?P<bare>[A-Z])(?=\s*$|\s*[).:、．]))\s*[).:、．]?\s*(?P<remainder>.*)$",
    re.DOTALL | re.IGNORECASE,
)

_ANY_LETTER = re.compile(r"[A-Za-z]")
_TEXT_COMMAND = re.compile(r"\\text\{([^{}]*)\}")
_TIGHT_TEXT_COMMAND = re.compile(r"\\text\{\s*([^{}]*?)\s*\}")
_LETTERS = re.compile(
    r"[\s(]*[A-J](?:[\s,;()]*(?:\band\b)?[\s,;()]*[A-J])+[\s)]*",
)
_SEPARATOR = re.compile(r"[ ,;]")


@dataclass(frozen=True, slots=True)
class NamedChoice:
    """The letter that an answer names; `remainder` is what stands behind it ("(B) 7"), cleaned."""

    letter: str
    remainder: str


def named_choice(answer: str) -> NamedChoice | None:
    """The choice that a cleaned answer names: `B`, `(B)`, `\\text{(B)} 7`, `B. 7`,
    `\\text{option B}`.
    """
    if len(answer) > MAX_OPTION or not _ANY_LETTER.search(answer):
        return None
    plain = _TIGHT_TEXT_COMMAND.sub(r" \1 ", answer).strip()
    match = _LETTER.match(" ".join(plain.split()))
    if match is None:
        return None
    letter = match["round"] or match["bare"]
    remainder = match["remainder"]
    if match["round"] is None and not letter.isupper():
        return None
    if match["round"] and letter.islower() and remainder:  # "(x) + 1" is no choice
        return None
    if remainder and (
        remainder[0] in "+-*/^=!'<>_"
        or remainder.startswith(("\\le", "\\ge", "\\cdot", "\\times", "\\cup"))
    ):
        return None
    return NamedChoice(letter.upper(), remainder)


def named_letters(answer: str) -> str:
    """The letters of an answer that names several options: "ACD" of `A, C and D` or `ACD`; else
    "".
    """
    if len(answer) > 60 or not _ANY_LETTER.search(answer):
        return ""
    plain = _TEXT_COMMAND.sub(r" \1 ", answer)
    if _LETTERS.fullmatch(plain):
        return "".join(re.findall(r"[A-J]", plain))
    return ""


@lru_cache(maxsize=256)
def options(problem: str) -> dict[str, str]:
    """Letter -> cleaned text of each option that the problem lists; empty where it lists none.

    A list is a run of labels A, B, … in order, all in one style: "(A)", "\\textbf{(A)}", "A.",
    "A)", "A:".
    """
    text = _SPACES.sub(" ", problem[-TAIL:])
    text = _DRESSED.sub(lambda match: f" ({match[2] or match[5]}) ", text)
    text = _OLD_DRESS.sub(lambda match: f" ({match[1] or match[2]}) ", text)
    for style in _STYLES:
        run = _last_run(list(style.finditer(text)))
        if len(run) >= 2:
            ends = [match.start() for match in run[1:]] + [len(text)]
            return {
                match[1]: _option(text[match.end() : end])
                for match, end in zip(run, ends, strict=True)
            }
    return {}


def _last_run(labels: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last run of labels that begins with A and goes on in order."""
    for start in range(len(labels) - 1, -1, -1):
        if labels[start][1] != "A":
            continue
        run = [labels[start]]
        for label in labels[start + 1 :]:
            if ord(label[1]) == ord(run[-1][1]) + 1:
                run.append(label)
        if len(run) >= 2:
            return run
    return []


def _option(text: str) -> str:
    text = text.strip().split("\n\n")[0][:MAX_OPTION]
    text = re.sub(r"\\q?quad|\\hspace\*?\{[^{}]*\}|\\\\$|\\newline", " ", text)
    return clean(
        re.sub(r"^[\s~}$\\]*(?:\\ )*[\s~}]*(?=[^A-Za-z]|$)", "", text) if text[:1] in "~}" else text
    ).rstrip("\\ ,;")


Equal = Callable[[str, str], bool]  # (gold, answer): equal by value


def by_choice(
    gold: str,
    answer: str,
    problem: str,
    equal: Equal,
) -> Outcome | None:
    """The finding where the gold or the answer names an option; None where neither does. Raises
    what `equal` raises.
    """
    gold_choice = named_choice(gold)
    answer_choice = named_choice(answer)
    letters = named_letters(gold), named_letters(answer)
    option_texts = options(problem) if gold_choice or answer_choice or all(letters) else {}
    # Without options and separators "AB" is a product or a segment.
    if all(letters) and (option_texts or _SEPARATOR.search(gold + answer)):
        same = letters[0] == letters[1]
        if option_texts:
            same = sorted(letters[0]) == sorted(letters[1])
        return Outcome(same, f"names {'' if same else 'not '}the same options", "choice")
    if letters[0] and answer_choice is not None and _SEPARATOR.search(gold):
        return Outcome(False, f"names option {answer_choice.letter} alone", "choice")
    if gold_choice is not None and (not gold_choice.remainder or "(" in gold[:12]):
        return _against_letter(gold_choice, answer_choice, answer, option_texts, equal)
    if answer_choice is not None and not _equal_at_once(equal, gold, answer):
        value = answer_choice.remainder or option_texts.get(answer_choice.letter, "")
        if value:
            same = equal(gold, value)
            return Outcome(
                same,
                f"the value of option {answer_choice.letter} is {'' if same else 'not '}the gold",
                "choice",
            )
    return None


def _against_letter(
    gold_choice: NamedChoice,
    answer_choice: NamedChoice | None,
    answer: str,
    option_texts: dict[str, str],
    equal: Equal,
) -> Outcome:
    letter = gold_choice.letter
    if answer_choice is None and option_texts and re.fullmatch(r"[a-j]", answer):
        answer_choice = NamedChoice(answer.upper(), "")
    if answer_choice is not None and answer_choice.letter != letter:
        return Outcome(
            False,
            f"the gold is option {letter}, the answer names {answer_choice.letter}",
            "choice",
        )
    if (
        answer_choice is not None
        and answer_choice.remainder
        and _is_value_of_another(answer_choice, option_texts, equal)
    ):
        return Outcome(False, f"names option {letter} with the value of another", "choice")
    if answer_choice is not None:
        return Outcome(True, f"names option {letter}", "choice")
    value = option_texts.get(letter, "") or gold_choice.remainder
    if not value:
        how = f"the gold is option {letter}; the answer names none and the problem lists none"
        return Outcome(False, how, "choice")
    same = equal(value, answer)
    return Outcome(same, f"{'' if same else 'not '}the value of option {letter}", "choice")


def _is_value_of_another(
    choice: NamedChoice,
    option_texts: dict[str, str],
    equal: Equal,
) -> bool:
    other_texts = [text for letter, text in option_texts.items() if letter != choice.letter]
    return not _equal_at_once(equal, option_texts.get(choice.letter, ""), choice.remainder) and any(
        _equal_at_once(equal, text, choice.remainder) for text in other_texts
    )


def _equal_at_once(equal: Equal, gold: str, answer: str) -> bool:
    """Equal without a worker; an open question counts as no."""
    try:
        return equal(gold, answer)
    except (NeedsWorker, Undecidable):
        return False
