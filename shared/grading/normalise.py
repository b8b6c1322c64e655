r"""One spelling for one answer: Unicode, LaTeX spacing, text commands, delimiters, unmistakable
thousands separators.

`clean` keeps the meaning and the order of an answer and is linear in its length. What it writes:
text stands in `\text{...}`, degrees as `°`, money as the sign `¤` (dollars), `€`, `£`, `¥` in front
of the number.
"""

import re
import unicodedata

from shared.grading import notation, spellings

_DEGREE = re.compile(
    r"\^\s*(?:\\circ\b|\{\s*\\circ\s*\}|°)|\\degrees?\b|\^\s*\{\s*°\s*\}|\^\s*o(?![A-Za-z])|\\circ\b(?=\s*[CF]?$)"
)
_SIZES = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|middle)(?![A-Za-z])\.?|\\(?:display|text|script)style\b|\\limits\b"
    r"|\\phantom\s*(?:\{[^{}]*\}|-)?"
)
_TEXT = re.compile(
    r"\\(?:text|mbox|hbox|textbf|textit|textrm|textsf|texttt|textnormal|mathrm|mathsf|mathtt|operatorname\*?|rm|emph)"
    r"\s*\{([^{}]*)\}"
)
_PLAIN = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|mathit|mathcal|underline|vec(?!\s*\{[A-Z]{2}\})|overrightarrow(?!\s*\{[A-Z]{2}\}))\s*\{([^{}]*)\}"
)
# A bar over points names their segment. Over anything else it says something: a conjugate, a mean,
# a negation.
_BARRED = re.compile(
    r"\\(overline|bar|widebar|hat|widehat)\s*(?:\{([^{}]*)\}|(?!\{)\s*([A-Za-z\d]))"
)
_NUMBER_SET = re.compile(r"\\in\s*([ZNRQ])(?![A-Za-z])")
_SPACING = re.compile(r"(\\\\)|\\[,;:! ]|~")  # `\\\\` ends a row of a matrix
_WHOLE_NUMBER = re.compile(r"-?\d+", re.ASCII)
_SPACE_OF_STYLE = re.compile(r"(?<!\d) | (?!\d)")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!|,\\,|\\,|\\ |\{\\,\}|'(?=\d{3}))\s*(?=\d{3}(?!\d))")
_BARE_FUNCTIONS = re.compile(
    r"(?<![\\A-Za-z{])(sqrt|pi|sin|cos|tan|cot|ln|log|exp|infty|infinity|arcsin|arccos|arctan)(?![A-Za-z])"
)
_SCIENTIFIC = re.compile(r"(?<![\w.\\])(\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})(?![\w.])")
_TEXT_COMMAND = re.compile(r"\\text\{([^{}]*)\}")
_NO_WORD = re.compile(r"\\text\{|[{}]|\\ ")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_BRACKET_OF_MATHEMATICS = re.compile(r"\\[()\[\]]")
_DOLLAR_OF_MONEY = re.compile(r"\$(?=\s*[-\d.¤])")
_STARS_OF_A_POWER = re.compile(r"(?<=\w)\*\*(?=[\w({-])")
_CIRCLED = re.compile(r"[①-⑳]")
_LEADING_NUMBER = re.compile(r"\s*([-+]?[¤\d][\d.,/ ]*)(?=[ A-Za-z])(.*)$", re.DOTALL)
_CAPITALS_AND_DIGITS = re.compile(r"[A-Z\d]*$")
_SUPERSCRIPTS = re.compile(f"[{''.join(spellings.SUPERSCRIPTS)}]+")
_SUBSCRIPTS = re.compile(f"[{''.join(spellings.SUBSCRIPTS)}]+")
_ROOT_SIGN = re.compile(r"([√∛])\s*(\d+(?:\.\d+)?|[A-Za-z]|\(([^()]*)\))")
_DEPTH_CHANGES = {"{": 1, "}": -1}
_ARTICLES = frozenset(("a", "an", "the"))
_ASCII_RELATIONS = (
    ("<=", "\\le "),
    (">=", "\\ge "),
    ("!=", "\\ne "),
    ("=<", "\\le "),
    ("=>", "\\ge "),
)


def clean(text: str) -> str:
    """`text` in the one spelling. At most 10,000 characters are expected; time and size are
    linear in them.
    """
    if _WHOLE_NUMBER.fullmatch(text):  # what most answers are
        return text
    text = notation.from_plain_tex(
        _delimiters(_unicode(" ".join(text.replace("\x00", "").split())))
    )
    if "\\" in text:
        text = _without_commands(text)
    text = text.replace("{:}", ":")
    text = _THOUSANDS.sub("", text)
    text = _DEGREE.sub("°", text.replace("~", " "))
    text = _SCIENTIFIC.sub(r"\1\\cdot 10^{\2}", text)
    for ascii_form, command in _ASCII_RELATIONS:
        text = text.replace(ascii_form, command)
    text = _BARE_FUNCTIONS.sub(
        lambda match: "\\" + {"infinity": "infty"}.get(match[1], match[1]), text
    )
    text = " ".join(text.split()).replace(" °", "°")
    return _strip(text)


