r"""Cleaned LaTeX or plain text read as one expression: a small recursive-descent parser with a
bounded depth.

It reads what final answers are made of (numbers, mixed numbers, fractions, roots, powers,
factorials, binomials, named functions, letters, Greek letters, subscripts) and refuses everything
else: a partial reading would make wrong answers equal.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from shared.grading.tokens import Tokens, Unreadable

MAX_LENGTH = 2_000
MAX_DEPTH = 40
MAX_DIGITS = 400  # of one number; longer ones are compared as digits only

_FUNCTIONS_TEXT = """
sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp lfloor lceil abs max min gcd lcm det
"""
FUNCTIONS = frozenset(_FUNCTIONS_TEXT.split())
_GREEK_TEXT = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau
upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell infty
"""
_GREEK = frozenset(_GREEK_TEXT.split())


_OPENINGS = (("other", "("), ("other", "{"), ("other", "["))
_CLOSINGS = {"(": ")", "[": "]", "{": "}"}
_FRACTION_BEHIND = re.compile(
    r"\s*\\frac\s*(?:\{\s*(\d{1,9})\s*\}|(\d))\s*(?:\{\s*(\d{1,9})\s*\}|(\d))(?!\s*\^)"
    r"|\s+(\d{1,9})\s*/\s*(\d{1,9})(?![\d.])"
)


