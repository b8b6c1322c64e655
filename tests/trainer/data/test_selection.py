"""Corpora to examples: only correct, distinct, uncontaminated traces, held out by problem, each
loss with a reason.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InputError
from shared.holdout import held_out_problems
from shared.rendering import ChatRenderer
from shared.shards import describe, sealed_files
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import write_config
from trainer.__main__ import main
from trainer.config import TrainerConfig
from trainer.data.selection import Selection, check_corpora, select


def chosen(tokenizer: Any, *corpora: Path, **tables: Any) -> Selection:
    config = TrainerConfig.model_validate(
        {
            "run": "r",
            "model": "m",
            "corpora": [str(c) for c in corpora],
            "train": {"max_length": 512, "holdout": 0.0},
        }
        | tables
    )
    return select(config, tokenizer, ChatRenderer.of(tokenizer))


def test_every_trace_read_ends_as_learnt_held_out_or_left_out(
    tokenizer: Any, tmp_path: Path
) -> None:
    traces = [trace(i) for i in range(20)]
    traces += [
        trace(0, 1, reasoning=trace(0).reasoning),
        trace(30, verdict="unverifiable"),
        trace(31, response="no box"),
    ]
    got = chosen(
        tokenizer,
        write_corpus(tmp_path / "c", traces),
        train={"max_length": 512, "holdout": 0.2},
        data={"unboxed": "leave-out", "unverifiable": "leave-out"},
    )
    assert got.read == 23 == len(got.train) + len(got.held_out) + got.num_left_out
    assert got.reasons == {
        "a duplicate": 1,
        "verdict unverifiable": 1,
        "no boxed answer after the thinking": 1,
    }
    assert got.cost_left_out == pytest.approx(0.03)


def test_a_verified_response_without_a_box_ends_with_the_verified_one_and_is_counted(
    tokenizer: Any, tmp_path: Path
) -> None:
    traces = [trace(0), trace(1, response="**Answer:** Ada has **9 pens**.", final_answer="9 pens")]
    corpus = write_corpus(tmp_path / "c", traces)
    got = chosen(tokenizer, corpus)
    assert [example.box_added for example in got.train] == [False, True]
    text = tokenizer.decode(list(got.train[1].ids), skip_special_tokens=False)
    assert text.endswith(f"**9 pens**.\n\n\\boxed{{{traces[1].gold}}}<|im_end|>")
    line = next(line for line in got.lines() if line.startswith("box added: 1 verified response"))
    assert f"{len(got.train[1]):,} tokens, $0.01 to make" in line
    left_out = chosen(tokenizer, corpus, data={"unboxed": "leave-out"})
    assert left_out.reasons == {"no boxed answer after the thinking": 1}
    assert 'data.unboxed = "add-box"' in "\n".join(left_out.lines())


def test_what_a_corpus_keeps_unverified_on_purpose_is_learnt_and_told(
    tokenizer: Any, tmp_path: Path
) -> None:
    unboxed_trace = trace(2, gold=None, verdict="unverifiable", response="It is 4.")
    traces = [trace(0), trace(1, gold=None, verdict="unverifiable"), unboxed_trace]
    corpus = write_corpus(tmp_path / "c", traces)
    got = chosen(tokenizer, corpus, train={"max_length": 512, "holdout": 0.5})
    assert len(got.train) + len(got.held_out) == 2
    assert "add-box" not in "\n".join(got.lines())
    assert "unverifiable: 1 traces that the corpus keeps are learnt" in "\n".join(got.lines())
    left_out = chosen(tokenizer, corpus, data={"unverifiable": "leave-out"})
    assert left_out.reasons == {"verdict unverifiable": 2}


def test_a_shard_that_is_not_the_one_that_was_sealed_is_refused(
    tokenizer: Any, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "c", [trace(i) for i in range(4)], rows=2)
    shard_entries = [asdict(describe(corpus, path)) for path in sealed_files(corpus, "traces")]
    (corpus / "manifest.json").write_text(json.dumps({"schema": 1, "shards": shard_entries}))
    assert len(chosen(tokenizer, corpus).train) == 4
    second_shard = corpus / "traces/shard-000001.jsonl"
    second_shard.write_bytes(second_shard.read_bytes().replace(b"We add", b"We sub"))
    with pytest.raises(
        InputError, match=r"shard-000001.jsonl: its sha256 is not the one in .*manifest.json"
    ):
        chosen(tokenizer, corpus)


def test_the_split_is_by_problem_so_no_problem_is_on_both_sides(
    tokenizer: Any, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "c", [trace(i, s) for i in range(20) for s in range(3)])
    got = chosen(tokenizer, corpus, train={"max_length": 512, "holdout": 0.25})
    held_out_ids = {e.problem_id for e in got.held_out}
    train_ids = {e.problem_id for e in got.train}
    assert len(held_out_ids) == 5
    assert len(got.held_out) == 15
    assert not held_out_ids & train_ids
    assert {q.problem_id for q in got.questions} == held_out_ids


def test_a_growing_corpus_keeps_most_of_its_held_out_problems() -> None:
    before = set(held_out_problems({f"p{i}" for i in range(1000)}, 0.1, 0))
    after = set(held_out_problems({f"p{i}" for i in range(1100)}, 0.1, 0))
    assert len(before & after) >= 85


def test_a_problem_gives_at_most_its_cap(tokenizer: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [trace(i, s) for i in range(3) for s in range(6)])
    got = chosen(tokenizer, corpus, data={"max_per_problem": 2})
    assert len(got.train) == 6
    assert got.reasons == {"over max_per_problem": 12}


def test_a_benchmark_problem_is_stopped_at_the_door(tokenizer: Any, tmp_path: Path) -> None:
    benchmark = tmp_path / "judge.jsonl"
    benchmark.write_text(json.dumps({"question": "  " + trace(3).problem.upper()}) + "\n")
    corpus = write_corpus(tmp_path / "c", [trace(i) for i in range(5)])
    got = chosen(tokenizer, corpus, data={"exclude": [str(benchmark)]})
    assert got.reasons == {"a problem that judges the model (data.exclude)": 1}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("judge.jsonl", b"[1, 2]\n", r"judge.jsonl: row 1 is a JSON int where an object belongs"),
        (
            "judge.jsonl",
            b'{"text": "2 + 2?"}\n',
            r"judge.jsonl:1: no problem: one of the fields problem, question",
        ),
        ("judge.jsonl", b'{"problem": "2 +', r"judge.jsonl:1: not JSON"),
        ("judge.parquet", b"no parquet", r"judge.parquet: cannot be read"),
        ("judge.jsonl", None, r"judge.jsonl: cannot be read \(Is a directory\)"),
    ],
)
def test_a_benchmark_that_cannot_be_read_is_refused_with_its_place(
    tokenizer: Any, tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    benchmark = tmp_path / name
    benchmark.mkdir() if content is None else benchmark.write_bytes(content)
    with pytest.raises(InputError, match=f"data.exclude .*{says}"):
        chosen(
            tokenizer, write_corpus(tmp_path / "c", [trace(1)]), data={"exclude": [str(benchmark)]}
        )


def test_blank_lines_of_a_benchmark_are_passed_over(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "judge.jsonl").write_text(json.dumps({"problem": trace(1).problem}) + "\n\n")
    got = chosen(
        tokenizer,
        write_corpus(tmp_path / "c", [trace(1), trace(2)]),
        data={"exclude": [str(tmp_path / "judge.jsonl")]},
    )
    assert len(got.train) == 1


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (
            (
                "4. A baker sells 12 loaves for $3.50 each and 7 cakes for \\$8 each. How much does"
                " he earn in all?"
            ),
            True,
        ),
        (
            (
                "A baker sells 15 loaves for 2.50 each and 9 cakes for 6 each. How much does he"
                " earn in all?"
            ),
            False,
        ),
        (
            (
                "Express your answer as a common fraction in lowest terms, with no spaces: what is"
                " 3/12?"
            ),
            False,
        ),
    ],
)
def test_the_door_follows_the_rule_of_screening(
    tokenizer: Any, tmp_path: Path, text: str, left_out: bool
) -> None:
    """A copy in another style stays out; other numbers, or a phrase in common, are another
    problem.
    """
    benchmark = tmp_path / "judge.jsonl"
    own = [
        (
            "A baker sells 12 loaves for $3.50 each and 7 cakes for $8 each. How much does he earn"
            " in all?"
        ),
        (
            "How many primes lie below 70? Express your answer as a common fraction in lowest"
            " terms, with no spaces."
        ),
    ]
    benchmark.write_text("".join(json.dumps({"problem": problem}) + "\n" for problem in own))
    corpus = write_corpus(
        tmp_path / "c", [replace(trace(1), problem=text, problem_id="this"), trace(2)]
    )
    got = chosen(tokenizer, corpus, data={"exclude": [str(benchmark)]})
    assert ("this" not in {e.problem_id for e in got.train}) == left_out


def test_only_sealed_shards_are_read(tokenizer: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [trace(i) for i in range(8)], rows=5, seal=False)
    got = chosen(tokenizer, corpus)
    assert got.read == 5
    assert got.open_shards == 1
    assert "open shards" in got.lines()[-1]


def test_traces_of_others_are_refused_with_the_command_that_imports_them(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"messages": []}\n')
    with pytest.raises(InputError, match=f"generator import {foreign} data/imported"):
        check_corpora([str(foreign)])
    shard = tmp_path / "c" / "traces" / "shard-000000.jsonl"
    shard.parent.mkdir(parents=True)
    shard.write_text('{"messages": []}\n')
    with pytest.raises(InputError, match=r"schema None is not 1.*generator import"):
        check_corpora([str(tmp_path / "c")])


def test_bad_corpora_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such corpus folder"):
        check_corpora([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match="only 1 open shards: let the generator end"):
        check_corpora([str(write_corpus(tmp_path / "open", [trace(1)], seal=False))])
    empty = tmp_path / "empty"
    (empty / "traces").mkdir(parents=True)
    (empty / "traces" / "shard-000000.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="generate traces first"):
        check_corpora([str(empty)])
    (empty / "traces" / "shard-000000.jsonl").write_bytes(b'{"schema": 99}\n')
    with pytest.raises(InputError, match=r"shard-000000\.jsonl:1: schema 99"):
        check_corpora([str(empty)])


def test_nothing_left_to_learn_says_why(tokenizer: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [trace(i) for i in range(3)])
    with pytest.raises(InputError, match=r"3 longer than max_length.*raise train\.max_length"):
        chosen(tokenizer, corpus, train={"max_length": 16})


def test_inspect_shows_what_a_foreign_row_became(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = trace(
        1,
        lane="import",
        source="OpenR1-Math-220k/cn_k12",
        response="**Answer:** 7 pens",
        final_answer="7 pens",
        gold="7",
    )
    corpus = write_corpus(tmp_path / "imported", [foreign])
    config = write_config(tmp_path, model_folder, corpus)
    assert main(["inspect", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "from OpenR1-Math-220k/cn_k12; the box at its end is added (data.unboxed)" in shown
    loss_part = shown.split("── in the loss:")[1]
    assert f"<think>\n{foreign.reasoning}\n</think>" in loss_part
    assert "**Answer:** 7 pens\n\n\\boxed{7}<|im_end|>" in loss_part
