"""The report in a real browser: it opens fast, filters, searches, renders, and runs nothing
that a model wrote.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from evaluation.report import write_report
from evaluation.results.output_files import comparison_of
from tests.browser_page import playwright
from tests.evaluation.judged import Results, by_id, judged, manifest_of, report_of
from tests.evaluation.report.test_report import HOSTILE, two_models
from tests.page_checks import check_page

READY = "body[data-ready]"


def shown(page: Any) -> str:
    return str(page.inner_text("#count"))


def open_report(page: Any, path: Path, results: Results) -> None:
    report_of(path, results)
    page.goto(path.as_uri())
    page.wait_for_selector(READY)


def test_filters_show_the_cases_that_they_name(page: Any, tmp_path: Path) -> None:
    open_report(page, tmp_path / "r.html", two_models(fixed=5, broken=3, same=7))
    for outcome, count in {
        "all": 15,
        "fixed": 5,
        "broken": 3,
        "both wrong": 0,
        "both right": 7,
    }.items():
        page.click(f'#outcomes button[data-outcome="{outcome}"]')
        assert shown(page) == f"{count} of 15"
        assert page.locator(".row").count() == count


def test_search_finds_problems_and_if_asked_full_texts(page: Any, tmp_path: Path) -> None:
    results = two_models(2, 0, 2)
    case = judged(
        "A needle", "9", "<think>\nhidden Haystack \u00e4\n</think>\n\n\\boxed{9}", correct=True
    )
    for model_results in results.values():
        model_results["gsm8k"][case.question.id] = [case]
    open_report(page, tmp_path / "r.html", results)
    page.fill("#search", "needle")
    assert shown(page) == "1 of 5"
    page.fill("#search", "haystack \u00c4")
    assert shown(page) == "0 of 5"
    page.check("#deep")
    playwright.expect(page.locator("#count")).to_have_text("1 of 5")


def test_answers_stand_side_by_side_with_their_thinking_folded(page: Any, tmp_path: Path) -> None:
    base = judged(
        "What is half?", "\\frac12", "<think>\nhm, never ends", correct=False, finish="length"
    )
    tuned_cases = judged(
        "What is half?",
        "\\frac12",
        "<think>\nI think **hard**\n</think>\n\nIt is $\\frac{1}{2}$.",
        correct=True,
    )
    results = {"base": {"b": by_id([base])}, "tuned": {"b": by_id([tuned_cases])}}
    open_report(page, tmp_path / "r.html", results)
    page.click(".row")
    page.wait_for_selector(".side")
    assert page.locator(".row .tag").inner_text() == "fixed · finishing"
    assert page.locator(".side h3").all_inner_texts() == ["base", "tuned"]
    assert page.locator(".gold mfrac").count() == 1
    assert page.locator(".response mfrac").count() == 1
    assert "never closed" in page.locator(".side summary").first.inner_text()
    assert page.locator(".thinking").count() == 0
    page.locator(".side summary").last.click()
    page.wait_for_selector(".thinking")
    assert page.locator(".thinking b").inner_text() == "hard"
    page.uncheck("#math")
    playwright.expect(page.locator(".response mfrac")).to_have_count(0)
    assert "$\\frac{1}{2}$" in page.inner_text("#detail")


def test_arrow_keys_walk_through_the_cases_and_the_address_leads_back(
    page: Any, tmp_path: Path
) -> None:
    open_report(page, tmp_path / "r.html", two_models(2, 0, 30))
    page.focus("#list")
    for _ in range(24):  # from the first, which is open from the start
        page.keyboard.press("ArrowDown")
    playwright.expect(page.locator(".problem")).to_have_text("Problem 24")
    selected_row = page.locator(".row[aria-selected=true]").inner_text()
    assert "Problem 24" in selected_row
    assert "#case=gsm8k/" in page.url
    page.reload()
    page.wait_for_selector(".side")
    assert page.locator(".row[aria-selected=true]").inner_text() == selected_row


def test_the_first_fixed_case_is_open_from_the_start_and_the_address_stays(
    page: Any, tmp_path: Path
) -> None:
    right_before = judged("Right before", "1", "\\boxed{1}", correct=True)
    wrong_before = judged("Wrong before", "2", "\\boxed{3}", correct=False)
    fixed_case = judged("Wrong before", "2", "\\boxed{2}", correct=True)
    results = {
        "base": {"b": by_id([right_before, wrong_before])},
        "tuned": {"b": by_id([right_before, fixed_case])},
    }
    open_report(page, tmp_path / "r.html", results)
    playwright.expect(page.locator("#detail .problem")).to_have_text("Wrong before")
    assert "Wrong before" in page.locator(".row[aria-selected=true]").inner_text()
    assert "#" not in page.url
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("address", ["#case=gsm8k/%E6%9", "#case=gsm8k/unknown", "#cases"])
def test_a_torn_or_foreign_link_opens_the_first_fixed_case(
    page: Any, tmp_path: Path, address: str
) -> None:
    report_of(tmp_path / "r.html", two_models(2, 0, 3))
    page.goto((tmp_path / "r.html").as_uri() + address)
    page.wait_for_selector(READY)
    playwright.expect(page.locator("#detail .problem")).to_have_text("Problem 0")


def test_another_benchmark_opens_its_own_first_case(page: Any, tmp_path: Path) -> None:
    answer = judged("Of the other one", "1", "\\boxed{1}", correct=True)
    results = two_models(2, 0, 3)
    for model in results:
        results[model]["aime"] = by_id([answer])
    open_report(page, tmp_path / "r.html", results)
    playwright.expect(page.locator("#detail .problem")).to_have_text("Problem 0")
    page.select_option("#benchmark", label="aime")
    playwright.expect(page.locator("#detail .problem")).to_have_text("Of the other one")


@pytest.mark.parametrize(
    ("text", "elements", "left_as_text"),
    [
        ("$x^2+1$", {"msup": 1}, ""),
        (
            r"\[ \sum_{i=1}^n \sqrt[3]{a_i} \]",
            {"munderover": 1, "mroot": 1, 'math[display="block"]': 1},
            "",
        ),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", {"mtr": 2, "mtd": 4}, ""),
        (r"so \boxed{\frac12} it is", {".boxed": 1, "mfrac": 1}, ""),
        (r"${n \choose k}$", {"mfrac": 1}, ""),
        (r"\begin{align*} a &= b \\ &= c \end{align*}", {"mtr": 2}, ""),
        ("It costs $5 and later $10 more", {}, "It costs $5 and later $10 more"),
        ("She earns $12*5=$<<12*5=60>>60.", {}, "She earns $12*5=$<<12*5=60>>60."),
        (r"$\unknowncommand{x}$", {".tex": 1}, r"$\unknowncommand{x}$"),
        (r"\( \frac{1 \)", {".tex": 1}, r"\frac{1"),
        ("$" + "{" * 3000 + "$", {".tex": 1}, ""),
        ("**bold** and 2 ** 3", {"b": 1}, "2 ** 3"),
    ],
)
def test_latex_becomes_mathml_and_what_is_unknown_stays_as_written(
    page: Any, tmp_path: Path, text: str, elements: dict[str, int], left_as_text: str
) -> None:
    open_report(
        page, tmp_path / "r.html", {"m": {"b": by_id([judged("P", "1", text, correct=True)])}}
    )
    page.click(".row")
    page.wait_for_selector(".response")
    for name, count in elements.items():
        assert page.locator(f".response {name}").count() == count, name
    assert left_as_text in page.inner_text(".response")
    if not elements:
        assert page.locator(".response math, .response .tex").count() == 0


def test_nothing_that_a_model_or_a_problem_says_runs(page: Any, tmp_path: Path) -> None:
    formulas = [
        f"$\\text{{{HOSTILE}}}$",
        f"\\boxed{{{HOSTILE}}}",
        f"**{HOSTILE}**",
        f"$\\mathbb{{{HOSTILE}}}$",
    ]
    text = f"<think>\n{HOSTILE}\n</think>\n\n{HOSTILE}" + "\n".join(formulas)
    cases = by_id(
        [
            judged(
                "P" + HOSTILE, "\\text{" + HOSTILE, text, correct=False, answer=HOSTILE, id_=HOSTILE
            )
        ]
    )
    open_report(
        page, tmp_path / "r.html", {m + HOSTILE: {"b" + HOSTILE: cases} for m in ("base", "tuned")}
    )
    page.click(".row")
    page.wait_for_selector(".side")
    page.locator(".side summary").first.click()
    page.wait_for_selector(".thinking")
    page.check("#deep")
    page.fill("#search", "<script>")
    playwright.expect(page.locator("#count")).to_have_text("1 of 1")
    page.reload()  # the address holds the hostile id
    page.wait_for_selector(".side")
    assert page.evaluate("window.owned") is None
    assert page.locator("img, #cases script").count() == 0


def test_links_to_disagreements_lead_to_the_case(page: Any, tmp_path: Path) -> None:
    results = two_models(2, 0, 40)
    odd = judged("Odd one", "1", "\\boxed{1}", correct=True, second=False)
    for model_results in results.values():
        model_results["gsm8k"][odd.question.id] = [odd]
    open_report(page, tmp_path / "r.html", results)
    page.locator("a[data-case]").first.click()
    page.wait_for_selector(".side")
    assert "Odd one" in page.inner_text(".problem")
    page.check("#disagree")
    assert shown(page) == "1 of 43"


def test_a_phone_shows_the_whole_width_of_the_page(page: Any, tmp_path: Path) -> None:
    results = two_models(2, 1, 5)
    manifest = manifest_of(results) | {"git_commit": "0123456789abcdef" * 2 + "01234567+changes"}
    write_report(tmp_path / "r.html", manifest, comparison_of({}, results), results)
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto((tmp_path / "r.html").as_uri())
    page.wait_for_selector(READY)
    page.locator("#rows .row").first.click()
    page.wait_for_selector(".side")
    assert page.evaluate("document.documentElement.scrollWidth") == 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_light_and_dark(
    chromium: Any, tmp_path: Path, scheme: str
) -> None:
    report_of(tmp_path / "r.html", two_models(3, 2, 30))
    with chromium.new_context(color_scheme=scheme) as context:
        tab = context.new_page()
        tab.goto((tmp_path / "r.html").as_uri())
        tab.wait_for_selector(READY)
        low = tab.evaluate(CONTRASTS)
    assert low == [], "contrast under 4.5 (WCAG AA)"


# [text, contrast] of every element with text of its own whose contrast with the nearest ground is
# under 4.5.
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).slice(0, 4).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (color) => {
    const [r, g, b] = channels(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (of) => {
    for (let at = of; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255,255,255)";
  };
  const speaks = (e) => e.checkVisibility() && !["SCRIPT", "STYLE", "OPTION"].includes(e.tagName) &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll("body *")].filter(speaks).map((e) => {
    const style = getComputedStyle(e), back = light(ground(e));
    const text = light(e instanceof SVGElement ? style.fill : style.color);
    return [e.textContent.slice(0, 40), (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05)];
  }).filter(([, contrast]) => contrast < 4.5);
}"""


