"""Which files of a folder belong to a split."""

from pathlib import Path

import pytest

from shared.errors import InputError
from tests.generator.problems.problem_files import ROWS, opened, write_lines

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
