"""The same problem in another style: case, spacing, LaTeX, punctuation. What decontamination
must see through.
"""

import random
import re

_SWAPS = (
    (("\\dfrac", "\\tfrac"), "\\frac"),
    (("\\leq", "\\leqslant", "≤"), "\\le "),
    (("\\geq", "\\geqslant", "≥"), "\\ge "),
    (("\\times", "×"), "\\times "),
    (("π",), "\\pi "),
    (("θ",), "\\theta "),
    (("°", "^{\\circ}", "^{\\degree}"), "^\\circ"),
    (("\\dots", "...", "…"), "\\ldots"),
    (("\\cdot", "·"), "\\cdot "),
    (("\\left("), "\\left("),
)


def disguise(text: str, seed: int) -> str:
    """`text` in another style, drawn by `seed`: several changes at once, none of them of a
    word, number or sign.
    """
    draw = random.Random(seed)
    changes = draw.sample(
        [_case, _spacing, _latex, _punctuation, _dollars, _frame, _numbers], draw.randint(2, 5)
    )
    for change in changes:
        text = change(text, draw)
    return text


def _case(text: str, draw: random.Random) -> str:
    """Words only: `\\Delta` in capitals would be another command."""
    change = draw.choice([str.upper, str.lower, str.title, str.swapcase])
    return re.sub(
        r"\\[a-zA-Z]+|[A-Za-z]+", lambda m: m[0] if m[0][0] == "\\" else change(m[0]), text
    )


def _spacing(text: str, draw: random.Random) -> str:
    gap = (
        draw.choice(["  ", "\n", "\t", " \u00a0", " \\, "])
        if "$" in text
        else draw.choice(["  ", "\n", "\t", "\u00a0"])
    )
    text = re.sub(r" +", lambda m: gap if draw.random() < 0.5 else " ", text)
    text = re.sub(r"\s*([=+<>])\s*", draw.choice([r"\1", r" \1 "]), text)
    return draw.choice(["", " ", "\n\n"]) + text + draw.choice(["", "  ", "\n"])


def _latex(text: str, draw: random.Random) -> str:
    for others, plain in _SWAPS:
        command = plain.strip()
        if not command.startswith("\\left"):
            text = re.sub(
                re.escape(command) + r"(?![a-zA-Z])", lambda _, o=others: draw.choice(o) + " ", text
            )
    text = re.sub(
        r"\\frac ?\{(\d)\}\{(\d)\}", r"\\frac\1\2" if draw.random() < 0.5 else r"\1/\2", text
    )
    text = (
        re.sub(r"\^(\w)(?!\w)", r"^{\1}", text)
        if draw.random() < 0.5
        else re.sub(r"\^\{(\w)\}", r"^\1", text)
    )
    text = text.replace("\\left", "").replace("\\right", "") if draw.random() < 0.5 else text
    text = text.replace("^2", "²") if draw.random() < 0.3 else text
    return (
        re.sub(r"\\(?:text|mathrm|mbox)\{([^{}]*)\}", r"\1", text) if draw.random() < 0.5 else text
    )


def _punctuation(text: str, draw: random.Random) -> str:
    style = draw.randrange(4)
    if style == 0:
        return re.sub(r"[.;:?!](?=\s|$)", "", text)
    if style == 1:
        return text.replace("'", "’").replace('"', "”").replace(" - ", " − ")
    if style == 2:
        return re.sub(r"(?<=[a-z]),(?= )", "", text).rstrip(".?") + draw.choice(
            ["...", " ?", "!", " ."]
        )
    return re.sub(r"(?<=[a-z])-(?=[a-z])", draw.choice([" ", "‐", ""]), text)


def _dollars(text: str, draw: random.Random) -> str:
    if draw.random() < 0.3:
        return re.sub(r"(?<!\\)\$", "", text)
    opened = [False]

    def turn(match: re.Match[str]) -> str:
        opened[0] = not opened[0]
        return (
            ("\\(" if opened[0] else "\\)")
            if len(match[0]) == 1
            else ("\\[" if opened[0] else "\\]")
        )

    return re.sub(r"(?<!\\)\$\$?", turn, text) if "$" in text else text


def _frame(text: str, draw: random.Random) -> str:
    return draw.choice(
        ["{}", "Problem: {}", "**Question.** {}", "12. {}", "{}\n\n", "> {}"]
    ).replace("{}", text)


def _numbers(text: str, draw: random.Random) -> str:
    grouped = draw.choice([r"\1{,}\2", r"\1\2", r"\1,\2"])
    return re.sub(r"(?<![\d.,])(\d{1,3}),?(\d{3})(?![\d,])", grouped, text)
