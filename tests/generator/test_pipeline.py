"""Whole runs: a real generator process against a real teacher process, judged by what stands on
disk.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.generator.process_runs import (
    LONG,
    ROOT,
    configure,
    eventually,
    free_port,
    generator,
    manifest,
    rehearsal,
    rows,
    started,
)

# What a teacher may say that a careless program would change: spaces at the ends, every kind of
# line end, astral characters, combining marks, half a tag, control characters, JSON in the text.
VOICES = [
    "  Okay, so\n\nlet me think…\n",
    "x < y && y > z </thin k> \t tab\r\nand a bare \r",
    "naïve café 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🧮 e\u0301 \u200b\u2028 end",
    '{"choices": [{"delta": {"content": "not an event"}}]}\n\ndata: [DONE]\n\n: keep-alive\n',
    "nul-like \u0001 \u001f and a long run" + " ha" * 300,
]


def write_replay(folder: Path, count: int) -> tuple[Path, Path, dict[str, tuple[str, str]]]:
    """Problems with gold, a replay file that answers them, and what it says by problem."""
    answers_by_problem = {}
    problems = folder / "problems.jsonl"
    replay = folder / "replay.jsonl"
    with problems.open("w") as problem_file, replay.open("w") as answers:
        for number in range(count):
            text = f"What is {number} + {number}? ({number}: näher {{betrachtet}})"
            reasoning = VOICES[number % len(VOICES)] + f" {number}"
            response = f" The sum:\r\n\\boxed{{{2 * number}}}{VOICES[(number + 1) % len(VOICES)]}"
            answers_by_problem[text] = (reasoning, response)
            problem_file.write(json.dumps({"problem": text, "answer": str(2 * number)}) + "\n")
            answers.write(
                json.dumps({"problem": text, "reasoning": reasoning, "response": response}) + "\n"
            )
    return problems, replay, answers_by_problem


def test_a_clean_run_keeps_every_trace_byte_for_byte_and_a_second_run_makes_no_call(
    tmp_path: Path,
) -> None:
    problems, replay, replies = write_replay(tmp_path, 400)
    with rehearsal("--replay", str(replay)) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__source=str(problems),
            problems__answer_field="answer",
            problems__limit=0,
            lane__concurrency=100,
            shards__rows=150,
        )
        first_run = generator("run", config)
        assert first_run.returncode == 0, first_run.stderr
        kept_rows = rows(tmp_path / "corpus", "traces")
        assert len({row["id"] for row in kept_rows}) == len(kept_rows) == 400
        assert {row["problem"]: (row["reasoning"], row["response"]) for row in kept_rows} == replies
        assert not list((tmp_path / "corpus").glob("*/*.open"))
        rows_by_shard = {
            shard["name"]: shard["rows"] for shard in manifest(tmp_path / "corpus")["shards"]
        }
        assert rows_by_shard == {
            f"traces/shard-{n:06d}.jsonl": rows_in for n, rows_in in enumerate((150, 150, 100))
        }
        calls = teacher.stats()["calls"]
        second_run = generator("run", config)
        assert (second_run.returncode, teacher.stats()["calls"]) == (0, calls == 400 and 400)
    assert generator("check", tmp_path / "corpus").returncode == 0


def test_failures_of_every_kind_end_as_one_row_a_sample_and_no_wrong_answer_is_kept(
    tmp_path: Path,
) -> None:
    faults = "429=0.04,retry_after=0,503=0.05,500=0.05,cut=0.05,empty=0.05,length=0.08,error_event=0.05,stall=0.02"
    with rehearsal(
        "--faults", faults + ",wrong=0.15,keepalive=0.05", "--tokens-per-second", "2000"
    ) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__limit=100,
            sampling__samples=2,
            lane__concurrency=60,
            retry__attempts=3,
            timeouts__first_token=3,
            timeouts__stall=1.5,
        )
        process = generator("run", config)
        assert process.returncode == 0, process.stderr
    kept_rows = rows(tmp_path / "corpus", "traces")
    rejected_rows = rows(tmp_path / "corpus", "rejected")
    ids = [row["id"] for row in kept_rows + rejected_rows]
    assert len(ids) == len(set(ids)) == 200
    assert {row["problem_id"] for row in kept_rows + rejected_rows} == {
        id_.split(":")[0] for id_ in ids
    }
    assert all(row["final_answer"] == row["gold"] for row in kept_rows)
    assert all(row["reason"] and row["verdict"] != "correct" for row in rejected_rows)
    assert {"incorrect", "truncated"} <= {row["verdict"] for row in rejected_rows}
    truncated_rows = [row for row in rejected_rows if row["verdict"] == "truncated"]
    assert all(
        row["finish_reason"] == "length" and row["reasoning"] and row["attempts"] >= 1
        for row in truncated_rows
    )
    assert generator("check", tmp_path / "corpus").returncode == 0


def test_a_refused_key_stops_the_run_with_exit_4_and_names_the_variable_not_the_key(
    tmp_path: Path,
) -> None:
    with rehearsal("--key", "the-right-key") as teacher:
        config = configure(tmp_path, teacher.url, lane__api_key_env="TEACHER_KEY")
        process = generator("run", config, TEACHER_KEY="sk-wrong-and-secret-1234")
    assert process.returncode == 4
    assert "TEACHER_KEY" in process.stderr
    assert "sk-wrong-and-secret-1234" not in process.stdout + process.stderr
    assert process.stderr.splitlines()[-1].startswith("stopped: no lane can be used")
    assert "Traceback" not in process.stderr


def test_the_key_is_in_no_file_and_no_output_even_when_the_provider_repeats_it(
    tmp_path: Path,
) -> None:
    secret = 'sk-"quoted\\key"/0123456789abcdef'
    problems = tmp_path / "problems.jsonl"
    replay = tmp_path / "replay.jsonl"
    problem_rows = [{"problem": f"Echo {n}", "answer": "1"} for n in range(4)]
    reply_rows = [
        {"problem": "Echo 0", "status": 400, "response": f"key {secret} may not do this"},
        {
            "problem": "Echo 1",
            "reasoning": f"I was given {secret}",
            "response": f"{secret} \\boxed{{1}}",
        },
        {"problem": "Echo 2", "reasoning": "fine", "response": "\\boxed{1}"},
        {"problem": "Echo 3", "status": 500, "response": f"Bearer {secret}"},
    ]
    problems.write_text("".join(json.dumps(row) + "\n" for row in problem_rows))
    replay.write_text("".join(json.dumps(row) + "\n" for row in reply_rows))
    with rehearsal("--replay", str(replay)) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__source=str(problems),
            problems__answer_field="answer",
            lane__api_key_env="TEACHER_KEY",
            retry__attempts=2,
        )
        process = generator("run", config, TEACHER_KEY=secret)
        status = generator("status", tmp_path / "corpus")
    assert process.returncode == 0, process.stderr
    assert len(rows(tmp_path / "corpus")) == 4
    outputs = [
        process.stdout,
        process.stderr,
        status.stdout,
        json.dumps(rows(tmp_path / "corpus"), ensure_ascii=False),
    ]
    texts = [path.read_bytes() for path in (tmp_path / "corpus").rglob("*") if path.is_file()]
    for form in (secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1]):
        assert not any(form in text for text in outputs)
        assert not any(form.encode() in text for text in texts)


def test_a_bad_request_rejects_its_own_sample_only(tmp_path: Path) -> None:
    problems, replay, _ = write_replay(tmp_path, 10)
    lines = replay.read_text().splitlines()
    refused_row = json.loads(lines[3])
    lines[3] = json.dumps(
        {"problem": refused_row["problem"], "status": 400, "response": "the prompt is too strange"}
    )
    replay.write_text("\n".join(lines) + "\n")
    with rehearsal("--replay", str(replay)) as teacher:
        config = configure(
            tmp_path, teacher.url, problems__source=str(problems), problems__answer_field="answer"
        )
        process = generator("run", config)
        assert process.returncode == 0, process.stderr
        assert teacher.stats()["calls"] == 10
    assert len(rows(tmp_path / "corpus", "traces")) == 9
    (row,) = rows(tmp_path / "corpus", "rejected")
    assert (row["verdict"], row["finish_reason"], row["attempts"]) == ("failed", "error", 1)
    assert "400" in row["reason"]
    assert "too strange" in row["reason"]


def test_a_server_that_is_down_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    config = configure(tmp_path, f"http://127.0.0.1:{port}/v1", retry__attempts=2)
    with started("run", config) as process:
        eventually(
            lambda: "unreachable" in generator("status", tmp_path / "corpus").stdout,
            "calls that found no server",
        )
        assert process.poll() is None
        with rehearsal(port=port):
            _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    assert len(rows(tmp_path / "corpus")) == 20
    assert {row["verdict"] for row in rows(tmp_path / "corpus")} == {"correct"}


def test_one_signal_drains_what_is_in_flight_and_the_next_run_does_the_rest(tmp_path: Path) -> None:
    with rehearsal("--tokens-per-second", "150") as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=60, daemon__drain_seconds=60)
        with started("run", config) as process:
            eventually(lambda: teacher.stats()["delivered"] >= 5, "some answers")
            process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=LONG)
        assert process.returncode == 0, errors
        assert "draining" in errors
        finished_rows = rows(tmp_path / "corpus")
        stats = teacher.stats()
        assert 5 <= len(finished_rows) == stats["delivered"] == stats["calls"] < 60
        assert not list((tmp_path / "corpus").glob("*/*.open"))
        assert "export" in out
        assert generator("run", config).returncode == 0
        assert teacher.stats()["delivered_more_than_once"] == 0
    assert len({row["id"] for row in rows(tmp_path / "corpus")}) == 60


def test_a_drain_gives_up_what_takes_longer_than_its_grace(tmp_path: Path) -> None:
    with rehearsal("--tokens-per-second", "0.5") as teacher:
        config = configure(tmp_path, teacher.url, daemon__drain_seconds=0.3)
        with started("run", config) as process:
            eventually(lambda: teacher.stats()["in_flight"] >= 1, "a call in flight")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    assert rows(tmp_path / "corpus") == []
    assert generator("check", tmp_path / "corpus").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills(tmp_path: Path, number: signal.Signals) -> None:
    with rehearsal("--tokens-per-second", "0.5") as teacher:
        config = configure(tmp_path, teacher.url)
        with started("run", config) as process:
            eventually(lambda: teacher.stats()["in_flight"] >= 1, "a call in flight")
            process.send_signal(number)
            assert process.stderr is not None
            while "draining" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(number)
            process.wait(timeout=LONG)
    assert process.returncode == -number  # a shell says 128 + number


def test_a_sigterm_that_comes_twice_at_once_is_one_request(tmp_path: Path) -> None:
    """`make` hands on to its child the SIGTERM that the whole group got."""
    with rehearsal("--tokens-per-second", "40") as teacher:
        config = configure(tmp_path, teacher.url)
        with started("run", config) as process:
            eventually(lambda: teacher.stats()["in_flight"] >= 1, "a call in flight")
            process.send_signal(signal.SIGTERM)
            time.sleep(0.005)  # two deliveries: the system would merge them
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    assert generator("check", tmp_path / "corpus").returncode == 0


def test_a_second_process_on_the_same_corpus_is_refused_and_told_who_holds_it(
    tmp_path: Path,
) -> None:
    with rehearsal("--tokens-per-second", "0.5") as teacher:
        config = configure(tmp_path, teacher.url)
        with started("run", config) as process:
            eventually(lambda: teacher.stats()["in_flight"] >= 1, "a call in flight")
            second_run = generator("run", config)
            running = generator("status", tmp_path / "corpus")
    assert second_run.returncode == 2
    assert f"process {process.pid}" in second_run.stderr
    assert len(second_run.stderr.strip().splitlines()) == 1
    assert f"process {process.pid}" in running.stdout
    with rehearsal() as teacher:  # the lock died with its holder
        again = generator(
            "run", config, "--set", f"lane.0.base_url={teacher.url}", "--set", "problems.limit=2"
        )
    assert again.returncode == 0, again.stderr


def test_retry_asks_failed_samples_again_under_a_new_number_and_overwrites_nothing(
    tmp_path: Path,
) -> None:
    with rehearsal("--faults", "422=1.0") as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=5, retry__attempts=1)
        assert generator("run", config).returncode == 0
    failed_rows = rows(tmp_path / "corpus", "rejected")
    assert {(row["sample"], row["verdict"]) for row in failed_rows} == {(0, "failed")}
    with rehearsal() as teacher:
        to = ("--set", f"lane.0.base_url={teacher.url}")
        assert generator("run", config, *to).returncode == 0
        assert teacher.stats()["calls"] == 0  # finished is finished, rejected or not
        assert generator("run", config, *to, "--retry", "failed,truncated").returncode == 0
        assert generator("run", config, *to, "--retry", "failed,truncated").returncode == 0
        assert teacher.stats()["calls"] == 5
    assert rows(tmp_path / "corpus", "rejected") == failed_rows
    assert {(row["sample"], row["verdict"]) for row in rows(tmp_path / "corpus", "traces")} == {
        (1, "correct")
    }
    assert generator("check", tmp_path / "corpus").returncode == 0


def test_the_embedded_default_runs_with_no_configuration_no_key_and_no_server(
    tmp_path: Path,
) -> None:
    quick = [
        "--set",
        "problems.limit=12",
        "--set",
        "rehearsal.tokens_per_second=0",
        "--set",
        "daemon.port=0",
    ]
    quick += ["--set", f"corpus={tmp_path / 'corpus'}"]
    process = generator("run", *quick)
    assert process.returncode == 0, process.stderr
    assert "MODELSCOPE_SDK_TOKEN" in process.stdout
    assert len(rows(tmp_path / "corpus")) == 12
    again = generator("run", *quick)
    assert again.returncode == 0
    assert "no call was made" in again.stdout


def test_a_machine_without_room_for_a_grader_ends_the_run_before_a_call_is_paid(
    tmp_path: Path,
) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url)
        hook = (
            "import os, sys\nif 'shared.grading.worker' in sys.orig_argv: os.kill(os.getpid(), 9)\n"
        )
        (tmp_path / "sitecustomize.py").write_text(hook)
        process = generator("run", config, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
        assert process.returncode == 2
        assert process.stderr.splitlines()[-1].startswith(
            "error: a grading process cannot start: it ended by SIGKILL"
        )
        assert "Traceback" not in process.stderr
        assert teacher.stats()["calls"] == 0
        assert generator("run", config).returncode == 0
    assert len(rows(tmp_path / "corpus")) == 20


def test_golds_that_are_no_answers_and_other_splits_cost_no_call(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    golds = ["5", "proof", "notfound", ["1", "2"], "2 + 3 = 5, so she has 5 pens."]
    lines = [
        json.dumps({"problem": f"What is {n} and 3?", "answer": gold})
        for n, gold in enumerate(golds)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "test.jsonl").write_text('{"problem": "What is 9 and 9?", "answer": "18"}\n')
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__source=str(folder), problems__limit=0)
        process = generator("run", config)
        assert process.returncode == 0
        assert teacher.stats()["calls"] == 1
        assert "split train of" in process.stdout
        assert "left out of 5: gold is no answer 2" in process.stdout
        assert [row["problem"] for row in rows(tmp_path / "corpus")] == ["What is 0 and 3?"]


def test_a_source_without_golds_is_refused_unless_unverifiable_samples_are_wanted(
    tmp_path: Path,
) -> None:
    problems = tmp_path / "deepmath.jsonl"
    problems.write_text('{"question": "What is 11 plus 31?", "final_answer": "42"}\n')
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__source=str(problems))
        for command in ("run", "plan"):
            process = generator(command, config)
            assert process.returncode == 2
            assert "problems.answer_field = 'final_answer'" in process.stderr
            assert process.stderr.count("\n") == 1
        assert teacher.stats()["calls"] == 0
        assert (
            generator("plan", config, "--set", "problems.answer_field=final_answer").returncode == 0
        )
        assert generator("run", config, "--set", "sampling.keep_unverifiable=true").returncode == 0
        assert teacher.stats()["calls"] == 1
    assert [row["gold"] for row in rows(tmp_path / "corpus")] == [None]