def many(count: int, characters: int) -> Results:
    """`count` problems, each answered by two models with texts of so many characters that
    compress as prose does.
    """
    dice = random.Random(0)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(1, 9))) for _ in range(3000)]
    pool = " ".join(dice.choices(words, k=(characters * 20) // 5))
    results: Results = {"base": {"b": {}}, "tuned": {"b": {}}}
    for i in range(count):
        for model_results in results.values():
            start = dice.randrange(len(pool) - characters)
            text = f"<think>\n{pool[start : start + characters]}\n</think>\n\nSo \\boxed{{{i}}}."
            case = judged(
                f"Problem {i}: what is {i}?",
                str(i),
                text,
                correct=dice.random() < 0.6,
                tokens=characters // 4,
            )
            model_results["b"][f"{i:x}"] = [case]
    return results


# Milliseconds until the page has done what is asked for and has laid itself out again; the worst of
# a dozen wishes.
WORST = """() => {
  const search = document.getElementById("search"), list = document.getElementById("list");
  const time = (act) => {
    const start = performance.now();
    act();
    document.body.offsetHeight;
    return performance.now() - start;
  };
  const click = (name) => time(() => document.querySelector(`[data-outcome="${name}"]`).click());
  const type = (text) => time(() => ((search.value = text), search.oninput()));
  const scroll = (share) => time(() => ((list.scrollTop = share * list.scrollHeight), list.onscroll()));
  return Math.max(...["fixed", "broken", "both wrong", "both right", "all"].map(click),
    ...["9", "99", "999", "what", ""].map(type), ...[0.2, 0.5, 1].map(scroll));
}"""


@pytest.mark.timing
def test_ten_thousand_cases_of_4000_tokens_open_in_three_seconds_and_filter_without_lag(
    page: Any, tmp_path: Path
) -> None:
    path = tmp_path / "r.html"
    report_of(path, many(10_000, 16_000))
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector(READY, timeout=60_000)
    opened_ms = int(page.get_attribute("body", "data-ready"))
    assert page.locator(".row").count() < 80
    worst_ms = min(
        page.evaluate(WORST) for _ in range(3)
    )  # the machine's noise left out, as far as it goes
    page.wait_for_load_state("load", timeout=60_000)
    loaded_ms = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(
        f"{path.stat().st_size / 1e6:.0f} MB: ready {opened_ms} ms, loaded {loaded_ms:.0f} ms,"
        f" worst {worst_ms:.0f} ms"
    )
    assert opened_ms < 3000
    assert worst_ms < 300
    page.locator("#list").evaluate("list => list.scrollTop = list.scrollHeight")
    page.locator(".row", has_text="Problem 9999:").click()
    page.wait_for_selector(".side")
    assert "9999" in page.inner_text(".problem")


def test_the_report_is_accessible_fits_a_phone_and_speaks_chinese(
    chromium: Any, tmp_path: Path
) -> None:
    report_of(tmp_path / "r.html", two_models(fixed=5, broken=3, same=7))
    texts = (
        r"as written in the test|a card|hub:somewhere main/test|\bmain\b|\bstop\b|torch|gsm8k|[0-9a-f]{16}"
        r"|(base|tuned) model|\bexact\b"
    )
    check_page(
        chromium,
        (tmp_path / "r.html").as_uri(),
        lambda page: page.wait_for_selector(READY),
        texts,
    )
