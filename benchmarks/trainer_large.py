"""What several cards, large students and long traces need, shown on cards: each part prints a table.

    python -m benchmarks.trainer_large resume    # two cards: one process killed, the same command again
    python -m benchmarks.trainer_large lora-7b   # LoRA on a 7B shape: two cards with FSDP2, and one card whole
    python -m benchmarks.trainer_large full      # full fine-tune of a 1.5B shape: the same, and a resume
    python -m benchmarks.trainer_large long      # 32,768 tokens at 1.5B on a card limited to 24 GiB
    python -m benchmarks.trainer_large NAME --shape tiny      # two processes on a CPU: shows that it runs

Weights are random, of the named shapes. A planned GiB includes what is no allocation of PyTorch
(`runtime`); a peak is PyTorch's `max_memory_allocated`, so 0.9 GiB are taken off the former.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.trainer_cards import follow, write_examples, write_run
from benchmarks.trainer_workload import model_folder
from tests.trainer.corpora import trace, write_corpus

RUNTIME_GIB = 0.9
LONG_TOKENS = 32768
CARD_GIB = 24.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--shape", default="", help="another shape than the part's own")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/stillhouse-cards"))
    parser.add_argument("--each", type=float, default=150, help="seconds a training at most")
    parser.add_argument("--steps", type=int, default=0, help="0: the part's own")
    parser.add_argument("--without", default="", help="rows to leave out, comma-separated")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = PARTS[given.part](given)
    out = Path(os.environ.get("OUT", given.folder)) / f"trainer_large-{given.part}.json"
    out.write_text(json.dumps(rows, indent=1))
    print(table(rows), flush=True)


class Parts:
    """A part's model, corpus and rows."""

    def __init__(self, given: argparse.Namespace, shape: str, steps: int) -> None:
        self.shape = given.shape or shape
        self.steps = given.steps or steps
        self.given = given
        self.rows: dict[str, dict[str, Any]] = {}
        self.model = model_folder(self.shape, given.folder)
        folder = given.folder / f"corpus-{self.shape}-{given.part}"
        self.corpus = write_examples(folder, self.model, self.shape, 16 * max(self.steps, 16))

    def config(self, name: str, train: dict[str, Any], **top: Any) -> Path:
        folder = self.given.folder / f"{self.given.part}-{name}-{time.time_ns()}"
        return write_run(folder, self.model, self.corpus, {"max_steps": self.steps} | train, **top)

    def row(self, name: str, config: Path, count: int, **options: Any) -> dict[str, Any]:
        if name in self.given.without.split(","):
            return {}
        label = f"{self.given.part}, {name}"
        row = follow(label, config, count, self.given.each, **options)
        self.rows[name] = row
        print(f"{label}: {brief(row)}", flush=True)
        return row


def resume(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """A curve, and the same one of a run whose second process was killed in the middle."""
    parts = Parts(given, "qwen2.5-1.5b", 60)
    saving = {"save_steps": max(2, parts.steps // 4)}
    parts.row("undisturbed", parts.config("undisturbed", saving), 2)
    config = parts.config("killed", saving)
    killed_at: list[float] = []

    def kill(child: "subprocess.Popen[str]", line: str) -> None:
        if line.startswith(f"step {parts.steps // 2 + 1}/") and not killed_at:
            killed_at.append(time.monotonic())
            for process in psutil.Process(child.pid).children(recursive=True):
                if process.environ().get("LOCAL_RANK") == "1":
                    process.send_signal(signal.SIGKILL)

    parts.row("killed", config, 2, on_line=kill)
    if killed_at:
        print(f"all ended {time.monotonic() - killed_at[0]:.1f} s after the kill", flush=True)
    parts.row("gone on", config, 2)
    return parts.rows


def lora_7b(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Sharded on two cards, and whole on one that is large enough."""
    parts = Parts(given, "qwen2.5-7b", 5)
    parts.row("one", parts.config("one", {}), 1)
    parts.row("sharded", parts.config("sharded", {"fsdp": "on"}), 2)
    return parts.rows


def full(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The same of a full fine-tune, which then goes on from its middle."""
    parts = Parts(given, "qwen2.5-1.5b", 8)
    top = {"method": "full"}
    rate = {"learning_rate": 1e-5}
    parts.row("one", parts.config("one", rate, **top), 1)
    half = parts.steps // 2
    config = parts.config("sharded", rate | {"fsdp": "on", "save_steps": half}, **top)
    parts.row("sharded", config, 2)
    run = config.parent / "run"
    if (run / "report.html").exists():
        shutil.rmtree(run / "checkpoints" / f"checkpoint-{parts.steps}")
        (run / "report.html").unlink()
        parts.row("gone on", config, 2)
    return parts.rows


def long(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Traces of 32,768 tokens; the process may take 24 GiB of its card."""
    parts = Parts(given, "qwen2.5-1.5b", 3)
    short = 2048 if parts.shape == "tiny" else 0
    parts.corpus = long_corpus(given.folder / "corpus-long", parts.model, short or LONG_TOKENS)
    train = {
        "max_length": short or LONG_TOKENS,
        "memory_gib": CARD_GIB,
        "batch": 2,
        "holdout": 0,
    }
    config = parts.config("long", train)
    parts.row("long", config, 1)
    return parts.rows


def long_corpus(folder: Path, model: Path, tokens: int) -> Path:
    """Traces of nearly `tokens` tokens; made once."""
    if (folder / "manifest.json").exists():
        return folder
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    sentences = " ".join(trace(i).reasoning for i in range(400))
    ids = tokenizer(sentences, add_special_tokens=False)["input_ids"]
    ids = (ids * (tokens // len(ids) + 1))[: tokens - 300]
    reasoning = tokenizer.decode(ids).strip()
    return write_corpus(folder, [replace(trace(i), reasoning=reasoning) for i in range(8)])


def brief(row: dict[str, Any]) -> str:
    """A row without its losses."""
    return json.dumps({key: value for key, value in row.items() if key != "losses"})


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown; losses are compared with the first row's."""
    lines = [
        "| row | tokens/s | peak GiB a card | planned, less runtime | planned over peak | losses differ by at most |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    whole_rows = {name: row for name, row in rows.items() if "losses" in row}
    base = next(iter(whole_rows.values()), {})
    for name, row in rows.items():
        if name not in whole_rows:
            lines.append(f"| {name} | exit {row.get('exit')} | | | | |")
            continue
        worst = max(abs(a - b) for a, b in zip(base["losses"], row["losses"], strict=True))
        planned = row["expected_gib"] - RUNTIME_GIB
        lines.append(
            f"| {name} | {row['logged_tokens_per_second']:,.0f} | {row['memory_gib']:.1f} | {planned:.1f} |"
            f" {planned / row['memory_gib']:.2f} | {worst:.1e} |"
        )
    return "\n".join(lines)


PARTS = {"resume": resume, "lora-7b": lora_7b, "full": full, "long": long}

if __name__ == "__main__":
    main()
