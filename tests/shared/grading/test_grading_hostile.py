"""`grade` on hostile input, from threads, forked children and scripts: it returns in time and
leaves nothing behind.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.grading import FAULT, grade, grade_fast, worker_pool

ROOT = Path(__file__).resolve().parents[3]
ENDLESS = "\\boxed{\\sum_{k=1}^{10^{12}} k^{k}}"

# Each returns at once on its own; a quadratic pattern or a big number would take minutes.
HOSTILE = {
    "ten megabytes of opening braces": "\\boxed{" + "{" * 10_000_000,
    "ten megabytes of closed braces": "\\boxed{" + "{}" * 5_000_000 + "}",
    "a million boxes": "\\boxed{1}, " * 1_000_000,
    "a million unclosed boxes": "\\boxed{" * 1_000_000,
    "nested fractions": "\\boxed{" + "\\frac{1}{" * 2000 + "2" + "}" * 2001,
    "nested roots": "\\boxed{" + "\\sqrt{" * 1000 + "2" + "}" * 1001,
    "nested brackets": "\\boxed{" + "(" * 4000 + "2" + ")" * 4000 + "}",
    "text groups": "\\boxed{" + "1\\text{a}" * 1200 + "!}",
    "spaces": "\\boxed{1" + " " * 9_000 + "x}",
    "spaces without a box": "answer" + " " * 1_000_000,
    "stars": "*" * 1_000_000,
    "answers": "answer: " * 300_000,
    "dollars": "$" * 100_000 + "answer: $" + "$" * 3_000,
    "NUL bytes": "\x00" * 1000 + "\\boxed{\x00\x00}",
    "a lone surrogate": "\\boxed{\ud800}",
    "a number of ten thousand digits": "\\boxed{" + "7" * 9_900 + "}",
    "a number of six thousand digits with a root": "\\boxed{\\sqrt{" + "7" * 6_000 + "}}",
    "a huge exponent": "\\boxed{10^{999999999999}}",
    "a decimal exponent": "\\boxed{1e999999999}",
    "a power of a sum": "\\boxed{(a+b+c+d+e+f+g)^{199}}",
    "products of sums": "\\boxed{" + "(a+b+c+d+e+f+g+h)" * 40 + "}",
    "powers of powers": "\\boxed{" + "2^{3999}+3^{2999}+" * 40 + "1}",
    "factorials": "\\boxed{" + "!" * 300 + "399!!!!!}",
    "primes to factor": "\\boxed{" + "+".join(["\\sqrt{999999999989}"] * 40) + "}",
    "commas": "\\boxed{" + ",".join(["1/7"] * 2000) + "}",
    "a wrong list of hard items": "\\boxed{" + ",".join(f"\\sin {n}" for n in range(90)) + "}",
    "signs": "\\boxed{" + "-" * 9_000 + "7}",
    "plus-minuses": "\\boxed{" + "\\pm 1 " * 1_000 + "}",
    "equals": "\\boxed{" + "=" * 9_000 + "}",
    "relations": "\\boxed{" + "<" * 5_000 + "x}",
    "unions": "\\boxed{" + "\\cup".join(["(1,2)"] * 1_000) + "}",
    "approximations": "\\boxed{" + "\\approx".join(["3"] * 1_000) + "}",
    "a matrix": "\\boxed{\\begin{pmatrix}" + "1 & 2 \\\\" * 1_000 + "\\end{pmatrix}}",
    "unclosed matrices": "\\boxed{" + "\\begin{pmatrix}" * 600 + "}",
    "a mixed script": "\\boxed{" + "٣½²√" * 2_000 + "}",
    "tower": "\\boxed{" + "9^{" * 30 + "9" + "}" * 31,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gets_a_verdict_and_never_correct(name: str) -> None:
    started = time.monotonic()
    verdict = grade(HOSTILE[name], "7", "Which? (A) 1 (B) 7", timeout_seconds=3)
    assert verdict.verdict in ("incorrect", "unverifiable", "no_answer")
    assert "\n" not in verdict.reason
    assert time.monotonic() - started < 60  # three seconds, and a worker's start on a busy machine


@pytest.mark.timing
@pytest.mark.parametrize("name", HOSTILE)
def test_what_runs_in_the_caller_on_hostile_text_is_short(name: str) -> None:
    started = time.process_time()
    grade_fast(HOSTILE[name], "7", "Which? (A) 1 (B) 7")
    grade_fast("\\boxed{7}", HOSTILE[name][:20_000], HOSTILE[name])
    assert time.process_time() - started < 2.0


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.text(max_size=60))
def test_any_text_gets_a_verdict_at_once_or_a_question_for_a_worker(
    response: str, gold: str
) -> None:
    verdict, request = grade_fast(response + "\\boxed{" + response + "}", gold, response)
    assert verdict.verdict in ("correct", "incorrect", "unverifiable", "no_answer", "truncated")
    assert FAULT not in verdict.reason
    if request is not None:
        json.dumps(request)


PIECES = (
    r"\frac { } ( ) [ ] \{ \} \sqrt ^ _ + - / \cdot 1 2 37 .5 , ; = < \le \cup \in \infty \text{cm}"
    r" \text{and} "
    r"x y \pi e i ° % ! | \pm : \approx \begin{pmatrix} \end{pmatrix} & \\ \sin \log \boxed{ (A) B"
    r" $ ½ √ \%"
)
pieces = st.sampled_from(PIECES.split(" "))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=14).map(" ".join), st.lists(pieces, max_size=14).map(" ".join))
def test_any_heap_of_mathematical_pieces_is_compared_without_an_exception(
    answer: str, gold: str
) -> None:
    verdict, _ = grade_fast(f"\\boxed{{{answer}}}", gold, f"(A) {gold} (B) {answer}")
    assert FAULT not in verdict.reason


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, min_size=1, max_size=10).map(" ".join))
def test_an_answer_spelled_like_the_gold_is_never_wrong(answer: str) -> None:
    verdict, _ = grade_fast(f"\\boxed{{{answer}}}", answer)
    assume(verdict.final_answer == answer)  # braces that do not pair end the box early
    assert verdict.verdict == "correct"


@pytest.mark.slow
def test_a_comparison_that_does_not_end_is_unverifiable_and_the_next_call_works() -> None:
    started = time.monotonic()
    verdict = grade(ENDLESS, "6", timeout_seconds=1)
    assert verdict.verdict == "unverifiable"
    assert "no decision within 1 s" in verdict.reason
    assert verdict.final_answer is not None
    assert time.monotonic() - started < 60
    assert grade("\\boxed{\\sum_{k=1}^{3} k}", "6", timeout_seconds=60).verdict == "correct"


def test_the_worker_is_kept_for_the_next_call() -> None:
    grade("\\boxed{\\sum_{k=1}^{3} k}", "6", timeout_seconds=60)
    kept = list(worker_pool._idle)
    grade("\\boxed{\\sum_{k=1}^{4} k}", "10", timeout_seconds=60)
    assert kept
    assert worker_pool._idle == kept


@pytest.mark.slow
def test_threads_grade_at_the_same_time() -> None:
    verdicts: list[str] = []

    def work(n: int) -> None:
        verdicts.append(
            grade(
                f"\\boxed{{\\sum_{{k=1}}^{{{n}}} k}}", str(n * (n + 1) // 2), timeout_seconds=120
            ).verdict
        )

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == ["correct"] * 3


def test_a_forked_child_grades_with_a_worker_of_its_own() -> None:
    grade("\\boxed{\\sum_{k=1}^{3} k}", "6", timeout_seconds=60)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_grade_in_child, args=(queue,))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert queue.get() == "correct"
    assert grade("\\boxed{\\sum_{k=1}^{3} k}", "6", timeout_seconds=60).verdict == "correct"


def _grade_in_child(queue: "SimpleQueue[str]") -> None:
    queue.put(grade("\\boxed{\\sum_{k=1}^{4} k}", "10", timeout_seconds=60).verdict)


def test_a_script_without_a_main_guard_grades_from_any_folder_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "shared.py").write_text("raise RuntimeError('the wrong shared')")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from shared.grading import grade, worker_pool\n"
        "print(grade(r'\\boxed{\\sum_{k=1}^{3} k}', '6', timeout_seconds=60).verdict)\n"
        "print(worker_pool._idle[0]._process.pid)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ran.stderr == ""
    verdict, pid = ran.stdout.split()
    assert verdict == "correct"
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_ends_when_its_owner_is_killed() -> None:
    script = (
        "from shared.grading import grade, worker_pool; import time\n"
        "grade(r'\\boxed{\\sum_{k=1}^{3} k}', '6', timeout_seconds=60)\n"
        "print(worker_pool._idle[0]._process.pid, flush=True); time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break  # nobody reaps orphans in some containers
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}/stat").exists()
