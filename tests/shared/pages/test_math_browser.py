"""Formulas in a real browser: they become MathML, hostile ones become text, none takes the
page's time or names.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.pages import document, math_script
from tests.browser_page import watched_tab

HOSTILE = '</script><script>window.owned=1</script><img src=x onerror="window.owned=1">'

RENDER = """(text) => {
  const holder = document.getElementById("holder");
  const begun = performance.now();
  holder.replaceChildren(renderText(text));
  holder.getBoundingClientRect();
  return performance.now() - begun;
}"""


@pytest.fixture(scope="module")
def tab(chromium: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """A page with the formula script and an empty place for text: one for all tests, since each
    renders into the same place anew and a page that one of them broke fails the rest.
    """
    path = tmp_path_factory.mktemp("formulas") / "page.html"
    path.write_text(document("t", "<div id=holder></div><p id=target></p>", script=math_script()))
    with watched_tab(chromium) as page:
        page.goto(path.as_uri())
        yield page


@pytest.mark.parametrize(
    "tex",
    [
        r"\text{HOSTILE}",
        r"\boxed{HOSTILE}",
        r"\mathbb{HOSTILE}",
        r"\href{javascript:window.owned=1}{x}",
        r"\url{javascript:window.owned=1}",
        r"\includegraphics{file:///etc/passwd}",
        r"\htmlData{onclick=window.owned=1}{x}",
        r"\class{x\" onclick=\"window.owned=1}{x}",
        r"\style{background:url(file:///x)}{x}",
        r"\color{red;background:url(file:///x)}x",
        r"\textcolor{expression(HOSTILE)}{x}",
        r"\begin{array}{HOSTILE} x \end{array}",
        r"\tag{HOSTILE} x",
        r"\operatorname{HOSTILE}",
        r"\unicode{0}",
    ],
)
@pytest.mark.parametrize("frame", ["${}$", "$${}$$", r"\({}\)", r"\[{}\]"])
def test_hostile_formulas_make_no_element_but_mathml(tab: Any, tex: str, frame: str) -> None:
    text = frame.replace("{}", tex.replace("HOSTILE", HOSTILE))
    tab.evaluate(RENDER, text)
    assert tab.evaluate("window.owned") is None
    assert (
        tab.evaluate("document.querySelectorAll('#holder :is(img, script, svg, iframe, a)').length")
        == 0
    )
    assert (
        tab.evaluate("document.querySelectorAll('#holder :is([href], [src], [onclick])').length")
        == 0
    )


def test_a_label_does_not_take_a_name_of_the_page(tab: Any) -> None:
    tab.evaluate(RENDER, r"$$\label{target} x \tag{target}$$ and $\label{holder} y$")
    assert tab.evaluate("document.querySelectorAll('#target').length") == 1
    assert tab.evaluate("document.querySelectorAll('#holder').length") == 1


@pytest.mark.parametrize(
    "tex",
    [
        r"\def\a{\a\a}\a",
        r"\def\a{xx}\def\b{\a\a}\def\c{\b\b}\def\d{\c\c}\def\e{\d\d}\e\e\e\e\e\e\e\e",
        "{" * 1900 + "x" + "}" * 1900,
        r"\sqrt{" * 600 + "x" + "}" * 600,
        r"\frac{1}{" * 400 + "x" + "}" * 400,
        "x" + "^{x" * 900 + "}" * 900,
        r"\left(" * 500 + "x" + r"\right)" * 500,
        "x" * 4000,
        r"\rule{99999999em}{99999999em}",
        r"\kern99999999em x",
        r"\begin{array}{" + "c" * 1500 + "}" + "&" * 1400 + r"\end{array}",
    ],
)
def test_no_formula_holds_up_the_page(tab: Any, tex: str) -> None:
    milliseconds = tab.evaluate(RENDER, f"before ${tex}$ after")
    assert milliseconds < 2000
    assert tab.inner_text("#holder").startswith("before")
    assert tab.evaluate("document.getElementById('holder').scrollHeight") < 20_000


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        (r"$\frac{1}{2}$", "mfrac"),
        (r"\(x^2_1\)", "msubsup"),
        (r"\[\sqrt[3]{8} = 2\]", "mroot"),
        (r"so \boxed{\dfrac{3}{4}} it is", ".boxed"),
        (r"$$a \le b$$", "math[display=block]"),
        (r"$\begin{align*} a &= b \\ &= c \end{align*}$", "mtable"),
        (r"it costs $4\$ + 5\$$ in all", "math"),
        (r"\( 2 \times $500 = $1000 \)", "math"),
        (r"${n \choose k}$", "mfrac"),
        (r"$15\mbox{ cm}^2$", "math"),
        (r"$\overarc{AB}$", "mover"),
    ],
)
def test_what_people_write_is_drawn(tab: Any, text: str, selector: str) -> None:
    tab.evaluate(RENDER, text)
    assert tab.locator(f"#holder {selector}").count() >= 1
    assert tab.locator("#holder .tex").count() == 0


@pytest.mark.parametrize(
    "text", ["costs $5 and $7", "She earns $12*5=$<<12*5=60>>60.", "a ** b ** c", "100%"]
)
def test_money_and_plain_text_stay_as_they_are(tab: Any, text: str) -> None:
    tab.evaluate(RENDER, text)
    assert tab.inner_text("#holder") == text
    assert tab.locator("#holder math").count() == 0
