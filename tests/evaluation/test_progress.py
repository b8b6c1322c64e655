"""What is seen while a model answers: live on a terminal, plain lines in a log."""

import io

import pytest
from rich.console import Console

from evaluation.progress import Progress

TITLE = "Qwen/Qwen2.5-1.5B-Instruct · held-out:data/demo [main]"


def test_on_80_columns_title_and_bar_share_a_line_and_the_counts_stand_below() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    with Progress(TITLE, 1319, 200, console) as progress:
        progress.came()
        progress.graded(True)
    lines = out.getvalue().splitlines()
    assert any(f"{TITLE} ━" in line for line in lines)
    assert any("  201 of 1,319 answers, 200 from the cache, 100.0% right" in line for line in lines)


def test_a_log_gets_one_plain_line_at_the_end() -> None:
    out = io.StringIO()
    with Progress("m [main] · b", 2, 1, Console(file=out, width=80)) as progress:
        progress.came()
        progress.graded(False)
    assert out.getvalue() == "m [main] · b: 2 of 2 answers, 1 from the cache, 0.0% right\n"


def test_a_run_that_failed_prints_no_result() -> None:
    out = io.StringIO()
    with (
        pytest.raises(ZeroDivisionError),
        Progress("m · b", 2, 0, Console(file=out, width=80)),
    ):
        _ = 1 / 0
    assert out.getvalue() == ""
