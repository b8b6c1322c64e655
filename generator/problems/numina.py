"""NuminaMath-CoT: which of its rows are problems with one answer that can be checked, and the
options that they give.

860,000 rows of nine sources, with the columns source, problem, solution, messages. Many are proofs,
ask several questions, lean on a figure that the text does not have, or box no answer: a call spent
on such a row buys nothing.

    {"source": "cn_k12", "problem": "Which is larger? A: $2^3$ B: $3^2$", "solution": "…$\\boxed{B}$", "messages": […]}
"""

import re
from collections.abc import Mapping
from typing import Any

SOURCES = (
    "aops_forum",
    "amc_aime",
    "cn_k12",
    "gsm8k",
    "math",
    "olympiads",
    "orca_math",
    "synthetic_amc",
    "synthetic_math",
)

PROOF = "a proof, not an answer"
FIGURE = "needs a figure"
PARTS = "several parts"
NO_GOLD = "no gold in the solution"
MANY_GOLDS = "gold is not one answer"

MARKED = "marked as not whole"
COLUMNS = frozenset({"question_type", "problem_is_valid", "solution_is_valid"})  # of NuminaMath-1.5

END_LOOKED_AT = 1_000  # characters of a solution in which its last lines are
MOST_BESIDE_A_BOX = 60  # characters of a line that gives an answer and no working
PART_LOOKED_AT = 300  # characters behind the mark of a part
LOOKED_AT = 20_000  # characters: no problem is longer, and no text may hold a run up
_PROVE = re.compile(
    r"\b(?:prove|show|demonstrate|verify)\s+(?:that|the\b|if\b|:|this|whether|it\b)|\bprove\b|\bshow"
    r" how\b|证明",
    re.I,
)
# A question asked besides the proof leaves an answer to check.
_ASKS = re.compile(
    r"\?|\b(?:find|determine|calculate|compute|evaluate|what|how many|how"
    r" much|which|solve|simplify)\b",
    re.I,
)
_FIGURE = re.compile(
    r"!\[[^\]]{0,200}\]\(|<img\b|\\includegraphics"
    r"|\b(?:as\s+)?(?:is\s+)?(?:shown|drawn|depicted|illustrated|pictured|given)\s+(?:in|on)\s+(?:the\s+)?"
    r"(?:\w+\s+){0,2}(?:figure|diagram|picture|image|drawing|graph|sketch)\b"
    r"|\b(?:in|from|see|refer"
    r" to|consider)\s+(?:the\s+)(?:(?:following|given|adjacent|accompanying|above)\s+)?"
    r"(?:figure|diagram|picture|image)\b(?!\s+of\s+speech)|\bas\s+shown\b(?=[^.]{0,12}(?:figure|below|[,.$]))"
    r"|\bfigure\s+(?:below|above|\d|shows)|\((?:see\s+)?fig(?:ure)?\.?\s*\d*\)",
    re.I,
)
# The text carries its own figure.
_DRAWN = re.compile(r"\[asy\]|\\begin\{(?:tikzpicture|tabular|array|asy)\}|\\draw\b", re.I)
# The marks of parts, a style each: (1), (a), (i), (I), Ⅰ, ①, "1." at the start of a line, "Question
# 1".
_MARKS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:^|[\s.;:,。；])[(（]\s*([1-9])\s*[)）]\s*(?=\S)",
        r"(?:^|[\s.;:,。；])[(（]\s*([a-e])\s*[)）]\s*(?=\S)",
        r"(?:^|[\s.;:,。；])[(（]\s*(i{1,3}|iv|v)\s*[)）]\s*(?=\S)",
        r"(?:^|[\s.;:,。；])[(（]\s*(I{1,3}|IV|V|[Ⅰ-Ⅴ])\s*[)）]\s*(?=\S)",
        r"([①-⑨])\s*(?=\S)",
        r"(?:^|\n)[ \t]{0,8}([1-9])[.、]\s*(?=\S)",
        r"(?:^|[\s*])(?:[Qq]uestion|[Pp]art|问题)[ ]?([1-9])\b",
    )
)
_FIRST_TWO = ({"1", "a", "i", "I", "Ⅰ", "①"}, {"2", "b", "ii", "II", "Ⅱ", "②"})
# A part asks or orders. A numbered condition ("(1) f(0) = 1; (2) f is even") does neither.
_ASKED = re.compile(
    r"\?|？|\b(?:find|determine|prove|show|what|how|calculate|compute|write|discuss|solve|complete|express|evaluate|which"
    r"|simplify|sketch|is there|does there)\b|求|证明|写出|计算",
    re.I,
)
_OPTION = re.compile(
    r"(?:^|[\s$,;:.?}。"
    r"）)])\\?(?:text(?:bf|rm|it)?\s*\{)?\s*(?:\\(?:mathrm|textbf|text|mathbf)\s*\{)?\s*"
    r"[(（]?\s*(?P<letter>[A-E])\s*(?:[)）.:：、]|\}\s*[)）.:]?)\s*\}?\s*(?:\\\s|\\qquad|\\quad|\\"
    r" |~)*\s*"
)
_NO_ANSWER = re.compile(
    r"\b(?:proof|proved|proven|Q\.?E\.?D|see solution|not found)\b|\\blacksquare|\\square$", re.I
)
_SEPARATE = re.compile(r"\\(?:qquad|quad|newline)\b|\\\\|\$\s*$|^\s*\$|\\ ")
_GOLD_IN_PARTS = re.compile(
    r"(?:^|[\s;,])(?:\(?(?:1|a|i|I)\)\s*\S.*[\s;,]\(?(?:2|b|ii|II)\)\s*\S|①\s*[^\s①-⑨,、"
    r"].*②\s*[^\s①-⑨]"
    r"|[Qq]uestion 1\b.*[Qq]uestion 2\b)",
    re.S,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def is_numina_row(row: Mapping[str, Any]) -> bool:
    """Whether a row has the shape of NuminaMath-CoT or -1.5: one of the sources, with problem
    and solution.
    """
    return (
        (row.get("source") in SOURCES or "question_type" in row)
        and "problem" in row
        and "solution" in row
    )


def why_marked(row: Mapping[str, Any]) -> str:
    """The reason to leave out a row of NuminaMath-1.5 that its own columns give, "" where they
    give none.
    """
    if row.get("question_type") == "proof":
        return PROOF
    if any(row.get(column) not in (None, "", "Yes") for column in COLUMNS - {"question_type"}):
        return MARKED
    return ""


def why_skipped(problem: str, solution: str, gold: str | None) -> str:
    """The reason to leave a row out, "" where it is a problem with one answer."""
    problem = problem[:LOOKED_AT]
    solution = solution[-LOOKED_AT:]
    chooses = len(options(problem)) >= 2
    if asks_only_proof(problem):
        return PROOF
    if needs_figure(problem):
        return FIGURE
    if not chooses and has_parts(problem):
        return PARTS
    if gold is None:
        return NO_GOLD
    if not is_one_answer(gold, solution):
        return MANY_GOLDS
    return ""


def asks_only_proof(problem: str) -> bool:
    """Whether the text asks to prove something and asks for nothing that could be boxed."""
    return bool(_PROVE.search(problem)) and not _ASKS.search(_PROVE.sub(" ", problem))


def needs_figure(problem: str) -> bool:
    """Whether the text leans on a figure that it does not draw itself (asy, tikz and tables are
    in the text).
    """
    return bool(_FIGURE.search(problem)) and not _DRAWN.search(problem)


def has_parts(problem: str) -> bool:
    """Whether the text asks (1) this and (2) that: marks of one style in order, a question or
    an order behind each.
    """
    return any(_asked_in_parts(problem, style) for style in _MARKS)


def _asked_in_parts(problem: str, style: re.Pattern[str]) -> bool:
    marks = list(style.finditer(problem))
    if len(marks) < 2:
        return False
    ends = [match.start() for match in marks[1:]] + [len(problem)]
    names = [
        match[1]
        for match, end in zip(marks, ends, strict=True)
        if _ASKED.search(problem[match.end() : end][:PART_LOOKED_AT])
    ]
    return all(not styles.isdisjoint(names) for styles in _FIRST_TWO)


def options(problem: str) -> dict[str, str]:
    """The options of a multiple-choice problem, `{"A": "7", "B": "9", …}`; empty where it gives
    none.

    Options are a run of letters from A, in order, as cn_k12 ("A: …"), AMC (`$\\textbf{(A)}\\ 7
    \\qquad …$`) and synthetic rows ("(A) …") write them.
    """
    problem = " ".join(problem[:LOOKED_AT].split())
    marks: list[re.Match[str]] = []
    for match in _OPTION.finditer(problem):
        if match["letter"] == "A":
            marks = [match]  # the last run counts: the text before may speak of points A and B
        elif marks and ord(match["letter"]) == ord(marks[-1]["letter"]) + 1:
            marks.append(match)
    if len(marks) < 2:
        return {}
    ends = [match.start() for match in marks[1:]] + [len(problem)]
    texts = {}
    for match, end in zip(marks, ends, strict=True):
        value = _SEPARATE.sub(" ", problem[match.end() : end]).strip(" \n\t,;.，；。")
        if not value:
            return {}
        texts[match["letter"]] = value
    return texts


def is_one_answer(gold: str, solution: str) -> bool:
    """Whether the gold is one answer: not a proof's mark, not empty, and not one of several
    different final boxes.
    """
    plain = gold.strip()
    if not plain or len(plain) > 300:
        return False
    if re.search(
        r"\b(?:proof|proved|proven|Q\.?E\.?D|shown above|see solution|not"
        r" found)\b|\\blacksquare|\\square$",
        plain,
        re.I,
    ):
        return False
    bare = re.sub(r"\\[{}]", "", plain)
    if bare.count("{") != bare.count("}"):
        return False  # cut off, or the end of something else
    if _GOLD_IN_PARTS.search(plain):
        return False
    return not _ends_in_several_boxes(solution)


def _ends_in_several_boxes(solution: str) -> bool:
    """Several boxes in the last line of a solution are several answers; so are lines at its end
    that hold little else.

    Boxes on the way to the answer are not.
    """
    lines = [line for line in solution[-END_LOOKED_AT:].splitlines() if line.strip()]
    closing = lines[-1:]
    for line in reversed(lines[:-1]):
        is_working = max(len(line), len(lines[-1])) > MOST_BESIDE_A_BOX
        if is_working or not _BOX.search(line):
            break
        closing.append(line)
    boxes = [(line, match.end()) for line in closing for match in _BOX.finditer(line)]
    if len(boxes) < 2:
        return False
    contents = {line[start : start + 40].partition("}")[0].strip() for line, start in boxes}
    return len(contents) > 1
