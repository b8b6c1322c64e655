r"""A gold changed in one digit, sign, index, bound, label, connective or in its order is
another answer.
"""

import re
from collections.abc import Iterator

import pytest

from shared.grading import grade

# Golds of the kinds that data sets hold: numbers, closed forms, formulas in letters, intervals,
# tuples, lists, matrices, equations, labelled values, units, words.
GOLDS_TEXT = r"""
17
-408
2309{,}417
0.0625
\frac{19}{23}
-\frac{7}{12}
3\frac{5}{8}
0.\overline{27}
4.1\overline{6}
5\sqrt{13}
\frac{7-\sqrt{29}}{6}
\frac{11\pi}{18}
3\ln 7 - 2
2\cdot 3^{25}-1
2019!+1
\binom{19}{7}
3-8i
e^{-3}
\log_{5} 12
\sin 23^\circ
x^3-4x+9
\frac{4n^2+3}{n+6}
2^{n+3}-5
(-1)^{n}\cdot 7
\lfloor \frac{n+2}{5} \rfloor
\lceil \frac{3n}{7} \rceil
|x-6|
\sqrt{x^2+4}
n!+3
3^{300}+2
x^{17}+x^{4}
(3,-7)
(2,5,-9)
[4,11)
(-\infty,-3]\cup(8,\infty)
-5 \le x < 13
x > 14
(1,6),(4,9)
2, 7, 23
\{3,8,21\}
6 \pm 2\sqrt{5}
x=4, y=-9
x=2 \text{ or } x=15
p=5 \text{ and } q=8
(a,b)=(6,13)
\begin{pmatrix} 3 & -5 \\ 7 & 2 \end{pmatrix}
\begin{pmatrix} 8 \\ -3 \end{pmatrix}
a_n = 3n+5
a_{n+1} = 4n-3
S_{2n} = n^2+7
f(x)=2x^3-5
f'(x)=6x^2+4
f^{-1}(x)=\frac{x-7}{3}
P(X>4)=0.38
P(A|B)=\frac{5}{14}
\bar{x}=7.5
\angle BAC = 38^\circ
AB = 4\sqrt{7}
y = 5x-8
x^2+y^2=34
\frac{\pi}{6}+2k\pi, k \in \mathbb{Z}
n \equiv 5 \pmod{12}
x = 7k+3, k \in \mathbb{Z}
18\text{ cm}^2
45\text{ km/h}
6\text{ million}
3 \text{ hours and } 25 \text{ minutes}
36^\circ
65\%
3:7
2:5:9
8:45 \text{ a.m.}
2013_7
\text{Wednesday}
p \land (q \lor r)
\bar{A}\cap B
n^2 \text{ for all } n \ge 3
A_9^3
C_{11}^{4}
5, 12, \ldots, 89
"""
GOLDS = GOLDS_TEXT.strip().splitlines()
# A pattern => what takes its place.
SWAPS_TEXT = r"""
\\le(?![a-z]) => <
\\ge(?![a-z]) => >
< => \\le
> => \\ge
< => >
> => <
\\cup => \\cap
\\cap => \\cup
\\land => \\lor
\\lor => \\land
\\text\{ or \} => \\text{ and }
\\text\{ and \}(?=q) => \\text{ or }
\\lfloor(.*)\\rfloor => \\lceil\1\\rceil
\\lceil(.*)\\rceil => \\lfloor\1\\rfloor
\|([^|]+)\| => (\1)
\\sin => \\cos
\\ln => \\log_2
pmatrix => vmatrix
\\bar\{(\w)\} => \1
\\overline\{(\d+)\} => \1
\\sqrt\{ => {
! =>
_n(?![a-z]) => _{n-1}
_\{n\+1\} => _n
_\{2n\} => _n
f\(x\) => f(-x)
f\(x\) => f(x+1)
f\( => f'(
f'\( => f(
\^\{-1\}\(x\) => (x)
P\(X => P(Y
A\|B => B|A
BAC => ABC
^AB => AC
\(a,b\) => (b,a)
million => billion
\\text\{ million\} =>
cm\}\^2 => cm}^3
cm => m
km/h => m/s
a\.m\. => p.m.
Wednesday => Thursday
\\pi =>
2k => k
\[ => (
\)$ => ]
\\pm => +
i$ =>
x\^2 => x^3
x(?=\^) => y
n(?=\+) => m
"""
SWAPS = [tuple(map(str.strip, line.split("=>"))) for line in SWAPS_TEXT.strip().splitlines()]
ORDERED = re.compile(r"^(\(a,b\)=)?\((-?\d+),(-?\d+)(.*)\)$")


def mutations(gold: str) -> Iterator[str]:
    """Every spelling with one thing changed that makes another answer of it."""
    for at, char in enumerate(gold):
        if char.isdigit():
            yield f"{gold[:at]}{(int(char) + 1) % 10}{gold[at + 1 :]}"
            yield f"{gold[:at]}{(int(char) + 5) % 10}{gold[at + 1 :]}"
        elif char in "+-" and gold[at - 1 : at] not in ("\\",) and gold != "-0":
            yield gold[:at] + {"+": "-", "-": "+"}[char] + gold[at + 1 :]
    if gold[0].isdigit() or gold.startswith(("\\frac", "\\sqrt", "x^")):
        yield "-" + gold
    for pattern, other in SWAPS:
        changed = re.sub(pattern, other, gold, count=1)
        if changed != gold:
            yield changed
    if match := ORDERED.match(gold):
        yield f"{match[1] or ''}({match[3]},{match[2]}{match[4]})"


def same_by_nature(gold: str, changed: str) -> bool:
    """A step back through all integers is a step forward."""
    return gold.startswith(r"\frac{\pi}{6}+2k") and changed.startswith(r"\frac{\pi}{6}-2k")


@pytest.mark.parametrize("gold", GOLDS)
def test_no_mutation_of_a_gold_is_correct(gold: str) -> None:
    survivors = []
    for changed in set(mutations(gold)):
        if same_by_nature(gold, changed):
            continue
        for answer, right in ((changed, gold), (gold, changed)):
            verdict = grade(
                f"So \\boxed{{{answer}}}.", right, "Find the answer.", timeout_seconds=60
            )
            if verdict.verdict == "correct":
                survivors.append((right, answer, verdict.reason))
    assert not survivors


@pytest.mark.parametrize("gold", GOLDS)
def test_a_gold_in_another_dress_is_correct(gold: str) -> None:
    for answer in (
        gold,
        f"\\displaystyle {gold}",
        gold.replace("\\frac", "\\dfrac") + " ",
        f"{gold}.",
    ):
        assert grade(f"So $\\boxed{{{answer}}}$.", gold, timeout_seconds=60).verdict == "correct"


def test_every_gold_has_mutations() -> None:
    assert not [gold for gold in GOLDS if len(set(mutations(gold))) < 1]
