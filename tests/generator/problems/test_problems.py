"""Problems from files, folders and hub-shaped folders: order, memory, bad lines, golds, what
NuminaMath-CoT skips.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.config import ProblemsConfig
from generator.problems import ProblemStream, open_problems
from generator.problems.hub import is_hub_name, open_hub
from generator.problems.order import Permutation, shuffled
from generator.problems.rows import gold_of_solution
from shared.errors import InputError
from shared.records import Problem

ROWS = [
    {"problem": f"What is {n} + {n}?", "solution": f"It is \\boxed{{{2 * n}}}."} for n in range(200)
]


def opened(source: Path | str, **keys: Any) -> ProblemStream:
    return open_problems(ProblemsConfig(source=str(source), **keys))


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]], group: int = 50) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)
    return path


def test_gsm8k_rows_give_the_question_and_what_follows_the_hashes(tmp_path: Path) -> None:
    row = {
        "question": "Ann has 2 pens and buys 3. How many?",
        "answer": "2 + 3 = <<2+3=5>>5 pens.\n#### 5",
    }
    (tmp_path / "gsm8k").mkdir()
    (problem,) = opened(write_lines(tmp_path / "gsm8k" / "train.jsonl", [row]))
    assert problem == Problem.of(row["question"], "5", "gsm8k/train")


def test_math_rows_give_the_last_box_with_its_braces_balanced(tmp_path: Path) -> None:
    row = {
        "problem": "Find x.",
        "solution": "First \\boxed{1}, no: $\\boxed{\\frac{1}{\\sqrt{2}}}$.",
    }
    (problem,) = opened(write_lines(tmp_path / "math.jsonl", [row]))
    assert problem.gold == "\\frac{1}{\\sqrt{2}}"


def test_a_short_answer_column_is_preferred_to_the_solutions_box(tmp_path: Path) -> None:
    row = {"problem": "Find x.", "solution": "so \\boxed{\\textbf{(073)}}", "answer": "73"}
    (problem,) = opened(write_lines(tmp_path / "aime.jsonl", [row]))
    assert problem.gold == "73"


def test_a_configured_answer_field_is_used_as_it_is(tmp_path: Path) -> None:
    row = {"prompt": "Find x.", "key": 7, "solution": "\\boxed{8}"}
    path = write_lines(tmp_path / "own.jsonl", [row])
    (problem,) = opened(path, problem_field="prompt", answer_field="key")
    assert (problem.text, problem.gold) == ("Find x.", "7")


def test_a_row_without_any_answer_has_no_gold(tmp_path: Path) -> None:
    rows = [
        {"problem": "One?", "answer": ""},
        {"problem": "Two?"},
        {"problem": "Three?", "solution": "unboxed"},
    ]
    assert [p.gold for p in opened(write_lines(tmp_path / "x.jsonl", rows))] == [None, None, None]


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        ("\\boxed{a} then, after much thought, \\boxed{b}", "b"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed {x}", "x"),
        ("\\fbox{C}", "C"),
        ("2 + 2 = 4\n#### 1,234", "1,234"),
        ("no box", None),
        ("\\boxed", None),
        ("\\boxed{torn", None),
    ],
)
def test_the_gold_is_the_last_box_or_what_follows_the_hashes(
    solution: str, gold: str | None
) -> None:
    assert gold_of_solution(solution) == gold


def test_the_same_seed_gives_the_same_order_and_a_limit_takes_its_beginning(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", ROWS)
    first = [p.text for p in opened(path, seed=3)]
    assert first == [p.text for p in opened(path, seed=3)]
    assert first[:20] == [p.text for p in opened(path, seed=3, limit=20)]
    assert first != [p.text for p in opened(path, seed=4)]
    assert sorted(first) == sorted(row["problem"] for row in ROWS)


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_every_row_of_every_file_of_a_folder_comes_once(tmp_path: Path, write: Any) -> None:
    suffix = "jsonl" if write is write_lines else "parquet"
    (tmp_path / "deep").mkdir()
    write(tmp_path / f"a.{suffix}", ROWS[:70])
    write(tmp_path / "deep" / f"b.{suffix}", ROWS[70:])
    texts = [p.text for p in opened(tmp_path)]
    assert sorted(texts) == sorted(row["problem"] for row in ROWS)
    assert texts != [row["problem"] for row in ROWS]


@given(st.integers(0, 700), st.integers(0, 10**6))
def test_a_permutation_visits_every_number_once(n: int, seed: int) -> None:
    order = Permutation(n, seed)
    assert sorted(order[i] for i in range(n)) == list(range(n))


def test_a_permutation_spreads_neighbours_evenly() -> None:
    order = Permutation(10_000, 1)
    early = [order[i] for i in range(1000)]
    tenths = [sum(1 for n in early if n // 1000 == tenth) for tenth in range(10)]
    assert min(tenths) > 60
    assert max(tenths) < 140


def test_a_shuffle_buffer_keeps_every_item() -> None:
    items = list(shuffled(range(1000), seed=2, size=64))
    assert sorted(items) == list(range(1000))
    assert items[:64] != list(range(64))


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"problem": "One?", "answer": "1"}\r\n\r\n   \n{"problem": "Two?", "answer":'
        b' "2"}'
    )
    assert sorted(p.text for p in opened(path)) == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"problem": "torn', "not JSON"),
        (b"[1, 2]", "a JSON list where an object belongs"),
        (
            b'{"text": "x"}',
            "no field 'problem' or 'question', which problems.problem_field names: it has text",
        ),
        (b'{"problem": "  "}', "field 'problem' is empty"),
        (b'{"problem": 3}', "field 'problem' is int, not a text"),
        (b'{"problem": "\xff"}', "not JSON"),
    ],
)
def test_a_bad_line_stops_before_the_first_problem_naming_file_line_and_remedy(
    tmp_path: Path, line: bytes, why: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"problem": "One?", "answer": "1"}\n' + line + b"\n")
    with pytest.raises(InputError) as stop:
        opened(path)
    message = str(stop.value)
    assert message.startswith(f"{path}:2: {why}")
    assert 'problems.on_bad_line = "skip"' in message
    assert "\n" not in message


def test_skipped_bad_lines_are_counted_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"problem": "One?"}\nnonsense\n{"problem": "Two?"}\n{}\n')
    stream = opened(path, on_bad_line="skip")
    assert sorted(p.text for p in stream) == ["One?", "Two?"]
    assert stream.tally.bad_rows == 2
    assert [entry.split(": ")[0] for entry in stream.tally.bad] == [f"{path}:2", f"{path}:4"]


def test_bad_rows_of_a_parquet_file_are_named_by_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [{"problem": "One?"}, {"problem": None}])
    with pytest.raises(InputError, match=r"x\.parquet:2: field 'problem' is NoneType"):
        opened(path)
    stream = opened(path, on_bad_line="skip")
    assert [p.text for p in stream] == ["One?"]
    assert stream.tally.bad_rows == 1


@pytest.mark.parametrize("damage", ["head", "page"])
def test_a_damaged_parquet_file_is_the_users_to_mend(tmp_path: Path, damage: str) -> None:
    path = write_parquet(tmp_path / "x.parquet", ROWS)
    data = bytearray(path.read_bytes())
    data[:] = data[: len(data) // 2] if damage == "head" else data[:4] + b"\xff" * 400 + data[404:]
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.parquet: .*Parquet"):
        opened(path)


@pytest.mark.parametrize("name", ["missing.jsonl", "./missing/folder/x", "missing.parquet"])
def test_a_missing_path_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no such file or folder: correct problems.source"):
        opened(f"{tmp_path}/{name}")


def test_a_folder_without_data_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data file in this folder"):
        opened(tmp_path)


def test_synthetic_problems_are_endless_seeded_and_have_golds() -> None:
    first = list(opened("synthetic:arithmetic", limit=50, seed=5))
    assert first == list(opened("synthetic:arithmetic", limit=50, seed=5))
    assert all(p.gold and p.source == "synthetic:arithmetic" for p in first)
    with pytest.raises(InputError, match="synthetic:algebra"):
        opened("synthetic:algebra")


def test_the_limit_counts_what_the_screen_lets_through(tmp_path: Path) -> None:
    def odd(problem: Problem) -> str:
        return "" if int(problem.gold or 0) % 4 else "even"

    stream = open_problems(
        ProblemsConfig(source=str(write_lines(tmp_path / "x.jsonl", ROWS)), limit=30), odd
    )
    assert len(list(stream)) == 30
    assert stream.tally.read == 30 + stream.tally.skipped["even"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak_megabytes(rows: int) -> float:
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as file:
            for n in range(rows):
                file.write(
                    json.dumps(
                        {"problem": f"Problem {n}: " + "words " * 40, "solution": f"\\boxed{{{n}}}"}
                    )
                    + "\n"
                )
        program = (
            "import resource, sys\nfrom generator.config import ProblemsConfig\n"
            "from generator.problems import open_problems\n"
            "n = sum(1 for _ in open_problems(ProblemsConfig(source=sys.argv[1])))\n"
            "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        out = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
        )
        count, megabytes = out.stdout.split()
        assert int(count) == rows
        return float(megabytes)

    assert peak_megabytes(200_000) < peak_megabytes(2_000) + 8


# ---- NuminaMath-CoT
# -------------------------------------------------------------------------------------------------


def numina(source: str, problem: str, solution: str) -> dict[str, Any]:
    return {
        "source": source,
        "problem": problem,
        "solution": solution,
        "messages": [{"role": "user", "content": problem}],
    }


TAKEN = [
    (
        "cn_k12",
        "Given $a>0$, if $a^2 = 9$, then $a=$ ( )\nA: $1$\nB: $2$\nC: $3$\nD: $4$",
        "So $\\boxed{C}$.",
        "C",
    ),
    (
        "amc_aime",
        "The sum is $\\textbf{(A)}\\ 7\\qquad\\textbf{(B)}\\ 9\\qquad\\textbf{(C)}\\ 11$",
        "\\boxed{B}",
        "B",
    ),
    ("olympiads", "Find all real $x$ with $x^2=4$.", "Thus $\\boxed{-2, 2}$.", "-2, 2"),
    (
        "orca_math",
        "A shop sells 3 pens (1 red and 2 blue). How many are blue?",
        "There are $\\boxed{2}$.",
        "2",
    ),
    (
        "math",
        "[asy] draw((0,0)--(1,1)); [/asy] In the diagram, find the slope.",
        "It is $\\boxed{1}$.",
        "1",
    ),
    (
        "olympiads",
        "Determine the smallest $n$ such that one can prove that $n! > 2^n$.",
        "$\\boxed{4}$",
        "4",
    ),
    ("synthetic_math", "If f(1) = 2 and f(2) = 3, what is f(1) + f(2)?", "\\boxed{5}", "5"),
]
SKIPPED = [
    (
        "olympiads",
        "Prove that $\\sqrt{2}$ is irrational.",
        "Suppose not… \\boxed{\\text{irrational}}",
        "a proof, not an answer",
    ),
    ("aops_forum", "Show that for all $n$, $n^2 \\geq n$.", "Trivial.", "a proof, not an answer"),
    ("cn_k12", "As shown in the figure, $AB=3$. Find the area.", "\\boxed{9}", "needs a figure"),
    ("olympiads", "Find the angle ![](https://example.org/p.png)", "\\boxed{30}", "needs a figure"),
    (
        "cn_k12",
        "(1) Find $f(0)$. (2) Find the minimum of $f$.",
        "(1) 1 (2) $\\boxed{0}$",
        "several parts",
    ),
    ("olympiads", "a) Solve. (a) Find x. (b) Find y.", "\\boxed{1}", "several parts"),
    ("aops_forum", "Find the largest $k$.", "The answer is 7.", "no gold in the solution"),
    ("olympiads", "Find the sum.", "\\boxed{\\text{Proof complete}}", "gold is not one answer"),
    (
        "math",
        "Find both roots.",
        "They are $\\boxed{1}$ and $\\boxed{3}$.",
        "gold is not one answer",
    ),
]


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_numina_rows_are_taken_or_left_out_with_a_reason(tmp_path: Path, write: Any) -> None:
    path = tmp_path / ("n.jsonl" if write is write_lines else "n.parquet")
    write(path, [numina(*row[:3]) for row in TAKEN + SKIPPED])
    stream = opened(path)
    golds = {p.text: p.gold for p in stream}
    assert golds == {problem: gold for _, problem, _, gold in TAKEN}
    reasons = [reason for *_, reason in SKIPPED]
    assert dict(stream.tally.skipped) == {reason: reasons.count(reason) for reason in reasons}


def test_only_sources_selects_and_the_sources_are_named_in_the_problems(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "numina.jsonl", [numina(*row[:3]) for row in TAKEN])
    stream = opened(path, only_sources=["olympiads", "math"])
    assert {p.source.rpartition("/")[2] for p in stream} == {"olympiads", "math"}
    assert stream.tally.skipped["not in only_sources"] == 4


def test_a_source_that_no_row_has_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "numina.jsonl", [numina(*row[:3]) for row in TAKEN])
    with pytest.raises(InputError, match="did you mean 'olympiads'"):
        opened(path, only_sources=["olympiad"])


def test_problems_without_a_gold_answer_are_told(tmp_path: Path) -> None:
    stream = opened(
        write_lines(tmp_path / "p.jsonl", [*ROWS[:3], {"problem": "Why?"}, {"problem": "How?"}])
    )
    assert sum(problem.gold is None for problem in stream) == 2
    assert stream.tally.in_words() == [
        "without a gold answer 2: their samples will be unverifiable"
    ]


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_an_answer_field_that_no_row_has_is_refused(
    tmp_path: Path, write: Callable[[Path, Any], Path]
) -> None:
    path = write(
        tmp_path / f"p.{'jsonl' if write is write_lines else 'parquet'}",
        [{"problem": "1 + 1?", "answer": "2"}],
    )
    with pytest.raises(
        InputError, match=r"answer_field: no row of .* has a field 'anser'; did you mean 'answer'\?"
    ):
        opened(path, answer_field="anser")
    assert next(opened(path, answer_field="answer")).gold == "2"


def test_a_numina_source_of_the_hub_is_checked_before_anything_is_fetched() -> None:
    with pytest.raises(InputError, match="no source of NuminaMath-CoT"):
        opened("AI-MO/NuminaMath-CoT", only_sources=["olympiad"])


# `datasets` reads a folder through the same streaming code as a hub repository.
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)
def test_a_hub_data_set_is_streamed_in_a_seeded_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    write_parquet(tmp_path / "set" / "train-00000.parquet", ROWS)
    rows = [row["problem"] for row in open_hub(str(tmp_path / "set"), "train", seed=1)]
    assert rows == [row["problem"] for row in open_hub(str(tmp_path / "set"), "train", seed=1)]
    assert sorted(rows) == sorted(row["problem"] for row in ROWS)
    with pytest.raises(InputError, match="split nosuch"):
        list(open_hub(str(tmp_path / "set"), "nosuch", seed=1))


def test_hub_names_are_told_from_paths() -> None:
    assert is_hub_name("AI-MO/NuminaMath-CoT")
    assert is_hub_name("modelscope:AI-MO/NuminaMath-CoT")
    assert is_hub_name("openai/gsm8k:main")
    assert not is_hub_name("./data/x")
    assert not is_hub_name("a/b/c")


def test_modelscope_without_its_package_says_how_to_get_it() -> None:
    try:
        import modelscope  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="pip install 'modelscope"):
            opened("modelscope:AI-MO/NuminaMath-CoT")
    else:
        pytest.skip("modelscope is installed here")


def test_the_plan_shows_what_is_taken_by_source_and_what_is_left_out_and_why(
    tmp_path: Path,
) -> None:
    write_lines(tmp_path / "numina.jsonl", [numina(*row[:3]) for row in TAKEN + SKIPPED])
    config = tmp_path / "c.toml"
    config.write_text(
        f'corpus = "{tmp_path}/corpus"\n[problems]\nsource = "{tmp_path}/numina.jsonl"\n'
        '[[lane]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    )
    command = [sys.executable, "-m", "generator", "plan", str(config)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "problems   7 after screening" in out
    assert "numina/olympiads 2" in out
    assert "left out of 16: " in out
    assert "several parts 2" in out
    assert "a proof, not an answer 2" in out


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("42", "42"),
        (42, "42"),
        (["42"], "42"),
        ("['42']", "42"),
        ('["42"]', "42"),
        ([7], "7"),
        ("work\n#### 42\nThe answer is: 42", "42"),
        ("work\n####  42 \n", "42"),
        ("####\n42", "42"),
        ("20 + 22 = 42, so she has 42 melons. The answer is: 42", "42"),
        ("So it is $\\boxed{42}$. The answer is: 42", "42"),
        ("all real numbers x except 0", "all real numbers x except 0"),
        ("none of these", "none of these"),
        ("f(x) = x for all positive integers n", "f(x) = x for all positive integers n"),
        ("Monday", "Monday"),
        ("\\text{no real solutions}", "\\text{no real solutions}"),
        ("[2, 3]", "[2, 3]"),
        ("[1,\\infty)", "[1,\\infty)"),
    ],
)
def test_a_gold_is_read_however_it_is_stored(tmp_path: Path, answer: Any, gold: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", [{"problem": "How many?", "answer": answer}])
    for field in ("", "answer"):
        assert [p.gold for p in opened_with_golds(path, answer_field=field)] == [gold]


def opened_with_golds(source: Path | str, **keys: Any) -> ProblemStream:
    return open_problems(ProblemsConfig(source=str(source), **keys), needs_gold=True)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("proof", "gold is no answer"),
        ("Proof.", "gold is no answer"),
        ("notfound", "gold is no answer"),
        ("not found", "gold is no answer"),
        ("N/A", "gold is no answer"),
        ("nan", "gold is no answer"),
        ("None", "gold is no answer"),
        ("see solution", "gold is no answer"),
        ({"value": 1}, "gold is no answer"),
        ("", "no gold answer"),
        ("  ", "no gold answer"),
        (None, "no gold answer"),
        ([], "no gold answer"),
        (["1", "2"], "gold is several answers"),
        ("['1', '2']", "gold is several answers"),
        (["proof"], "gold is no answer"),
        ("\\boxed{proof}", "gold is no answer"),
        ("20 + 22 = 42, so she has 42 melons.", "gold is a sentence, not an answer"),
        ("Tom keeps 42 pens left over.", "gold is a sentence, not an answer"),
        (
            "First we add the numbers and see how large the sum gets " * 5,
            "gold is a sentence, not an answer",
        ),
    ],
)
def test_a_gold_that_is_no_answer_is_skipped_with_a_reason(
    tmp_path: Path, answer: Any, reason: str
) -> None:
    rows = [{"problem": "How many?", "answer": answer}, {"problem": "And now?", "answer": "5"}]
    for field in ("", "answer"):
        stream = opened_with_golds(write_lines(tmp_path / "p.jsonl", rows), answer_field=field)
        assert [p.gold for p in stream] == ["5"]
        assert dict(stream.tally.skipped) == {reason: 1}


def test_a_missing_number_of_a_table_is_no_gold(tmp_path: Path) -> None:
    rows = [
        {"problem": "How many?", "answer": float("nan")},
        {"problem": "And now?", "answer": 5.0},
    ]
    stream = opened_with_golds(write_parquet(tmp_path / "p.parquet", rows))
    assert [p.gold for p in stream] == ["5.0"]
    assert dict(stream.tally.skipped) == {"no gold answer": 1}


def test_rows_of_numina_1_5_say_themselves_what_they_are(tmp_path: Path) -> None:
    marks = {
        "problem_type": "Algebra",
        "problem_is_valid": "Yes",
        "solution_is_valid": "Yes",
        "source": "inequalities",
    }
    row = {
        "problem": "Stack them. How many?",
        "solution": "so 42",
        "answer": "42",
        "question_type": "MCQ",
        **marks,
    }
    rows = [
        row,
        {**row, "question_type": "proof"},
        {**row, "answer": "proof"},
        {**row, "answer": "notfound"},
        {**row, "problem_is_valid": "Incomplete"},
        {**row, "solution_is_valid": "Problem not solved"},
    ]
    for path in (
        write_lines(tmp_path / "p.jsonl", rows),
        write_parquet(tmp_path / "p.parquet", rows),
    ):
        stream = opened_with_golds(path)
        assert [p.gold for p in stream] == ["42"]
        assert sum(stream.tally.skipped.values()) == 5
        assert stream.tally.skipped["a proof, not an answer"] == 1
        assert stream.tally.skipped["marked as not whole"] == 2
        assert stream.tally.skipped["gold is no answer"] == 2


@pytest.mark.parametrize("write", [write_lines, write_parquet])
@pytest.mark.parametrize(
    ("row", "advice"),
    [
        (
            {"question": "1+1?", "final_answer": "2", "topic": "sums"},
            "problems.answer_field = 'final_answer'",
        ),
        ({"problem": "1+1?", "response": "so 2", "n": 1}, "problems.solution_field = 'response'"),
        (
            {"problem": "1+1?", "zahl": "2"},
            r"set problems.answer_field \(its columns: problem, zahl\)",
        ),
        ({"problem": "1+1?", "answer": "notfound"}, "gold is no answer"),
    ],
)
def test_a_source_without_any_gold_is_refused_with_its_likely_columns(
    tmp_path: Path, write: Callable[[Path, Any], Path], row: dict[str, Any], advice: str
) -> None:
    path = write(tmp_path / f"p.{'jsonl' if write is write_lines else 'parquet'}", [row] * 3)
    with pytest.raises(InputError, match=advice) as refused:
        opened_with_golds(path)
    assert "keep_unverifiable = true" in str(refused.value)
    assert len(list(opened(path))) == 3


SPLIT_FOLDERS = [
    (["main/train.jsonl", "main/test.jsonl"], "train", ["main/train.jsonl"]),
    (["main/train.jsonl", "main/test.jsonl"], "test", ["main/test.jsonl"]),
    (
        ["main/train.jsonl", "main/test.jsonl"],
        "train+test",
        ["main/test.jsonl", "main/train.jsonl"],
    ),
    (["main/train.jsonl", "main/test.jsonl"], "all", ["main/test.jsonl", "main/train.jsonl"]),
    (
        [
            "data/train-00000-of-00002.jsonl",
            "data/train-00001-of-00002.jsonl",
            "data/test-00000-of-00001.jsonl",
        ],
        "train",
        ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"],
    ),
    (
        ["train/0000.jsonl", "test/0000.jsonl", "validation/0000.jsonl"],
        "train",
        ["train/0000.jsonl"],
    ),
    (["train/0000.jsonl", "dev/0000.jsonl"], "validation", ["dev/0000.jsonl"]),
    (["a.jsonl", "b.jsonl"], "train", ["a.jsonl", "b.jsonl"]),
    (["a.jsonl", "my_test.jsonl"], "train", ["a.jsonl"]),
    (["MATH-train.jsonl", "MATH-500-test.jsonl", "contest.jsonl"], "train", ["MATH-train.jsonl"]),
    (
        ["algebra-00000-of-00001.jsonl", "train-00000-of-00001.jsonl"],
        "algebra",
        ["algebra-00000-of-00001.jsonl"],
    ),
]


@pytest.mark.parametrize(("names", "split", "taken"), SPLIT_FOLDERS)
def test_the_split_of_a_folder_is_chosen_by_the_names_in_it(
    tmp_path: Path, names: list[str], split: str, taken: list[str]
) -> None:
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        write_lines(tmp_path / "set" / name, [{"problem": name, "answer": "1"}])
    stream = opened(tmp_path / "set", split=split)
    assert sorted(problem.text for problem in stream) == taken
    line = stream.tally.files
    assert bool(line) == (len(taken) < len(names))
    for name in set(names) - set(taken) if line else ():
        assert name in line.partition("left out")[2]


def test_a_split_that_no_file_has_is_refused_and_a_file_named_by_itself_is_taken(
    tmp_path: Path,
) -> None:
    path = write_lines(tmp_path / "test.jsonl", ROWS[:2])
    with pytest.raises(
        InputError, match=r"problems.split: no file of .* belongs to 'train' .*test: test.jsonl"
    ):
        opened(tmp_path)
    with pytest.raises(InputError, match=r"use problems\.limit"):
        opened(tmp_path, split="test[:10]")
    assert len(list(opened(path))) == 2


def test_a_configuration_folder_is_named_behind_a_colon(tmp_path: Path) -> None:
    for name in ("main", "socratic"):
        (tmp_path / "gsm8k" / name).mkdir(parents=True)
        write_lines(
            tmp_path / "gsm8k" / name / "train.jsonl", [{"question": name, "answer": "#### 1"}]
        )
    assert [problem.text for problem in opened(f"{tmp_path}/gsm8k:socratic")] == ["socratic"]
    assert len(list(opened(tmp_path / "gsm8k"))) == 2