@dataclass(frozen=True, slots=True)
class Node:
    """`op` is num (`value`), sym (`name`), add, mul, div, pow, neg, fact, binom, root, or a
    function's name.
    """

    op: str
    args: tuple["Node", ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


def parse(text: str) -> Node:
    """The expression that the whole text is. Errors: `Unreadable`."""
    if len(text) > MAX_LENGTH:
        raise Unreadable(f"longer than {MAX_LENGTH} characters")
    reader = _Reader(text)
    node = reader.sum(0)
    if reader.peek() is not None:
        raise Unreadable(f"stops at {text[reader.position : reader.position + 20]!r}")
    return node


def number(value: int | Fraction) -> Node:
    """A number as an expression."""
    return Node("num", value=Fraction(value))


_DEGREE = Node("div", (Node("sym", name="\\pi"), number(180)))


def _value(digits: str) -> Fraction:
    if len(digits) > MAX_DIGITS:
        raise Unreadable("a number with too many digits")
    return Fraction(digits if digits[-1] != "." else digits[:-1])


def _part_of_one(match: re.Match[str]) -> Fraction:
    """The fraction of a mixed number."""
    above = match[1] or match[2] or match[5]
    below = match[3] or match[4] or match[6]
    if int(below) == 0:
        raise Unreadable("division by zero")
    return Fraction(int(above), int(below))


def _has_letters(node: Node) -> bool:
    if _is_letter(node):
        return True
    return any(map(_has_letters, node.args))


def _is_letter(node: Node) -> bool:
    """Whether a node is a name that stands for an unknown value."""
    return node.op == "sym" and node.name not in ("i", "e", "\\pi")


class _Reader(Tokens):
    """A method for each level of the grammar, from sums down to atoms."""

    def sum(self, depth: int) -> Node:
        """Terms with + and - between them."""
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        terms = [self.signed_product(depth)]
        sign = self.accept("+", "-")
        while sign is not None:
            term = self.signed_product(depth)
            terms.append(Node("neg", (term,)) if sign == "-" else term)
            sign = self.accept("+", "-")
        if len(terms) == 1:
            return terms[0]
        return Node("add", tuple(terms))

    def signed_product(self, depth: int) -> Node:
        """A product behind any number of signs."""
        minus_count = 0
        sign = self.accept("+", "-")
        while sign is not None:
            if sign == "-":
                minus_count += 1
            sign = self.accept("+", "-")
        node = self.product(depth)
        if minus_count % 2:
            return Node("neg", (node,))
        return node

    def product(self, depth: int) -> Node:
        """Factors with an operator between them, or with nothing."""
        node = self.power(depth)
        while True:
            if self.accept("cdot", "times", "*"):
                node = Node("mul", (node, self.factor(depth)))
            elif self.accept("/"):
                node = Node("div", (node, self.factor(depth)))
            elif self.starts_factor():
                # "2 3" is no product; "(2) 3" and "\\frac{1}{2} 3" are.
                last_sign = self.text[: self.position].rstrip()[-1:]
                if self.peek_kind() == "number" and last_sign not in (")", "}", "]"):
                    raise Unreadable("a number behind another factor")
                node = Node("mul", (node, self.power(depth)))
            else:
                return node

    def factor(self, depth: int) -> Node:
        """A factor behind an operator: it may carry a sign."""
        if self.accept("-"):
            return Node("neg", (self.power(depth),))
        return self.power(depth)

    def starts_factor(self) -> bool:
        """Whether the next token can begin a factor."""
        token = self.peek()
        if token is None:
            return False
        kind, value = token
        if kind == "number":
            return True
        if kind == "command":
            return value not in {"rfloor", "rceil", "cdot", "times", "text"}
        return value.isalpha() or value in {"(", "[", "{"}

    def power(self, depth: int) -> Node:
        """An atom with what stands behind it: powers, `!`, `°`."""
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        node = self.atom(depth + 1)
        while True:
            if self.accept("^"):
                node = Node("pow", (node, self.exponent(depth + 1)))
            elif self.accept("!"):
                node = Node("fact", (node,))
            elif self.accept("°"):
                node = Node("mul", (node, _DEGREE))
            else:
                return node

    def exponent(self, depth: int) -> Node:
        """What stands behind `^`; a tower of powers is read from the right."""
        if self.accept("-"):
            return Node("neg", (self.exponent(depth + 1),))
        # A bare number is the whole exponent: no mixed number begins in it ("2^3\\frac{1}{2}").
        if self.peek_kind() == "number":
            _, digits = self.take()
            node = number(_value(digits))
        else:
            node = self.atom(depth + 1)
        if self.accept("^"):
            return Node("pow", (node, self.exponent(depth + 1)))
        return node

    def atom(self, depth: int) -> Node:
        """A number, a letter, a command with its arguments, or a group."""
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        kind, value = self.take()
        if kind == "number":
            return self.mixed(value)
        if kind == "command":
            return self.command(value, depth)
        if value in ("(", "[", "{"):
            node = self.sum(depth + 1)
            self.expect(_CLOSINGS[value])
            return node
        if value == "|":
            node = self.sum(depth + 1)
            self.expect("|")
            return Node("abs", (node,))
        if value.isalpha():
            return Node("sym", name=value + self.subscript())
        raise Unreadable(f"{value!r} is no part of an expression")

    def mixed(self, digits: str) -> Node:
        """A number, with the fraction that may follow it: `1\\frac{4}{5}` and `1 4/5` are sums,
        never products.
        """
        whole = _value(digits)
        if not digits.isdigit():
            return number(whole)  # behind 1.5 no fraction is a part of it
        match = _FRACTION_BEHIND.match(self.text, self.position)
        if match is None:
            return number(whole)
        self.position = match.end()
        return number(whole + _part_of_one(match))

    def command(self, name: str, depth: int) -> Node:
        """What the command `name`, which is passed over already, begins."""
        if name in ("frac", "binom"):
            above = self.argument(depth)
            below = self.argument(depth)
            return Node("div" if name == "frac" else "binom", (above, below))
        if name == "sqrt":
            degree = number(2)
            if self.accept("["):
                degree = self.sum(depth + 1)
                self.expect("]")
            return Node("root", (self.argument(depth), degree))
        if name == "pi" or name in _GREEK:
            return Node("sym", name="\\" + name + self.subscript())
        if name in ("bar", "hat"):
            return self.barred(name, depth)
        if name in ("lfloor", "lceil"):
            node = self.sum(depth + 1)
            self.expect("rfloor" if name == "lfloor" else "rceil")
            return Node("floor" if name == "lfloor" else "ceil", (node,))
        if name in FUNCTIONS:
            return self.function(name, depth)
        raise Unreadable(f"\\{name} is no part of an expression")

    def barred(self, name: str, depth: int) -> Node:
        """A letter with a bar is another name; a bar over a number is its conjugate. Over
        letters it may be either.
        """
        node = self.argument(depth)
        if _is_letter(node):
            return Node("sym", name=f"\\{name} {node.name}{self.subscript()}")
        is_conjugate = name == "bar" and not _has_letters(node)
        return Node("conj" if is_conjugate else name, (node,))

    def argument(self, depth: int) -> Node:
        """The argument of a command: a group, or as in TeX a single digit, letter or command."""
        token = self.peek()
        if token is not None and token[0] == "number":
            digit = self.text[self.position :].lstrip()[0]
            if not digit.isdigit():
                raise Unreadable("an argument that is no digit, letter or group")
            self.position = self.text.index(digit, self.position) + 1
            return number(_value(digit))
        return self.atom(depth + 1)

    def function(self, name: str, depth: int) -> Node:
        """A named function: `\\sin^2 x`, `\\log_2 8`, `\\sin^{-1} x`."""
        base: tuple[Node, ...] = ()
        if self.accept("_"):
            base = (self.argument(depth),)
        exponent = self.exponent(depth + 1) if self.accept("^") else None
        argument = self.function_argument(depth + 1)
        is_minus_one = exponent == Node("neg", (number(1),))
        if is_minus_one and name in ("sin", "cos", "tan"):
            return Node(f"arc{name}", (argument,))
        node = Node(name, (argument, *base))
        if exponent is None:
            return node
        return Node("pow", (node, exponent))

    def function_argument(self, depth: int) -> Node:
        """`\\sin 2x` takes `2x`; `\\sin(x) y` takes `x`; `\\sin x \\cos x` takes `x`."""
        has_brackets = self.peek() in _OPENINGS
        node = self.factor(depth)
        while not has_brackets and self.starts_factor():
            token = self.peek()
            if token is None or token[1] in FUNCTIONS or token == ("other", "("):
                break
            node = Node("mul", (node, self.power(depth)))
        if not has_brackets and self.accept("/"):
            node = Node("div", (node, self.power(depth)))
        return node
