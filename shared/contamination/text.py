"""A problem's text as screening sees it: the words, numbers and signs that remain when style is
taken away.

Case, spacing, punctuation, dollar signs, `\\dfrac` against `\\frac` against `/`, `\\left(`, Unicode
signs against LaTeX's, thousands separators: none of them makes another problem. A changed word,
number, function or sign does.

    >>> tokens("Compute $\\\\dfrac{1}{2}+\\\\sin 60^\\\\circ$.")
    ['compute', '1', '2', '+', 'sin', '60', 'degree']
"""

import re
import unicodedata

_SUPERSCRIPTS = str.maketrans({**{c: f" {d} " for d, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}, "⁻": "-"})
_SUBSCRIPTS = str.maketrans({c: f" {d} " for d, c in enumerate("₀₁₂₃₄₅₆₇₈₉")})
_SIGNS = {
    "−": "-",
    "×": " ",
    "·": " ",
    "⋅": " ",
    "∙": " ",
    "÷": " ",
    "⁄": " ",
    "°": " degree ",
    "%": " percent ",
    "√": " sqrt ",
    "≤": "<=",
    "≥": ">=",
    "≠": " neq ",
    "±": " pm ",
    "∞": " infty ",
    "∈": " in ",
    "∠": " angle ",
    "△": " triangle ",
    "∆": " triangle ",
    "⊥": " perp ",
    "∥": " parallel ",
    "∪": " cup ",
    "∩": " cap ",
    "⊂": " subset ",
    "→": " to ",
    "∑": " sum ",
    "∏": " prod ",
    "∫": " int ",
    "≡": " equiv ",
    "≈": " approx ",
    "α": " alpha ",
    "β": " beta ",
    "γ": " gamma ",
    "δ": " delta ",
    "ε": " epsilon ",
    "θ": " theta ",
    "λ": " lambda ",
    "μ": " mu ",
    "π": " pi ",
    "ρ": " rho ",
    "σ": " sigma ",
    "τ": " tau ",
    "φ": " phi ",
    "ϕ": " phi ",
    "ω": " omega ",
    "ℝ": " r ",
    "ℤ": " z ",
    "ℕ": " n ",
    "ℚ": " q ",
    "ℂ": " c ",
}
_UNICODE = str.maketrans(_SIGNS)

# Commands that only style or separate, and those with another spelling; any other command is a word
# by its own name.
_STYLE_NAMES = (
    "left right big bigg bigl bigr biggl biggr displaystyle textstyle text textbf textit textrm"
    " texttt textsc emph mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak boldsymbol bm"
    " operatorname mbox hbox hspace vspace phantom quad qquad enspace thinspace cdot times div frac"
    " dfrac tfrac cfrac over dots ldots cdots vdots ddots dotsc dotsb dotsm limits nolimits"
    " nonumber noindent newline hline item label tag mathop mathord middle mid mathstrut strut"
    " allowbreak overline bar underline underbrace overbrace vec hat widehat widetilde tilde rm bf"
    " it cal sf tt em centering par begin end lvert rvert vert rfloor rceil"
)
_STYLE = frozenset(_STYLE_NAMES.split())
_SPELLINGS = {
    "le": "<=",
    "leq": "<=",
    "leqslant": "<=",
    "ge": ">=",
    "geq": ">=",
    "geqslant": ">=",
    "lt": "<",
    "gt": ">",
    "ne": "neq",
    "circ": "degree",
    "textdegree": "degree",
    "varphi": "phi",
    "varepsilon": "epsilon",
    "vartheta": "theta",
    "rightarrow": "to",
    "longrightarrow": "to",
    "infinity": "infty",
    "lfloor": "floor",
    "lceil": "ceil",
    "bigtriangleup": "triangle",
    "tbinom": "binom",
    "dbinom": "binom",
    "choose": "binom",
    "pmod": "mod",
    "bmod": "mod",
    "bigcup": "cup",
    "bigcap": "cap",
    "land": "wedge",
    "lor": "vee",
}

LOOKED_AT = 20_000  # characters: no problem is longer, and no text may hold a run up
_FIGURES = re.compile(
    r"\[asy\].*?(?:\[/asy\]|\Z)|\\begin\{(asy|tikzpicture)\}.*?(?:\\end\{\1\}|\Z)|!\[[^\]]{0,200}\]\([^)]{0,500}\)",
    re.S | re.I,
)
_LABEL = re.compile(  # "Problem 12.", "**Question:**", "(3) ", "7. "
    r"\A[\s>*#_]*(?:(?:problem|question|exercise|example|q)\s*(?:\d{1,4}\s*)?[.:)*\]]+|[(\[]?\d{1,3}[.)\]:])[*_]*\s+",
    re.I,
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-zA-Z]+\*?\}")
_SHORT_FRACTION = re.compile(r"(\\[dtc]?frac)\s*(\d)\s*(\d)")
_COMMAND = re.compile(r"\\([a-zA-Z]+|.)", re.S)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)?|[+=<>]|(?<![a-z])-|-(?![a-z\s])|[^\W\d_a-z]")
_SIGN_TOKENS = frozenset("+-=<>")


def _command(match: re.Match[str]) -> str:
    name = match[1]
    if not name.isalpha():
        return "" if name in "!," else " " if name not in "%" else "%"
    if name in _STYLE:
        return " "
    return f" {_SPELLINGS.get(name, name)} "


def tokens(text: str) -> list[str]:
    """Words, numbers and the signs + - = < > of `text`, in order; what is style or punctuation
    is gone.
    """
    text = text[:LOOKED_AT].lower()
    if not text.isascii():
        text = text.translate(_SUPERSCRIPTS).translate(_SUBSCRIPTS).translate(_UNICODE)
        text = unicodedata.normalize("NFKC", text).translate(_UNICODE)
    if "\\" in text:
        if "frac" in text:
            text = _SHORT_FRACTION.sub(r"\1 \2 \3", text)
        text = _ENVIRONMENT.sub(" ", text)
        text = _COMMAND.sub(_command, text)
    if "'" in text or "’" in text:
        text = text.replace("'", "").replace(
            "’", ""
        )  # team's, teams, team’s: one word whatever became of the mark
    if "%" in text:
        text = text.replace("%", " percent ")
    if "," in text:
        text = _THOUSANDS.sub("", text.replace("{,}", ","))
    return _TOKEN.findall(text)


def body(text: str) -> str:
    """The text without the drawing code and image links that it carries, and without "Problem
    12." before it.
    """
    text = text[:LOOKED_AT]
    if "[" in text or "\\begin" in text:
        text = _FIGURES.sub(" ", text)
    return _LABEL.sub("", text, count=1)


def words(found: list[str]) -> list[str]:
    """The tokens that n-grams are made of: no signs."""
    return [token for token in found if token not in _SIGN_TOKENS]


def masked(found: list[str]) -> list[str]:
    """The tokens with every number replaced by one mark: what problems share that differ in
    their numbers.
    """
    return ["#" if token[0].isdigit() else token for token in found]


def squeeze(found: list[str]) -> str:
    """Words with nothing between them (a hyphen, a space or neither is style), numbers still
    apart from each other.
    """
    parts: list[str] = []
    for token in found:
        if parts and token[0].isdigit() and parts[-1][0].isdigit():
            parts.append(" ")
        parts.append(token)
    return "".join(parts)
