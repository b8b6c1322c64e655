r"""Other notations in the one that the rest reads: plain TeX, Russian and Chinese conventions,
repeating decimals.

Every function takes and gives LaTeX and is linear in its length.
"""

import re
from fractions import Fraction

MAX_INFIX = 20  # `\over`, `\choose` of one answer; each looks for its group in the whole text
MAX_PERIOD = 60  # digits of a repeating decimal

_DEPTH_CHANGES = {"{": 1, "}": -1}
_INFIX = re.compile(r"\\(over|choose)(?![A-Za-z])")
_STYLE_GROUP = re.compile(r"\{\s*\\(bf|it|sf|tt|sl|em|cal|rm)(?![A-Za-z])\s*([^{}]*)\}")
_LETTER_CONSTANT = re.compile(r"\\(?:mathrm|operatorname|rm|mathsf)\s*\{\s*([ei])\s*\}")
_NAMED_FUNCTION = re.compile(
    r"\\(?:operatorname\*?|mathrm|rm|mathop)\s*\{\s*\\?(?:mathrm\{)?([A-Za-z]+)\}{1,2}"
)
_FUNCTION_NAMES = {
    "tg": "tan",
    "ctg": "cot",
    "cotg": "cot",
    "arctg": "arctan",
    "arcctg": "arccot",
    "sen": "sin",
    "ln": "ln",
    "lg": "lg",
    "sh": "sinh",
    "ch": "cosh",
    "th": "tanh",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "cot": "cot",
    "sec": "sec",
    "csc": "csc",
    "cosec": "csc",
    "log": "log",
    "exp": "exp",
    "arcsin": "arcsin",
    "arccos": "arccos",
    "arctan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "gcd": "gcd",
    "lcm": "lcm",
    "max": "max",
    "min": "min",
    "det": "det",
}
_LG = re.compile(r"\\lg(?![A-Za-z])")
_DOTS = re.compile(r"\\(?:dots[cbmio]?|cdots|hdots)(?![A-Za-z])|…|(?<=[,+])\s*\.\.\.(?=\s*[,+])")
_MODULUS = re.compile(
    r"\(\s*\\?(?:bmod|mod|operatorname\{mod\}|text\{\s*mod\s*\})\s*(\d+|[a-z])\s*\)"
    r"|\\(?:pmod|mod|bmod)\s*(?:\{\s*([^{}]*)\}|(\d|[a-z]))"
)
_PERIOD = re.compile(
    r"(?<![\d.])(\d*)\.(\d*)(?:\\(?:overline|bar|widebar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))"
    r"(?:(\d*)\\dot\s*(?:\{(\d)\}|(\d)))?|\((\d+)\))(?!\d)"
)
_COMBINATIONS = re.compile(
    r"(?<![A-Za-z\\])(?:\\(?:mathrm|rm)\s*\{\s*)?([CAP])(?:\s*\})?\s*"
    r"(?:_\s*(?:\{\s*(\d+|[nm])\s*\}|(\d|[nm]))\s*\^\s*(?:\{\s*(\d+|[a-z])\s*\}|(\d|[a-z]))"
    r"|\^\s*(?:\{\s*(\d+|[a-z])\s*\}|(\d|[a-z]))\s*_\s*(?:\{\s*(\d+|[nm])\s*\}|(\d|[nm])))"
)
_TEXT_OR_HAN = re.compile(r"(\\(?:text|mathrm|mbox)\s*\{)([^{}]*)(\})|([\u4e00-\u9fff]+)")
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_CIRCLED = re.compile(r"(?:[①-⑳][\s,、和与及]*)+")
_CIRCLED_TEXT = re.compile(r"\\text\s*\{\s*((?:[①-⑳][\s,、]*)+)\}")

_UNITS_TEXT = """
平方千米 square km 平方公里 square km 平方厘米 square cm 平方分米 square dm 平方毫米 square mm 平方米 square m
立方厘米 cubic cm 立方分米 cubic dm 立方米 cubic m 千米每小时 km per hour 千米/时 km per hour 米/秒 m per s
厘米 cm 毫米 mm 分米 dm 千米 km 公里 km 米 m 小时 hour 分钟 minute 秒钟 second 秒 second 天 day 周 week 个月 month
千克 kg 公斤 kg 毫克 mg 克 g 毫升 ml 升 l 元 yuan 度 degree 或者 or 或 or 并且 and 以及 and 且 and 和 and 与 and 及 and
百 hundred 千 thousand 万 wan 亿 yi
"""


def _units() -> dict[str, str]:
    table: dict[str, str] = {}
    name = ""
    for word in _UNITS_TEXT.split():
        if word[0] >= "\u4e00":
            name = word
            table[name] = ""
        else:
            table[name] = f"{table[name]} {word}".strip()
    return table


