"""The documented command on one card and on several: tokens a second, and the same losses step by
step.

    python -m benchmarks.trainer_cards                        # 1, 2, 4 … cards, as many as there are
    python -m benchmarks.trainer_cards --cards 1,2 --shape tiny    # two processes on a CPU: shows that it runs

Each row is `python -m trainer run … --gpus N` on a corpus whose examples are as long as real
DeepSeek-R1 traces, random weights of Qwen2.5-1.5B's shape, LoRA r = 16, `--batch` examples a step
over all cards. Tokens a second: wall clock from the end of step WARM to the end of the last, optimiser and
logging included.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.trainer_gpu import ROOT
from benchmarks.trainer_workload import SHAPES, lengths, model_folder
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import write_config

WARM = 10  # steps: kernels are compiled, memory is found
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cards",
        default="",
        help="comma-separated numbers of cards; empty: 1, 2, 4 … as there are",
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=BATCH, help="examples a step, over all cards")
    parser.add_argument("--shape", default="qwen2.5-1.5b", choices=list(SHAPES))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/stillhouse-cards"))
    parser.add_argument("--each", type=float, default=150, help="seconds a row at most")
    given = parser.parse_args()
    counts = [int(count) for count in given.cards.split(",") if count] or _cards_here()
    began = time.monotonic()
    model = model_folder(given.shape, given.folder)
    corpus = write_examples(
        given.folder / f"corpus-{given.shape}-{given.batch}",
        model,
        given.shape,
        given.steps * given.batch,
    )
    print(f"model and corpus written in {time.monotonic() - began:.0f} s", flush=True)
    rows: dict[int, dict[str, Any]] = {}
    for count in counts:
        row = measure(count, model, corpus, given)
        if "losses" in row:
            rows[count] = row
            (Path(os.environ.get("OUT", given.folder)) / "trainer_cards.json").write_text(
                json.dumps(rows, indent=1)
            )
    print(table(rows), flush=True)


def _cards_here() -> list[int]:
    import torch

    here = max(1, torch.cuda.device_count())
    return [count for count in (1, 2, 4, 8) if count <= here]


def write_examples(folder: Path, model: Path, shape: str, count: int) -> Path:
    """A corpus of `count` traces, as long as `trainer_workload.lengths` says; made once."""
    if (folder / "manifest.json").exists():
        return folder
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    rng = random.Random(0)
    sentences = [trace(i).reasoning for i in range(200)]
    text = " ".join(rng.choice(sentences) for _ in range(2000))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    traces = []
    for number, length in enumerate(lengths(count, shape)):
        start = rng.randrange(len(ids) - 4096)
        reasoning = tokenizer.decode(ids[start : start + max(8, length - 220)]).strip()
        traces.append(replace(trace(number), reasoning=reasoning))
    return write_corpus(folder, traces)


def measure(count: int, model: Path, corpus: Path, given: argparse.Namespace) -> dict[str, Any]:
    """One training over `count` cards, its lines printed as they come; {} where it failed."""
    folder = given.folder / f"run-{given.shape}-{count}-{time.time_ns()}"
    train = {"max_steps": given.steps, "batch": given.batch}
    config = write_run(folder, model, corpus, train)
    return follow(f"{count} cards", config, count, given.each)


def write_run(folder: Path, model: Path, corpus: Path, train: dict[str, Any], **top: Any) -> Path:
    """A configuration: `train` and `top` (method, …) beside what all runs here have."""
    common = {
        "batch": BATCH,
        "learning_rate": 1e-4,
        "logging_steps": 1,
        "merge": False,
        "save_steps": 10**6,
        "max_length": 4608,
        "precision": "auto",
        "holdout": 0.005,
    }
    probe = {"problems": 2, "every_steps": 10**6, "max_new_tokens": 32}
    return write_config(
        folder,
        model,
        corpus,
        data={"max_per_problem": 0},
        train=common | train,
        probe=probe,
        **top,
    )


def start(config: Path, count: int) -> "subprocess.Popen[str]":
    """The training as a user starts it."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "run", str(config), "--gpus", str(count)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def follow(
    name: str,
    config: Path,
    count: int,
    seconds: float,
    on_line: Callable[["subprocess.Popen[str]", str], None] | None = None,
) -> dict[str, Any]:
    """One training to its end, or to `seconds`; its lines printed as they come, of the steps every
    tenth. What came of it; {"exit": …} where it failed.
    """
    began = time.monotonic()
    child = start(config, count)
    stop = threading.Timer(seconds, child.terminate)
    stop.start()
    assert child.stdout
    for line in child.stdout:
        if not line.startswith("step ") or int(line.split()[1].split("/")[0]) % 10 in (0, 1):
            print(f"{name}, {time.monotonic() - began:5.1f} s: {line.rstrip()[:300]}", flush=True)
        if on_line:
            on_line(child, line)
    code = child.wait()
    stop.cancel()
    wall = {"wall_seconds": round(time.monotonic() - began, 1), "exit": code}
    if code:
        print(f"{name}: exit {code}", flush=True)
        return wall
    return result(config.parent / "run") | wall


def result(run: Path) -> dict[str, Any]:
    """Speed, share of peak, memory and losses from a run's metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    warm, last = steps[min(WARM, len(steps) // 2)], steps[-1]
    return {
        "tokens_per_second": (
            (last["tokens"] - warm["tokens"]) / max(0.1, last["time"] - warm["time"])
        ),
        "logged_tokens_per_second": last["tokens_per_second"],
        "share_of_matrix_peak": last.get("share_of_matrix_peak"),
        "memory_gib": last["memory_gib"],
        "expected_gib": json.loads((run / "manifest.json").read_bytes())["plan"]["expected_gib"],
        "losses": [line["loss"] for line in steps],
        "tokens": last["tokens"],
    }


def table(rows: dict[int, dict[str, Any]]) -> str:
    """Markdown; a loss differs from the fewest cards' by so much at most."""
    lines = [
        "| cards | tokens/s | times one | share of peak | GiB a card | planned | losses differ by at most |"
    ]
    lines += ["|---:|---:|---:|---:|---:|---:|---:|"]
    base = rows[min(rows)] if rows else {}
    for count, row in rows.items():
        worst = max(abs(a - b) for a, b in zip(base["losses"], row["losses"], strict=True))
        share = row["share_of_matrix_peak"]
        lines.append(
            f"| {count} | {row['tokens_per_second']:,.0f} |"
            f" {row['tokens_per_second'] / base['tokens_per_second']:.2f} |"
            f" {'' if share is None else f'{share:.0%}'} | {row['memory_gib']:.1f} |"
            f" {row['expected_gib']:.1f} | {worst:.1e} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
