"""The pages of a run: complete from its files alone, and no text of a model or a data set
becomes markup.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.pages.charts import line_chart
from shared.rendering import ChatRenderer
from tests.page_tags import PageTags
from tests.trainer.corpora import trace
from trainer.artifacts.metrics import read_lines
from trainer.artifacts.report import report_html, write_report
from trainer.config import TrainerConfig
from trainer.data.examples import Encoder, Example
from trainer.inspection import page_html, pieces

HOSTILE = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def manifest() -> dict[str, Any]:
    return {
        "model": HOSTILE,
        "method": "lora",
        "backend": "trl",
        "card": {"name": HOSTILE},
        "data": {
            "shards": [
                {"corpus": HOSTILE, "name": "shard-000000.jsonl", "rows": 3, "sha256": "ab" * 32}
            ],
            "read": 3,
            "train": 2,
            "held_out": 1,
            "held_out_problems": ["p"],
            "left_out": {HOSTILE: 1},
            "left_out_cost_usd": 0.5,
            "tokens": 100,
            "open_shards_not_read": 0,
        },
        "template": {
            "digest": "d",
            "system": HOSTILE,
            "inserted_by_template": HOSTILE,
            "end": "<|im_end|>",
        },
        "learning_rate": {"value": 1e-4, "source": HOSTILE},
        "plan": {
            "tokens_a_micro_batch": 1024,
            "checkpointing": False,
            "dtype": "fp32",
            "compile": False,
        },
        "seed": 0,
        "git_commit": "",
        "python": "3.11",
        "libraries": {"trl": "1.14.2"},
        "result": {"best_step": 4},
    }


def probe(step: int, right: bool) -> dict[str, Any]:
    answer = {
        "problem": HOSTILE,
        "gold": HOSTILE,
        "text": HOSTILE,
        "tokens": 9,
        "closed": right,
        "boxed": right,
        "right": right,
    }
    return {
        "step": step,
        "right": float(right),
        "boxed": float(right),
        "unclosed": 1.0 - right,
        "mean_tokens": 9.0,
        "answers": [answer],
    }


def test_torn_lines_of_metrics_tell_nothing_and_the_report_shows_the_rest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(manifest() | {"identity": {}}))
    lines = [
        '{"step": 1, "loss": 2.0}',
        '{"step": 2, "lo{"step": 2, "loss": 1.5}',
        "\0\0",
        '{"step": 3, "loss": 1.0}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 4']))
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 3]
    write_report(tmp_path)
    assert "training, step 3: 1" in (tmp_path / "report.html").read_text()


def test_hostile_text_is_shown_as_text_everywhere_in_the_report() -> None:
    metrics = [{"step": i, "loss": 2.0 - i / 5, "tokens_per_second": 100.0} for i in range(1, 5)]
    page = PageTags(report_html(HOSTILE, manifest(), metrics, [probe(0, False), probe(4, True)]))
    assert "img" not in page.tags
    assert page.tags.count("script") == 1  # ours
    assert not [name for name in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "0 → 1 of 1" in page.text
    assert page.tags.count("svg") == 4


def test_a_report_of_a_run_that_has_just_begun_is_whole() -> None:
    young_manifest = {key: value for key, value in manifest().items() if key != "result"}
    page = PageTags(report_html("run", young_manifest, [], []))
    assert "has not ended" in page.text
    assert "No step has been logged yet." in page.text


@pytest.mark.parametrize(
    "values", [[0.0], [1.0, 1.0], [float("nan"), 2.0], [1e-9, 1e9], [-1.0, 1.0]]
)
def test_a_chart_of_any_numbers_stays_in_its_frame(values: list[float]) -> None:
    drawn = line_chart("t", {"a": list(enumerate(values))})
    for part in drawn.split('cy="')[1:]:
        assert 0 <= float(part.split('"')[0]) <= 220


def test_the_pieces_of_a_row_are_its_text_and_part_where_the_loss_begins(tokenizer: Any) -> None:
    (row,) = Encoder(tokenizer, ChatRenderer.of(tokenizer), 512).encode(
        [trace(3, reasoning="Grüße 中文 🙂 \ufffd")]
    )
    assert isinstance(row, Example)
    cut = pieces(tokenizer, row)
    assert "".join(p.text for p in cut) == tokenizer.decode(list(row.ids))
    assert [t for p in cut for t in range(p.start, p.end + 1)] == list(range(len(row)))
    assert next(p.start for p in cut if p.learnt) == row.prompt_length
    assert "🙂" in [p.text for p in cut if p.learnt] or any("🙂" in p.text for p in cut)


def test_the_inspection_page_escapes_every_row(tokenizer: Any) -> None:
    (row,) = Encoder(tokenizer, ChatRenderer.of(tokenizer), 1024).encode(
        [trace(3, reasoning=HOSTILE)]
    )
    assert isinstance(row, Example)
    config = TrainerConfig(run="r", model=HOSTILE, corpora=("c",))
    page = PageTags(page_html(config, tokenizer, [row], 0, 1))
    assert "img" not in page.tags
    assert page.tags.count("script") == 1  # ours
    assert "<script>" in page.text