def _without_commands(text: str) -> str:
    """Without fonts, sizes and spacing; commands of one meaning in one spelling."""
    text = _BARRED.sub(_barred, _PLAIN.sub(r"\1", _PLAIN.sub(r"\1", text)))
    text = _TEXT.sub(_text, text)
    text = text.replace("\\%", "%").replace("\\_", "_").replace("\\#", "#").replace("\\&", "&")
    text = _THOUSANDS.sub("", text)
    text = _SIZES.sub(" ", text)
    text = _SPACING.sub(lambda match: match[1] or " ", text)
    return _NUMBER_SET.sub(r"\\in \\mathbb{\1}", _COMMAND.sub(_synonym, text))


def squash(text: str) -> str:
    """For comparing spellings: no space except between two digits ("1 4/5" must not become
    "14/5").
    """
    if " " in text:
        return _SPACE_OF_STYLE.sub("", text)
    return text


def without_text(text: str) -> str:
    """The same with text commands taken off: `5\\text{ m}` becomes `5 m`."""
    if "\\text" in text:
        return _TEXT_COMMAND.sub(r" \1 ", text).strip()
    return text


def words(text: str) -> tuple[str, ...]:
    """The words of a text answer in lower case, without punctuation and without articles in
    front of other words.
    """
    plain = _NO_WORD.sub(" ", text).casefold()
    all_words = _WORD.findall(plain)
    following = [*all_words[1:], ""][: len(all_words)]
    return tuple(
        word
        for word, next_word in zip(all_words, following, strict=True)
        if word not in _ARTICLES or len(next_word) < 3
    )


def _unicode(text: str) -> str:
    if text.isascii():
        return text
    text = _SUPERSCRIPTS.sub(_superscript, text)
    text = _SUBSCRIPTS.sub(_subscript, text)
    text = text.replace("π", "\\pi ")
    text = _ROOT_SIGN.sub(_root, text)
    text = notation.from_han(text.translate(spellings.SYMBOLS))
    return "".join(char if char.isascii() else _one_char(char) for char in text)


def _superscript(match: re.Match[str]) -> str:
    digits = map(spellings.SUPERSCRIPTS.__getitem__, match[0])
    return "^{" + "".join(digits) + "}"


def _subscript(match: re.Match[str]) -> str:
    digits = map(spellings.SUBSCRIPTS.__getitem__, match[0])
    return "_{" + "".join(digits) + "}"


def _root(match: re.Match[str]) -> str:
    command = "\\sqrt" if match[1] == "√" else "\\sqrt[3]"
    radicand = match[3] or match[2]
    return f"{command}{{{radicand}}}"


def _one_char(char: str) -> str:
    """Digits of any script, vulgar fractions, full-width and mathematical letters in ASCII;
    else the character.
    """
    if unicodedata.decomposition(char).startswith("<fraction>"):
        above, _, below = unicodedata.normalize("NFKC", char).partition("\u2044")
        return f"\\frac{{{above}}}{{{below}}}" if below else char
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if unicodedata.decomposition(char).startswith(("<wide>", "<font>")):
        return unicodedata.normalize("NFKC", char).translate(spellings.SYMBOLS)
    return char


def _delimiters(text: str) -> str:
    """Without `$`, `\\(`, `\\[` around mathematics and `**` around it; a dollar sign that means
    money becomes `¤`.
    """
    text = text.replace("\\$", "¤")
    text = text.replace("\\textdollar", "¤")
    text = _BRACKET_OF_MATHEMATICS.sub(" ", text)
    text = text.replace("$$", " ")
    if text.count("$") % 2:
        text = _DOLLAR_OF_MONEY.sub("¤", text, count=1)
    text = text.replace("$", " ").strip()
    if text.startswith("**"):
        text = text[2:]
    if text.endswith("**"):
        text = text[:-2]
    return _STARS_OF_A_POWER.sub("^", text)


def _barred(match: re.Match[str]) -> str:
    inner = (match[2] or match[3] or "").strip()
    if re.fullmatch(r"[A-Z]{2,4}" if "hat" not in match[1] else r"[ijk]|[A-Z]{2,4}", inner):
        return inner
    return f"\\{'hat' if 'hat' in match[1] else 'bar'}{{{inner}}}"


def _text(match: re.Match[str]) -> str:
    """Words stay text; numbers and formulas inside a text command are taken out of it."""
    inner = match[1]
    has_words = any(map(str.isalpha, inner)) or _CIRCLED.search(inner)
    if "=" in inner or not has_words:
        return f" {inner} "
    leading = _LEADING_NUMBER.match(inner)
    if leading and not _CAPITALS_AND_DIGITS.match(inner):
        return f" {leading[1]}\\text{{{leading[2]}}}"
    return f"\\text{{{inner}}}"


def _synonym(match: re.Match[str]) -> str:
    name = match[1]
    synonym = spellings.SYNONYMS.get(name)
    if synonym is None:
        return match[0]
    if synonym[0].isalpha():
        return "\\" + synonym
    return synonym


def _strip(text: str) -> str:
    """Without white space, final punctuation and braces around the whole."""
    while True:
        text = text.strip().rstrip(".,;:。").rstrip()
        if (
            len(text) > 1
            and text[0] == "{"
            and text[-1] == "}"
            and text[-2] != "\\"
            and _closes_at_end(text)
        ):
            text = text[1:-1]
        else:
            if not text.endswith("\\\\"):
                return text.removesuffix("\\").rstrip()
            return text


def _closes_at_end(text: str) -> bool:
    depth = 0
    for index, char in enumerate(text):
        depth += _DEPTH_CHANGES.get(char, 0)
        if depth == 0:
            return index == len(text) - 1
    return False
