"""Data quality in whole runs: no call for a copy, samples until correct, a longer budget for a
cut one.
"""

import json
from collections import Counter
from pathlib import Path

from benchmarks.disguise import disguise
from benchmarks.made_up import made_up
from tests.generator.process_runs import configure, generator, rehearsal, rows


def test_no_call_is_spent_on_a_disguised_evaluation_problem(tmp_path: Path) -> None:
    hidden = [made_up("evaluation", n) for n in range(40)]
    asked = [made_up("training", n) for n in range(60)]
    write(tmp_path / "eval.jsonl", [{"problem": text, "answer": "1"} for text in hidden])
    mixture = [disguise(text, n) for n, text in enumerate(hidden)] + asked + asked[:10]
    write(tmp_path / "mixed.jsonl", [{"problem": text, "answer": "7"} for text in mixture])
    write(tmp_path / "replay.jsonl", [replay(text, "7") for text in mixture])
    with rehearsal("--replay", str(tmp_path / "replay.jsonl")) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__source=str(tmp_path / "mixed.jsonl"),
            problems__limit=0,
            problems__exclude=[str(tmp_path / "eval.jsonl")],
        )
        process = generator("run", config)
        assert process.returncode == 0, process.stderr
        assert teacher.stats()["calls"] == 60
    assert {row["problem"] for row in rows(tmp_path / "corpus")} == set(asked)


def test_until_correct_stops_at_the_first_correct_sample_and_at_the_most_samples(
    tmp_path: Path,
) -> None:
    problems = [made_up("training", n) for n in range(30)]
    write(tmp_path / "p.jsonl", [{"problem": text, "answer": "7"} for text in problems])
    write(
        tmp_path / "r.jsonl",
        [replay(text, "7" if n % 3 else "8") for n, text in enumerate(problems)],
    )
    with rehearsal("--replay", str(tmp_path / "r.jsonl")) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__source=str(tmp_path / "p.jsonl"),
            problems__limit=0,
            sampling__until_correct=1,
            sampling__max_samples=4,
        )
        assert generator("run", config).returncode == 0
        assert teacher.stats()["calls"] == 20 + 10 * 4
    by_problem = Counter(row["problem_id"] for row in rows(tmp_path / "corpus"))
    assert Counter(by_problem.values()) == {1: 20, 4: 10}
    assert generator("suspects", tmp_path / "corpus").stdout.count("10 problems") == 1


def test_a_cut_sample_is_asked_once_more_with_the_longer_budget(tmp_path: Path) -> None:
    with rehearsal("--faults", "length=1") as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__limit=5,
            sampling__max_tokens=300,
            sampling__longer_max_tokens=900,
        )
        assert generator("run", config).returncode == 0
    budgets = Counter(
        (row["sample"], row["params"]["max_tokens"]) for row in rows(tmp_path / "corpus")
    )
    assert budgets == {(0, 300): 5, (1, 900): 5}


def write(path: Path, lines: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def replay(problem: str, answer: str) -> dict[str, str]:
    reasoning = (
        "Okay, let me think about this problem for a while and add it all up. It comes to"
        f" {answer}."
    )
    return {"problem": problem, "reasoning": reasoning, "response": f"\\boxed{{{answer}}}"}
