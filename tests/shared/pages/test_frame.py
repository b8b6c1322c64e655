"""The frame of a page: its policy lets its own script run and nothing else, and titles are text."""

import base64
import hashlib
import re

from shared.pages import document, math_script
from shared.pages.charts import bars, histogram, legend, line_chart, round_marks, stacked_bars

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def test_the_policy_names_the_hashes_of_the_pages_own_style_and_script() -> None:
    html = document("t", "<p>body</p>", style="p { color: red }", script="let a = 1;")
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    script = html[html.index("<script>") + 8 : html.index("</script>")]
    assert script.startswith("let a = 1;")
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    for digest in digests:
        assert f"sha256-{digest}" in html
    assert "unsafe" not in html[: html.index("<style>")]
    assert "default-src &#x27;none&#x27;" in html


def test_a_page_without_a_script_has_that_of_the_languages_alone() -> None:
    html = document("t", "")
    assert html.count("<script>") == 1
    assert "pageLanguage" in html


def test_every_page_has_one_main_part() -> None:
    assert document("t", "<p>x</p>").count("<main") == 1
    assert document("t", "<main id=m>x</main>").count("<main") == 1


def test_a_hostile_title_and_hostile_labels_of_charts_stay_text() -> None:
    charts = [
        bars([(HOSTILE, 3)], HOSTILE, share_of=3),
        stacked_bars([(HOSTILE, [("green", 1), ("red", 2)])], HOSTILE),
        histogram({HOSTILE: ("green", [1, 2])}, [(0, HOSTILE)], HOSTILE, HOSTILE),
        line_chart(HOSTILE, {HOSTILE: [(0, 1), (1, 2)], "other": [(0, 2)]}, unit=HOSTILE),
        legend([("green", HOSTILE)]),
    ]
    html = document(HOSTILE, "".join(charts))
    assert html.count("<script>") == 1  # ours
    assert "<script>alert" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") >= 8


def test_nothing_in_the_common_parts_is_fetched_from_anywhere() -> None:
    html = document("t", "", script=math_script())
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?://", style)
    assert not re.search(r"\b(XMLHttpRequest|WebSocket|importScripts|sendBeacon)\b", math_script())


def test_empty_charts_say_so() -> None:
    assert "nothing to show" in bars([], "n")
    assert "nothing to show" in histogram({"a": ("green", [0, 0])}, [], "n", "x")
    assert line_chart("n", {"a": []}) == ""
    assert line_chart("n", {"a": [(0, float("nan"))]}) == ""


def test_round_marks_enclose_what_they_are_made_for() -> None:
    for low, high in [(0.0, 0.0), (1.0, 1.0), (-3.0, 7.2), (0.001, 0.0013), (1e9, 2e9)]:
        marks = round_marks(low, high)
        assert marks[0] <= low <= high <= marks[-1]
        assert 2 <= len(marks) <= 7
