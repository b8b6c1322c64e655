"""Train and judge groups of settings; one JSON line a setting as it comes.

Each group runs in a process of its own, `--side-by-side` of them at a time on the one card.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.effect import corpora
from benchmarks.effect.groups import GROUPS, Group
from benchmarks.effect.judging import judge


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effect", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of SmolLM2-135M-Instruct")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="JSON Lines; settings that stand there are not run again",
    )
    parser.add_argument("--gsm8k", type=Path, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--groups", default=",".join(GROUPS), help="which (default: all)")
    parser.add_argument("--side-by-side", type=int, default=1, help="groups at a time")
    parser.add_argument(
        "--token-budget", type=int, default=32_768, help="tokens in one forward pass of training"
    )
    parser.add_argument(
        "--answers-at-once", type=int, default=2400, help="rows of one batch of answers"
    )
    parser.add_argument(
        "--shrink", type=int, default=1, help="divide all corpora and questions, to try the script"
    )
    arguments = parser.parse_args(argv)
    names = arguments.groups.split(",")
    if len(names) == 1:
        run_group(names[0], GROUPS[names[0]], arguments)
        return 0
    return run_apart(names, list(argv), arguments.side_by_side)


def run_apart(names: Sequence[str], argv: list[str], at_once: int) -> int:
    """Each group in its own process; 1 if one of them failed."""
    running: list[subprocess.Popen[bytes]] = []
    waiting, failed = list(names), False
    while waiting or running:
        while waiting and len(running) < at_once:
            command = [sys.executable, "-m", "benchmarks.effect", *argv, "--groups", waiting.pop(0)]
            running.append(subprocess.Popen(command))
        time.sleep(0.2)
        failed |= any(process.poll() not in (None, 0) for process in running)
        running = [process for process in running if process.poll() is None]
    return int(failed)


def run_group(name: str, group: Group, arguments: argparse.Namespace) -> None:
    """Train and judge one group, full trainings one by one and all adapters together."""

    def small(count: int) -> int:
        return max(1, count // arguments.shrink) if count else (0 if arguments.shrink == 1 else 8)

    settings = [
        replace(s, corpus=replace(s.corpus, problems=small(s.corpus.problems)))
        for s in group.settings
    ]
    group = replace(group, settings=tuple(settings), questions=small(group.questions))
    done = _done(arguments.out)
    settings = [setting for setting in group.settings if (name, setting.name) not in done]
    alone = [[setting] for setting in settings if setting.method == "full"]
    together = [setting for setting in settings if setting.method != "full"]
    for part in [*alone, *([together] if together else [])]:
        for line in run_part(name, group, part, arguments):
            print(
                f"{name:8} {line['setting']['name']:44} {line['right']:4} of {line['asked']}",
                flush=True,
            )
            _append(arguments.out, line)


def run_part(
    name: str, group: Group, settings: list[Any], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.effect import training

    started = time.monotonic()
    texts = {
        setting: corpora.conversations(setting.corpus, arguments.gsm8k) for setting in settings
    }
    settings = sorted(
        settings, key=lambda setting: -training.steps_of(setting, len(texts[setting]))
    )
    codec = training.Codec(AutoTokenizer.from_pretrained(arguments.model))
    rows = [[codec.row(messages) for messages in texts[setting]] for setting in settings]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.bfloat16)
    model = model.to(device)
    if settings[0].method == "full":
        model, losses = training.train_full(
            model, settings[0], rows[0], codec.end, arguments.token_budget
        )
    else:
        model, losses = training.train_many(
            model, settings, rows, codec.end, arguments.token_budget
        )
    trained = time.monotonic()
    questions = corpora.held_out(group.judge, group.questions, arguments.gsm8k)
    answers = training.answer(
        model, codec, questions, len(settings), group.new_tokens, arguments.answers_at_once
    )
    facts = {
        "group": name,
        "judge": group.judge,
        "asked": len(questions),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "train_seconds": round(trained - started, 1),  # of the whole part
        "answer_seconds": round(time.monotonic() - trained, 1),
    }
    lines = []
    for setting, own, loss, said in zip(settings, rows, losses, answers, strict=True):
        line: dict[str, Any] = {
            "setting": asdict(setting),
            **facts,
            "rows": len(own),
            "tokens": sum(len(row.ids) for row in own),
            "steps": training.steps_of(setting, len(own)),
            "data": corpora.digest(texts[setting]),
            "loss": round(loss, 4),
            **judge(questions, said),
        }
        lines.append(line)
    return lines


def _done(path: Path) -> set[tuple[str, str]]:
    if not path.exists():
        return set()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(line["group"], line["setting"]["name"]) for line in lines}


def _append(path: Path, line: dict[str, Any]) -> None:
    """One whole line by one write: several processes share the file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
