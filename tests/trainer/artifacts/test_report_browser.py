"""The training report in a real browser: what holds of every page of ours, and what it says while
the run goes on.
"""

import json
from pathlib import Path
from typing import Any

from tests.browser_page import chromium  # noqa: F401
from tests.page_checks import check_page
from tests.trainer.artifacts.test_report import HOSTILE, manifest, probe
from trainer.artifacts.report import write_report


def write_run(run: Path, steps: int, evals: int, **changes: Any) -> None:
    """A run's files, without the hostile texts of the other tests."""
    facts = manifest() | {"identity": {}, **changes}
    facts["plan"]["steps"] = 60
    text = json.dumps(facts).replace(json.dumps(HOSTILE)[1:-1], "Qwen2.5")
    (run / "manifest.json").write_text(text)
    lines = [
        {"step": step, "loss": 2 / step, "learning_rate": 1e-4} for step in range(1, steps + 1)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [json.dumps(probe(step, step > 0)) for step in range(0, 20 * evals, 20)]
    answers = "".join(row.replace(json.dumps(HOSTILE)[1:-1], "What is 1+1?") + "\n" for row in rows)
    (run / "probe.jsonl").write_text(answers)
    write_report(run)


def test_the_report_is_accessible_fits_a_phone_and_speaks_chinese(
    chromium: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    write_run(run, steps=12, evals=3)
    address = (run / "report.html").as_uri()
    texts = r"run|lora · trl on|Qwen2\.5(/shard-\d+\.jsonl)?|lora|trl|<\|im_end\|>|bf16|too long"
    check_page(chromium, address, lambda page: page.wait_for_selector(".tiles"), texts)


def test_at_the_first_step_nothing_is_called_learnt_or_after(tmp_path: Path) -> None:
    facts = manifest()
    del facts["result"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps(facts | {"identity": {}}))
    facts["plan"]["steps"] = 12
    (run / "manifest.json").write_text(json.dumps(facts | {"identity": {}}))
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (run / "probe.jsonl").write_text(json.dumps(probe(0, False)) + "\n")
    write_report(run)
    page = (run / "report.html").read_text()
    body = page[page.index("<main>") : page.index("<script>")]
    assert "traces learnt" not in body
    assert "before and after" not in body
    assert "1 of 12" in body
    assert "eval problems right at step 0" in body


def test_a_run_of_less_than_an_epoch_says_what_share_of_the_traces_it_learnt(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    all_tokens = manifest()["data"]["tokens"]
    write_run(run, steps=4, evals=1, result={"best_step": 4, "tokens": all_tokens // 4})
    page = (run / "report.html").read_text()
    traces = f"{manifest()['data']['train']:,}"
    assert f"<b>25.0%</b><span>of {traces} traces learnt</span>" in page
