"""Problems from files, folders and hub-shaped folders: order, memory, bad lines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.config import ProblemsConfig
from generator.problems import open_problems
from generator.problems.hub import is_hub_name, open_hub
from generator.problems.order import Permutation, shuffled
from shared.errors import InputError
from shared.records import Problem
from tests.generator.problems.problem_files import ROWS, opened, write_lines, write_parquet


def test_the_same_seed_gives_the_same_order_and_a_limit_takes_its_beginning(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", ROWS)
    first_order = [p.text for p in opened(path, seed=3)]
    assert first_order == [p.text for p in opened(path, seed=3)]
    assert first_order[:20] == [p.text for p in opened(path, seed=3, limit=20)]
    assert first_order != [p.text for p in opened(path, seed=4)]
    assert sorted(first_order) == sorted(row["problem"] for row in ROWS)


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
            "no field 'problem' or 'question': it has text (problems.problem_field names the problem's)",
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
    first_problems = list(opened("synthetic:arithmetic", limit=50, seed=5))
    assert first_problems == list(opened("synthetic:arithmetic", limit=50, seed=5))
    assert all(p.gold and p.source == "synthetic:arithmetic" for p in first_problems)
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


# `datasets` reads a folder through the same streaming code as a hub repository.
@pytest.mark.slow
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
    assert is_hub_name("openai/gsm8k:main")
    assert not is_hub_name("./data/x")
    assert not is_hub_name("a/b/c")