_UNITS = _units()
_UNIT_RUN = re.compile("|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True)))


def from_han(text: str) -> str:
    r"""Chinese units and connectives in English words; what other Chinese there is stands in
    `\text{}`.
    """
    text = _CIRCLED.sub(
        lambda run: ", ".join(f"\\text{{{char}}}" for char in run[0] if "①" <= char <= "⑳") + " ",
        _CIRCLED_TEXT.sub(r"\1", text),
    )
    return _TEXT_OR_HAN.sub(_han_in_place, text)


def _han_in_place(match: re.Match[str]) -> str:
    if match[4]:
        return "".join(f"\\text{{ {word} }}" for word in _translated(match[4]))
    return (
        match[1]
        + _HAN.sub(lambda run: " " + " ".join(_translated(run[0])) + " ", match[2])
        + match[3]
    )


def _translated(run: str) -> list[str]:
    """The words of a run of Chinese characters: known units and connectives, and what stands
    between them.
    """
    if run in _UNITS:
        return [_UNITS[run]]
    for connective in ("或者", "或", "和", "与"):  # elsewhere they are parts of other words
        if run == connective or (run.startswith(connective) and run[len(connective) :] in _UNITS):
            return [
                _UNITS[connective],
                *([_UNITS[run[len(connective) :]]] if run != connective else []),
            ]
        if run.endswith(connective) and run[: -len(connective)] in _UNITS:
            return [_UNITS[run[: -len(connective)]], _UNITS[connective]]
    multiple = re.match(r"[百千万亿]+", run)
    if multiple:
        remainder = run[multiple.end() :]
        return [_UNITS[char] for char in multiple[0]] + (
            _translated(remainder) if remainder else []
        )
    return [run]


def from_plain_tex(text: str) -> str:
    r"""`{1\over2}`, `{\bf 5}`, `\operatorname{tg}`, `\mathrm{e}`, `\lg`, `(\bmod 3)`,
    `0.\dot3`, `C_5^2` in LaTeX.
    """
    if "\\" in text:
        text = _infix(text)
        text = _STYLE_GROUP.sub(_styled, text)
        if "m{" in text or "op" in text or "m {" in text:
            text = _NAMED_FUNCTION.sub(_function, _LETTER_CONSTANT.sub(r" \1", text))
        text = _LG.sub(r"\\log_{10}", text)
    if "mod" in text:
        text = _MODULUS.sub(
            lambda match: f"\\pmod{{{(match[1] or match[2] or match[3]).strip()}}}", text
        )
    if "." in text or "dots" in text or "…" in text:
        text = _PERIOD.sub(_repeating, _DOTS.sub(r"\\ldots ", text))
    if "^" in text and "_" in text:
        return _COMBINATIONS.sub(_combinations, text)
    return text


def _infix(text: str) -> str:
    """`{a \\over b}` as a fraction, the innermost first."""
    for _ in range(MAX_INFIX):
        match = _INFIX.search(text)
        if match is None:
            return text
        start, end = _group_around(text, match.start())
        name = "frac" if match[1] == "over" else "binom"
        command = f"\\{name}{{{text[start : match.start()].strip()}}}{{{text[match.end() : end].strip()}}}"
        text = text[:start] + command + text[end:]
    return text


def _group_around(text: str, at: int) -> tuple[int, int]:
    """Start and end of what the braces around the place `at` hold; the whole text where there
    are none.
    """
    depth = 0
    start = 0
    for index in range(at - 1, -1, -1):
        depth += _DEPTH_CHANGES.get(text[index], 0)
        if depth > 0:
            start = index + 1
            break
    depth = 0
    for index in range(at, len(text)):
        depth += _DEPTH_CHANGES.get(text[index], 0)
        if depth < 0:
            return start, index
    return start, len(text)


def _styled(match: re.Match[str]) -> str:
    if match[1] == "rm" and re.search("[A-Za-z]", match[2]):
        return f"\\text{{{match[2]}}}"
    return f" {match[2]} "


def _function(match: re.Match[str]) -> str:
    name = _FUNCTION_NAMES.get(match[1])
    return match[0] if name is None else f"\\{name} "


def _repeating(match: re.Match[str]) -> str:
    """`0.1\\overline{6}`, `0.\\dot{1}4285\\dot{7}`, `0.1(6)` as the fraction it is."""
    whole = match[1] or "0"
    prefix = match[2]
    if match[8]:  # in brackets
        period = match[8]
        if not match[1] and not prefix:
            return match[0]
    else:
        middle = match[5] or ""
        end = match[6] or match[7] or ""  # under the second dot
        period = (match[3] or match[4]) + middle + end
    if len(prefix) + len(period) > MAX_PERIOD:
        return match[0]
    value = Fraction(
        int(whole + prefix + period) - int(whole + prefix),
        (10 ** len(period) - 1) * 10 ** len(prefix),
    )
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _combinations(match: re.Match[str]) -> str:
    """`C_5^2` as a binomial coefficient, `A_5^2` as the number of arrangements."""
    below = match[2] or match[3] or match[8] or match[9]
    above = match[4] or match[5] or match[6] or match[7]
    are_numbers = below.isdigit() and above.isdigit()
    if are_numbers and int(below) < int(above):
        return match[0]
    if match[1] == "C":
        return f"\\binom{{{below}}}{{{above}}}"
    if are_numbers:
        return f"\\frac{{{below}!}}{{({below}-{above})!}}"
    return match[0]
