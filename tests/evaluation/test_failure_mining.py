"""The next problem source: near what a model fails, and never a problem that it is judged on."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.failure_mining import write_weak
from evaluation.neighbours import nearest
from shared.contamination import EvaluationIndex
from shared.errors import InputError
from shared.records import Trace, Usage, problem_id
from tests.evaluation.judged import Results, by_id, finished_run, judged

KINDS = {
    "train": (
        "A train leaves the station at {a} km per hour and travels for {b} hours. How many"
        " kilometers does it go?"
    ),
    "eggs": (
        "Janet's ducks lay {a} eggs per day. She eats {b} for breakfast. How many does she sell at"
        " the market?"
    ),
    "square": (
        "Find the sum of all positive integers $n$ for which $n^2 - {a}n + {b}$ is a perfect"
        " square."
    ),
    "dice": (
        "Two fair dice are rolled {a} times. What is the probability that the total equals {b} at"
        " least once?"
    ),
}


def text(kind: str, a: int, b: int) -> str:
    return KINDS[kind].format(a=a, b=b)


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def source(path: Path) -> Path:
    """120 training problems of four kinds, shuffled."""
    dice = random.Random(0)
    rows = [
        {
            "problem": text(kind, dice.randint(100, 900), dice.randint(100, 900)),
            "answer": str(i),
            "kind": kind,
        }
        for i in range(30)
        for kind in KINDS
    ]
    dice.shuffle(rows)
    return lines(path, rows)


def run_failing(tmp_path: Path, *kinds: str, name: str = "gsm8k", origin: str = "") -> Path:
    """A finished run whose tuned model fails one problem of each of `kinds` and solves one of
    every other.
    """
    results: Results = {}
    for model in ("base", "tuned"):
        cases = [
            judged(
                text(kind, 7, 3), "21", "\\boxed{0}", correct=model == "tuned" and kind not in kinds
            )
            for kind in KINDS
        ]
        results[model] = {name: by_id(cases)}
    return finished_run(tmp_path / "run", results, {name: origin} if origin else None)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def kind_of(problem: str) -> str:
    return next(kind for kind, form in KINDS.items() if problem.startswith(form.split("{")[0]))


def test_the_neighbours_of_what_is_failed_are_of_its_kind(tmp_path: Path) -> None:
    run = run_failing(tmp_path, "eggs", "square")
    summary = write_weak(run, "", source(tmp_path / "train.jsonl"), 5, None)
    rows = written(run / "weak.jsonl")
    assert sorted(kind_of(row["problem"]) for row in rows) == ["eggs"] * 5 + ["square"] * 5
    assert all(isinstance(row["answer"], str) and row["answer"] for row in rows)
    assert "near the 2" in summary
    assert "gsm8k 2" in summary


def test_copies_of_any_examined_problem_are_left_out_whatever_their_dress(tmp_path: Path) -> None:
    run = run_failing(tmp_path, "eggs")
    train = source(tmp_path / "train.jsonl")
    copies = [
        text("eggs", 7, 3),
        text("eggs", 7, 3).upper() + " !",
        "Question 5. " + text("eggs", 7, 3),
        text("train", 7, 3),
    ]
    lines(train, [*({"question": copy, "answer": "#### 4"} for copy in copies), *written(train)])
    summary = write_weak(run, "", train, 8, None)
    chosen_problems = [row["problem"] for row in written(run / "weak.jsonl")]
    assert not set(chosen_problems) & set(copies)
    assert len(chosen_problems) == 8
    assert "4 copies of evaluation problems left out" in summary


def test_test_problems_themselves_are_refused_without_a_source(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="gsm8k: what a model is judged on is never made into training material"
    ):
        write_weak(run_failing(tmp_path, "eggs"), "", None, 4, None)


def test_the_file_that_judges_is_refused_as_a_source(tmp_path: Path) -> None:
    test_set = source(tmp_path / "test.jsonl")
    run = run_failing(tmp_path, "eggs", name="mine", origin=str(test_set))
    with pytest.raises(InputError, match="this is what mine judges on"):
        write_weak(run, "", test_set, 4, None)


def test_a_copy_of_the_test_set_under_another_name_gives_nothing(tmp_path: Path) -> None:
    run = run_failing(tmp_path, "eggs")
    copy = lines(
        tmp_path / "train.jsonl", [{"problem": text(kind, 7, 3), "answer": "1"} for kind in KINDS]
    )
    with pytest.raises(
        InputError, match="no problem in it is near a failed one; 4 copies of evaluation problems"
    ):
        write_weak(run, "", copy, 4, None)


def test_held_out_problems_may_be_written_themselves_and_it_is_said_what_that_costs(
    tmp_path: Path,
) -> None:
    run = run_failing(tmp_path, "eggs", "dice", name="held-out:data/corpus")
    summary = write_weak(run, "", None, 4, tmp_path / "next" / "weak.jsonl")
    rows = written(tmp_path / "next" / "weak.jsonl")
    assert {row["problem"] for row in rows} == {text("eggs", 7, 3), text("dice", 7, 3)}
    assert "hold out others" in summary


def test_a_model_that_fails_nothing_has_nothing_written(tmp_path: Path) -> None:
    run = run_failing(tmp_path)
    assert "nothing was written" in write_weak(run, "", source(tmp_path / "train.jsonl"), 4, None)
    assert not (run / "weak.jsonl").exists()


def test_another_model_of_the_run_can_be_asked_about(tmp_path: Path) -> None:
    run = run_failing(tmp_path, "eggs")
    write_weak(run, "base", source(tmp_path / "train.jsonl"), 2, None)
    assert {kind_of(row["problem"]) for row in written(run / "weak.jsonl")} == set(KINDS)
    with pytest.raises(InputError, match="examined base, tuned: name one"):
        write_weak(run, "other", source(tmp_path / "train.jsonl"), 2, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", r"train.jsonl:1: not JSON"),
        ("[1]", "where an object belongs"),
        ('{"answer": "4"}', "no problem"),
    ],
)
def test_a_line_that_is_no_problem_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "train.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        write_weak(run_failing(tmp_path, "eggs"), "", tmp_path / "train.jsonl", 4, None)


def test_answers_are_read_from_where_data_sets_keep_them(tmp_path: Path) -> None:
    rows = [
        {"question": text("eggs", 51, 4), "answer": "She sells 51 - 4 = 47.\n#### 1,047"},
        {"problem": text("eggs", 61, 5), "solution": "so \\boxed{\\frac{1}{2}}"},
        {"problem": text("eggs", 71, 6), "solution": "no box"},
        {"problem": text("eggs", 81, 6), "answer": 75},
    ]
    run = run_failing(tmp_path, "eggs")
    write_weak(run, "", lines(tmp_path / "train.jsonl", rows), 4, None)
    assert sorted(row["answer"] for row in written(run / "weak.jsonl")) == [
        "1047",
        "75",
        "\\frac{1}{2}",
    ]


def trace(problem: str, gold: str | None, sample: int) -> Trace:
    identity = problem_id(problem)
    return Trace(
        id=f"{identity}:{sample}",
        problem_id=identity,
        sample=sample,
        source="made up",
        problem=problem,
        gold=gold,
        messages=[],
        reasoning="",
        response="",
        final_answer=gold,
        verdict="correct",
        reason="",
        checked_by="exact",
        finish_reason="stop",
        lane="",
        model="",
        model_returned="",
        params={},
        usage=Usage(),
        cost_usd=None,
        timing={},
        attempts=1,
        started_at="",
        finished_at="",
    )


def test_a_corpus_is_a_source_and_a_problem_with_several_traces_is_taken_once(
    tmp_path: Path,
) -> None:
    traces = [
        trace(text("eggs", a, 5), str(a), sample) for a in (100, 200, 300) for sample in (0, 1)
    ]
    (tmp_path / "corpus" / "traces").mkdir(parents=True)
    lines_of = b"".join(t.to_line() for t in [*traces, trace(text("eggs", 400, 5), None, 0)])
    (tmp_path / "corpus" / "traces" / "shard-000000.jsonl").write_bytes(lines_of)
    run = run_failing(tmp_path, "eggs")
    write_weak(run, "", tmp_path / "corpus", 3, None)
    assert sorted(row["answer"] for row in written(run / "weak.jsonl")) == ["100", "200", "300"]


def test_the_command_writes_it_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_failing(tmp_path, "dice")
    train = source(tmp_path / "train.jsonl")
    assert main(["weak", str(run), "--source", str(train), "--out", str(tmp_path / "w.jsonl")]) == 0
    assert len(written(tmp_path / "w.jsonl")) == 4
    assert f"{tmp_path}/w.jsonl: 4 problems" in capsys.readouterr().out


def test_no_file_of_others_is_replaced_and_nothing_is_written_into_a_corpus(tmp_path: Path) -> None:
    run = run_failing(tmp_path, "dice")
    train = source(tmp_path / "train.jsonl")
    own_file = tmp_path / "mine.jsonl"
    shard = tmp_path / "corpus/traces/shard-000000.jsonl"
    shard.parent.mkdir(parents=True)
    for path, words in ((own_file, "--force"), (shard, "inside the corpus")):
        path.write_text("by hand")
        with pytest.raises(InputError, match=words):
            main(["weak", str(run), "--source", str(train), "--out", str(path)])
        assert path.read_text() == "by hand"
    with pytest.raises(InputError, match="inside the corpus"):
        main(["compare", str(run), str(run), "--out", str(shard.parent)])
    for _ in range(2):
        assert (
            main(["weak", str(run), "--source", str(train), "--out", str(own_file), "--force"]) == 0
        )


def test_nearest_gives_everybodys_first_before_anybodys_second() -> None:
    pool = [(text(kind, a, 5), str(a)) for a in range(100, 103) for kind in ("eggs", "dice")]
    neighbours = list(
        nearest([text("eggs", 7, 3), text("dice", 7, 3)], lambda: pool, 2, lambda _: False)
    )
    assert [n.near for n in neighbours] == [0, 1, 0, 1]
    assert len({n.text for n in neighbours}) == 4


def edited(problem: str, dice: random.Random) -> str:
    """The problem with words left out, put in and replaced, and numbers changed, at random."""
    words = problem.split()
    for _ in range(dice.randint(0, 12)):
        place = dice.randrange(len(words))
        words[place : place + dice.randint(0, 2)] = dice.choices(
            ["", "then", "Suppose", str(dice.randint(2, 9)), words[place]], k=dice.randint(0, 2)
        )
        words = words or ["What?"]
    return " ".join(filter(None, words))


def test_what_is_left_out_as_a_copy_is_what_the_generator_and_the_trainer_would_leave_out(
    tmp_path: Path,
) -> None:
    run = run_failing(tmp_path, *KINDS)
    dice = random.Random(7)
    edits = {edited(text(kind, 7, 3), dice) for kind in KINDS for _ in range(250)}
    rows = [{"problem": edit, "answer": "4"} for edit in sorted(edits)]
    write_weak(run, "", lines(tmp_path / "train.jsonl", rows), len(edits), None)
    chosen_problems = {row["problem"] for row in written(run / "weak.jsonl")}
    index = EvaluationIndex({"gsm8k": [text(kind, 7, 3) for kind in KINDS]})
    copies = {edit for edit in edits if index.has_copy_of(edit)}
    assert 100 < len(copies) < len(edits) - 100
    assert not chosen_problems & copies
    assert len(chosen_problems | copies) > 0.95 * len(
        edits
    )  # what shares no shingle is near nothing


def test_the_same_exercise_with_other_numbers_is_no_copy_and_a_reworded_one_with_its_numbers_is() -> (
    None
):
    index = EvaluationIndex({"gsm8k": [text("train", 80, 3)]})
    assert index.has_copy_of(
        "A train leaves the station at $80$ km per hour, and travels for 3 hours. How many"
        " kilometers?"
    )
    assert not index.has_copy_of(text("train", 90, 4))
    assert not index.has_copy_of("A car drives 80 km per hour for 3 hours. How far does it go?")


def test_the_dress_of_a_problem_makes_it_no_less_near() -> None:
    target = "Compute $\\dfrac{1}{2}+\\sin 60^\\circ$ for the given angle."
    pool = [
        ("Compute 1/2 plus the cosine of an angle.", "0"),
        ("**Problem 9.** compute \\(\\frac{1}{3} + \\sin 30°\\) for the given angle", "1"),
    ]
    neighbours = list(nearest([target], lambda: pool, 2, lambda _: False))
    assert [neighbour.answer for neighbour in neighbours] == ["1", "0"]
    assert neighbours[0].similarity == pytest.approx(1.0)
