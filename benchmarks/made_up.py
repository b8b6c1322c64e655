"""Problems that never were, as many as wanted: word problems and LaTeX ones, each with words
and numbers of its own.
"""

import random

_WORDS = {
    line.partition(":")[0]: line.partition(":")[2].split()
    for line in """\
people: Ada Boris Chen Dana Emeka Farid Greta Hugo Ines Jamal Kaya Liam Mona Noor Otto Priya Quinn Rosa Sven Tara
things: apples bricks candles drums eggs flutes grapes hats inks jars kites lamps mugs nails pens quilts roses shells
places: harbour market school garden station museum bakery forest castle valley island village workshop library
acts: sells buys paints packs carries sorts repairs borrows collects counts ships plants stacks weighs lends
shapes: circle square triangle hexagon cube cone sphere cylinder rhombus trapezoid pentagon ellipse
greek: \\alpha \\beta \\theta \\pi \\omega \\lambda
which: largest smallest only second
do: Compute Evaluate Simplify Find""".splitlines()
}


def made_up(kind: str, number: int) -> str:
    """The problem of this kind and number: always the same, and (but for chance) unlike all
    others.
    """
    draw = random.Random(f"{kind} {number}")
    return draw.choice([_story, _story, _trade, _algebra, _figure, _sum])(draw)


def _pick(draw: random.Random, what: str) -> str:
    return draw.choice(_WORDS[what])


def _story(draw: random.Random) -> str:
    one, two = draw.sample(_WORDS["people"], 2)
    thing, other = draw.sample(_WORDS["things"], 2)
    a, b, c = (draw.randint(2, 999) for _ in range(3))
    return (
        f"{one} {_pick(draw, 'acts')} {a} {thing} near the {_pick(draw, 'places')}, and {two}'s"
        f" brother {_pick(draw, 'acts')} {b} {other} more than {one} does. If {c}% of the {other}"
        f" go to the {_pick(draw, 'places')}, how many {draw.choice([thing, other])} are left for"
        f" {two}?"
    )


def _trade(draw: random.Random) -> str:
    one, thing = _pick(draw, "people"), _pick(draw, "things")
    price = f"${draw.randint(2, 90)},{draw.randint(100, 999)}"
    return (
        f"At the {_pick(draw, 'places')}, a box of {draw.randint(3, 60)} {thing} costs {price}"
        f" while {_pick(draw, 'things')} cost ${draw.randint(2, 40)}.50 each. {one}"
        f" {_pick(draw, 'acts')} {draw.randint(2, 99)} boxes in {draw.randint(2, 12)} days. What"
        f" does {one} pay in all?"
    )


def _algebra(draw: random.Random) -> str:
    a, b, c, d, e, f = (draw.randint(2, 99) for _ in range(6))
    g, h = draw.sample(_WORDS["greek"], 2)
    return (
        f"Let $f(x) = \\frac{{{a}x^2 + {b}}}{{{c}}}$ for $x \\le {d}$ and let ${g} \\cdot {h} ="
        f" {e}^\\circ$. Find the {_pick(draw, 'which')} value of $\\sqrt{{f({f})}} + {g}$ over the"
        f" {_pick(draw, 'places')} interval."
    )


def _figure(draw: random.Random) -> str:
    one, two = draw.sample(_WORDS["shapes"], 2)
    a, b, c, d = (draw.randint(2, 400) for _ in range(4))
    return (
        f"A {one} with side $\\frac{{{a}}}{{{b}}}$ is drawn inside a {two} of perimeter"
        f" $\\text{{exactly }}{c} \\times {d}$ cm. What is the area of the {two} that lies outside"
        f" the {one} of {_pick(draw, 'people')}, in terms of ${_pick(draw, 'greek')}$?"
    )


def _sum(draw: random.Random) -> str:
    terms = " + ".join(str(draw.randint(2, 999)) for _ in range(draw.randint(3, 6)))
    return f"{_pick(draw, 'do')} ${terms} - {draw.randint(2, 99)}$ in base ${draw.randint(3, 30)}$."
