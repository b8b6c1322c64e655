"""Whole runs against a server that answers from a script: what is reported is what the script
says.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from evaluation.__main__ import main
from shared.errors import InputError
from tests.evaluation.conftest import (
    Endpoint,
    Reply,
    Script,
    number_of,
    write_config,
    write_problems,
)

Serve = Callable[[Script], Endpoint]

# One letter a problem, repeated: R right, W wrong in a box, N no answer in any box, L cut off by
# the limit while thinking, a box among the thoughts.
BASE = "RWNLRWNLWW"
TUNED = "RRRRRWNLRR"
N = 60


def reply(kind: str, number: int) -> Reply:
    return {
        "R": {"text": f"<think>\nhm\n</think>\n\nIt is \\boxed{{{number}}}.", "tokens": 20},
        "W": {"text": f"It is \\boxed{{{number + 1}}}.", "tokens": 12},
        "N": {"text": "I cannot say.", "tokens": 8},
        "L": {"text": f"<think>\nperhaps \\boxed{{{number}}}", "tokens": 64, "finish": "length"},
    }[kind]


def scripted(problem: str, model: str, _: int) -> Reply:
    number = number_of(problem)
    return reply((BASE if model == "base" else TUNED)[number % 10], number)


@pytest.fixture
def finished_evaluation(serve: Serve, tmp_path: Path) -> tuple[Path, Endpoint]:
    """A finished run of 60 problems, and its endpoint."""
    endpoint = serve(scripted)
    problems = write_problems(tmp_path / "sums.jsonl", N)
    config = write_config(
        tmp_path / "c.toml", endpoint, ["base", "tuned"], str(problems), max_new_tokens=64
    )
    assert main(["run", str(config)]) == 0
    return config, endpoint


def comparison_of(config: Path, out: str = "out") -> dict[str, Any]:
    comparison = json.loads((config.parent / out / "comparison.json").read_text())
    entry: dict[str, Any] = comparison["benchmarks"]["sums"]
    return entry


@pytest.mark.slow
def test_accuracy_statistics_and_the_split_of_the_gain_are_those_of_the_script(
    finished_evaluation: tuple[Path, Endpoint],
) -> None:
    entry = comparison_of(finished_evaluation[0])
    base = (BASE * 6)[:N]
    tuned_kinds = (TUNED * 6)[:N]
    flips = [(b, t) for b, t in zip(base, tuned_kinds, strict=True) if (b == "R") != (t == "R")]
    fixed_kinds = [b for b, t in flips if t == "R"]
    assert (entry["n"], entry["base"]["correct"], entry["tuned"]["correct"]) == (
        N,
        base.count("R"),
        tuned_kinds.count("R"),
    )
    assert (entry["base"]["model"], entry["tuned"]["model"]) == ("base", "tuned")
    assert entry["base"]["accuracy"] == pytest.approx(base.count("R") / N)
    assert (entry["fixed"], entry["broken"]) == (len(fixed_kinds), len(flips) - len(fixed_kinds))
    assert entry["difference"] == pytest.approx((tuned_kinds.count("R") - base.count("R")) / N)
    assert entry["gain"] == {
        "format": fixed_kinds.count("N"),
        "finishing": fixed_kinds.count("L"),
        "reasoning": fixed_kinds.count("W"),
    }
    assert entry["mcnemar_p"] == pytest.approx(
        stats.binomtest(len(fixed_kinds), len(flips), 0.5).pvalue
    )
    interval = stats.binomtest(tuned_kinds.count("R"), N).proportion_ci(0.95, "wilson")
    assert entry["tuned"]["wilson95"] == pytest.approx([interval.low, interval.high])
    low, high = entry["interval95"]
    assert low < entry["difference"] < high
    tokens = sum({"R": 20, "W": 12, "N": 8, "L": 64}[kind] for kind in base)
    assert entry["base"]["tokens_per_correct"] == pytest.approx(tokens / base.count("R"))
    assert entry["base"]["unfinished"] == base.count("L")


@pytest.mark.slow
def test_lightevals_own_results_say_the_same_as_ours(
    finished_evaluation: tuple[Path, Endpoint],
) -> None:
    results = next(
        (finished_evaluation[0].parent / "out" / "tuned" / "lighteval").rglob("results_*.json")
    )
    scores = json.loads(results.read_text())["results"]["sums|0"]
    assert scores["graded"] == pytest.approx(
        comparison_of(finished_evaluation[0])["tuned"]["accuracy"]
    )
    assert list(
        (finished_evaluation[0].parent / "out" / "tuned" / "lighteval" / "details").rglob(
            "*.parquet"
        )
    )


@pytest.mark.slow
def test_a_second_run_asks_nothing_and_says_the_same(
    finished_evaluation: tuple[Path, Endpoint], capsys: pytest.CaptureFixture[str]
) -> None:
    config, endpoint = finished_evaluation
    before = comparison_of(config)
    calls = len(endpoint.bodies)
    assert main(["run", str(config)]) == 0
    assert comparison_of(config) == before
    assert len(endpoint.bodies) == calls
    out = capsys.readouterr().out
    assert "60 from the cache" in out
    assert "better: +50.0 points" in out


@pytest.mark.slow
def test_fresh_asks_everything_again(finished_evaluation: tuple[Path, Endpoint]) -> None:
    config, endpoint = finished_evaluation
    assert main(["run", str(config), "--fresh", "--set", "limit=5"]) == 0
    assert len(endpoint.bodies) == 2 * N + 2 * 5


def test_a_limit_takes_the_first_problems_in_the_order_of_the_file(
    serve: Serve, tmp_path: Path
) -> None:
    endpoint = serve(scripted)
    problems = write_problems(tmp_path / "sums.jsonl", N)
    config = write_config(tmp_path / "c.toml", endpoint, ["base"], str(problems), max_new_tokens=64)
    assert main(["run", str(config), "--set", "limit=7"]) == 0
    assert {number_of(problem) for _, problem in endpoint.asked} == set(range(7))
    assert comparison_of(config)["n"] == 7


@pytest.mark.slow
def test_another_limit_of_tokens_is_another_question_and_is_asked_again(
    finished_evaluation: tuple[Path, Endpoint],
) -> None:
    config, endpoint = finished_evaluation
    calls = len(endpoint.bodies)
    assert (
        main(["run", str(config), "--set", "generation.max_new_tokens=100", "--set", "limit=1"])
        == 0
    )
    assert len(endpoint.bodies) > calls
    assert endpoint.bodies[-1]["max_tokens"] == 100


@pytest.mark.slow
def test_greedy_decoding_ignores_the_seed_so_a_new_one_asks_nothing(
    finished_evaluation: tuple[Path, Endpoint],
) -> None:
    config, endpoint = finished_evaluation
    calls = len(endpoint.bodies)
    assert main(["run", str(config), "--set", "generation.seed=7"]) == 0
    assert len(endpoint.bodies) == calls


@pytest.mark.slow
def test_the_prompt_is_the_one_of_training_with_the_boxed_request(
    finished_evaluation: tuple[Path, Endpoint],
) -> None:
    body = finished_evaluation[1].bodies[0]
    assert body["messages"] == [
        {
            "role": "user",
            "content": f"{body['messages'][0]['content'].splitlines()[0]}\n"
            "Please reason step by step, and put your final answer within \\boxed{}.",
        }
    ]
    assert (body["temperature"], body["max_tokens"]) == (0.0, 64)


def test_several_samples_are_asked_with_seeds_of_their_own(serve: Serve, tmp_path: Path) -> None:
    endpoint = serve(lambda problem, _, call: reply("R" if call == 1 else "W", number_of(problem)))
    problems = write_problems(tmp_path / "sums.jsonl", 3)
    config = write_config(
        tmp_path / "c.toml",
        endpoint,
        ["m"],
        str(problems),
        max_new_tokens=64,
        samples=4,
        temperature=0.6,
    )
    assert main(["run", str(config)]) == 0
    entry = comparison_of(config)["base"]
    assert entry["accuracy"] == pytest.approx(0.25)
    assert entry["pass_at_k"] == {"1": 0.25, "2": 0.5, "4": 1.0}
    assert len({body["seed"] for body in endpoint.bodies}) == 12


@pytest.mark.slow
def test_quick_stops_early_when_the_answer_is_clear(serve: Serve, tmp_path: Path) -> None:
    endpoint = serve(
        lambda problem, model, _: reply("R" if model == "tuned" else "W", number_of(problem))
    )
    problems = write_problems(tmp_path / "sums.jsonl", 300)
    config = write_config(
        tmp_path / "c.toml", endpoint, ["base", "tuned"], str(problems), max_new_tokens=64
    )
    assert main(["run", str(config), "--quick"]) == 0
    entry = comparison_of(config)
    assert entry["quick"]["decision"] == "better"
    assert entry["n"] == entry["quick"]["asked"] < 60
    assert len(endpoint.bodies) == 2 * entry["n"]


@pytest.mark.slow
def test_two_finished_runs_are_compared_and_a_comparison_reported_again(
    finished_evaluation: tuple[Path, Endpoint], capsys: pytest.CaptureFixture[str]
) -> None:
    config, endpoint = finished_evaluation
    folder = config.parent
    calls = len(endpoint.bodies)
    out = folder / "across"
    assert (
        main(["compare", str(folder / "out" / "base"), str(folder / "out"), "--out", str(out)]) == 0
    )
    assert comparison_of(config, "across") == comparison_of(config)
    (out / "comparison.json").unlink()
    assert main(["report", str(out)]) == 0
    assert comparison_of(config, "across") == comparison_of(config)
    assert len(endpoint.bodies) == calls


@pytest.mark.slow
def test_comparing_runs_asked_differently_says_so(
    finished_evaluation: tuple[Path, Endpoint], tmp_path: Path
) -> None:
    config, _ = finished_evaluation
    second_folder = str(config.parent / "other")
    assert (
        main(
            [
                "run",
                str(config),
                "--set",
                f"out={second_folder}",
                "--set",
                "generation.prompt={problem} \\boxed?",
            ]
        )
        == 0
    )
    across = config.parent / "across"
    assert (
        main(["compare", str(config.parent / "out" / "base"), second_folder, "--out", str(across)])
        == 0
    )
    warnings = comparison_of(config, "across")["warnings"]
    assert any(re.search("asked with different prompt", warning) for warning in warnings)


@pytest.mark.slow
def test_a_folder_that_is_no_finished_run_is_refused(
    finished_evaluation: tuple[Path, Endpoint], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="neither the folder of a finished evaluation"):
        main(["compare", str(finished_evaluation[0].parent / "out"), str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match="no such file"):
        main(["report", str(tmp_path / "nowhere")])


def test_a_training_run_is_no_evaluation_and_is_not_written_over(
    serve: Serve, tmp_path: Path
) -> None:
    config = write_config(
        tmp_path / "c.toml", serve(scripted), ["base"], str(write_problems(tmp_path / "p.jsonl", 2))
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text('{"identity": {}, "data": {}}')
    for command in (
        ["run", str(config)],
        ["report", str(tmp_path / "out")],
        ["compare", *[str(tmp_path / "out")] * 2],
    ):
        with pytest.raises(InputError, match=r"manifest.json: not an evaluation's"):
            main(command)
    assert (tmp_path / "out/manifest.json").read_text() == '{"identity": {}, "data": {}}'
    (tmp_path / "out/manifest.json").write_text("{")  # damaged: what a run mends
    assert main(["run", str(config)]) == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Not a directory: give a folder"):
        main(["run", str(config), "--set", f"out={tmp_path}/file/out"])


@pytest.mark.slow
def test_a_finished_run_whose_answers_are_torn_says_which_line_and_is_mended_by_the_run(
    finished_evaluation: tuple[Path, Endpoint],
) -> None:
    config, _ = finished_evaluation
    answers = config.parent / "out/tuned/sums/answers.jsonl"
    before = comparison_of(config)
    answers.write_bytes(answers.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"answers.jsonl:\d+: torn: run the evaluation again"):
        main(["report", str(config.parent / "out")])
    assert main(["run", str(config)]) == 0
    assert comparison_of(config) == before


def test_names_too_long_or_without_ascii_letters_get_folders_of_their_own(
    serve: Serve, tmp_path: Path
) -> None:
    names = ["数学", "物理", "x" * 200, "x" * 199 + "y"]
    benchmarks = [str(write_problems(tmp_path / f"{name}.jsonl", 2)) for name in names]
    config = write_config(tmp_path / "c.toml", serve(scripted), ["base"], benchmarks[0])
    assert (
        main(
            [
                "run",
                str(config),
                "--set",
                f"benchmarks={json.dumps(benchmarks, ensure_ascii=False)}",
            ]
        )
        == 0
    )
    assert list(json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]) == names
    assert len(list((tmp_path / "out/base").glob("*/answers.jsonl"))) == 4


@pytest.mark.slow
def test_a_run_compared_with_itself_differs_by_nothing(
    finished_evaluation: tuple[Path, Endpoint], tmp_path: Path
) -> None:
    run = str(finished_evaluation[0].parent / "out")
    assert main(["compare", run, run, "--out", str(tmp_path / "same")]) == 0
    entry = json.loads((tmp_path / "same/comparison.json").read_text())["benchmarks"]["sums"]
    assert (entry["fixed"], entry["broken"], entry["difference"]) == (0, 0, 0)
    assert entry["tuned"]["correct"] == entry["base"]["correct"] > 0
