"""The stories' own eyes: what is broken on purpose is seen, and a seed plays again."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import corpus_reader, kinds, runner, table
from tests.chaos.generation import Generation, always
from tests.chaos.processes import Programs
from tests.chaos.story import Story
from tests.chaos.teacher import problem_line

WORDS = "--kinds {} --rounds {} --first {}"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A story without processes of the programs."""
    programs = Programs(runner.ROOT, dict.fromkeys(runner.PROGRAMS, sys.executable), None)
    made = Story("kills", 3, programs, tmp_path)
    yield made
    made.close(keep=True)
    programs.close()


def row(number: int, **changes: object) -> dict[str, object]:
    problem = json.loads(problem_line(number))
    made = {
        "id": f"{number:016x}:0",
        "problem": problem["problem"],
        "verdict": "correct",
        "final_answer": problem["answer"],
        "reason": "equal",
        "reasoning": "",
        "response": "",
    }
    return made | changes


def write(folder: Path, name: str, *rows: dict[str, object], tail: bytes = b"") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in rows) + tail)
    return path


def test_a_row_that_stands_twice_a_torn_seal_and_a_line_that_is_no_row_are_faults(
    tmp_path: Path,
) -> None:
    write(tmp_path, "traces/shard-000000.jsonl", row(1), tail=b'{"id": "x')
    write(tmp_path, "part-0001/rejected/shard-000000.jsonl.open", row(1), row(2), tail=b"[7]\n{")
    faults = corpus_reader.read(tmp_path).faults
    assert [fault.split(":")[0] for fault in faults[:1]] == ["traces/shard-000000.jsonl"]
    assert any("stands twice" in fault for fault in faults)
    assert any("no row" in fault for fault in faults)
    assert len(faults) == 3


def test_a_manifest_that_lacks_a_shard_or_has_another_hash_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, "traces/shard-000000.jsonl", row(1))
    corpus = corpus_reader.read(tmp_path)
    assert corpus_reader.manifest_faults(tmp_path, corpus)
    shard = {"name": "traces/shard-000000.jsonl"} | {"sha256": corpus.sealed.popitem()[1]}
    manifest = tmp_path / "manifest.json"
    corpus = corpus_reader.read(tmp_path)
    manifest.write_text(json.dumps({"shards": [shard]}))
    assert corpus_reader.manifest_faults(tmp_path, corpus) == []
    manifest.write_text(json.dumps({"shards": [shard | {"sha256": "0"}]}))
    assert corpus_reader.manifest_faults(tmp_path, corpus)


def test_rows_that_vanish_a_wrong_answer_and_a_missing_problem_are_violations(
    story: Story,
) -> None:
    generation = Generation(story)
    generation.serve(always("plain"))
    generation.write_problems(3)
    write(generation.corpus, "traces/shard-000000.jsonl", row(0), row(1))
    generation.look()
    assert story.violations == []
    write(generation.corpus, "traces/shard-000000.jsonl", row(0), row(2, final_answer="7"))
    generation.complete(check=False)
    seen = " ".join(story.violations)
    for part in ("rows lost", "is gone or changed", "1 of 3 problems", "kept a wrong answer"):
        assert part in seen


def test_a_key_in_a_file_and_a_process_that_is_left_behind_are_violations(
    tmp_path: Path,
) -> None:
    programs = Programs(runner.ROOT, dict.fromkeys(runner.PROGRAMS, sys.executable), None)
    story = Story("kills", 4, programs, tmp_path)
    (story.folder / "log.txt").write_text(f"refused: {story.key}")
    variables = os.environ | {"CHAOS_STORY": story.folder.name}
    with subprocess.Popen(["sleep", "60"], env=variables) as process:
        story.close(keep=True)
        assert process.wait(5) == -signal.SIGKILL
    assert any("left behind" in text for text in story.violations)
    assert any("the key stands in log.txt" in text for text in story.violations)
    programs.close()


def test_a_seed_makes_the_same_choices_and_another_makes_others(tmp_path: Path) -> None:
    programs = Programs(runner.ROOT, {}, None)
    draws = [Story("kills", seed, programs, tmp_path).rng.random() for seed in (7, 7, 8)]
    assert draws[0] == draws[1] != draws[2]


def planned(text: str, *, has_machine: bool = True) -> list[tuple[str, int]]:
    from tests.chaos.__main__ import parser

    arguments: argparse.Namespace = parser().parse_args(text.split())
    return list(runner.plan(arguments, has_machine))


def test_a_round_plays_each_kind_by_its_share_and_counts_are_kept() -> None:
    share = kinds.load()["kills"].share
    stories = planned(WORDS.format("kills", 2, 100))
    assert sorted(stories) == [("kills", 100 + seed) for seed in range(2 * share)]
    assert sorted(planned("--kinds kills=3,drains=1")) == [
        ("drains", 0),
        *(("kills", seed) for seed in range(3)),
    ]
    assert planned("--one kills:5 --plays 2") == [("kills", 5)] * 2
    with pytest.raises(SystemExit, match="no kind"):
        planned("--kinds kilns")


def test_a_kind_that_needs_the_hostile_machine_is_named_where_there_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert planned("--kinds power_cuts=1,kills=1", has_machine=False) == [("kills", 0)]
    assert "power_cuts is not planned" in capsys.readouterr().out


def test_the_table_counts_stories_kills_and_violations(tmp_path: Path) -> None:
    record = {"program": "generator", "kind": "kills", "kills": 3, "starts": 4, "seconds": 1.0}
    good = record | {"seed": 0, "violations": [], "error": ""}
    bad = record | {"seed": 1, "violations": ["lost"], "error": ""}
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in (good, bad)) + '{"torn')
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    assert table.main([str(log)], str(page)) == 0
    text = page.read_text()
    assert "| generator | 2 | 6 | 8 | 1 |" in text
    assert "| 2 | 6 | 1 |\n" in text
    assert "\n- `kills`: 0–1\n" in text
    assert " kinds, each played 0 times or more.\n" in text
    assert max(map(len, text.splitlines())) <= 200
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text


def test_the_hostile_machine_kills_fails_and_fills_where_it_is_told_to(tmp_path: Path) -> None:
    library = runner.hostile_machine("", tmp_path)
    if library is None:
        pytest.skip("no C compiler")
    folder = tmp_path / "folder"
    folder.mkdir()
    program = f"f = open({str(folder / 'file')!r}, 'wb', 0)\nprint(f.write(b'abcdefgh'))\n"

    def run(**machine: object) -> tuple[int, str]:
        variables = {f"CHAOS_{name}": str(value) for name, value in machine.items()}
        ended = subprocess.run(
            [sys.executable, "-ISc", program],
            env={"LD_PRELOAD": str(library), "CHAOS_DIR": str(folder), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

    assert run() == (0, "8\n")
    assert run(KILL_AT=2, KILL_HOW="torn")[0] == -signal.SIGKILL
    assert (folder / "file").read_bytes() == b"abcd"
    assert run(KILL_AT=2, KILL_HOW="power")[0] == -signal.SIGKILL
    assert (folder / "file").read_bytes() == b""
    assert run(QUOTA=5) == (0, "5\n")
    code, text = run(FAIL_AT=2, FAIL_ERRNO=5)
    assert code == 1
    assert "Input/output error" in text
