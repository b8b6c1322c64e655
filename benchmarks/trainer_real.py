"""Real weights: what SmolLM2-135M-Instruct learns from 4,000 traces, by learning rate, on one GPU
(or, slowly, a CPU).

    python benchmarks/trainer_real.py --model .cache/models/smollm2-135m     # about five minutes on an H100
    python benchmarks/trainer_real.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf # makes the model's
        folder first
    python benchmarks/trainer_real.py --model … --traces 64 --steps 4        # a trial
    python benchmarks/trainer_real.py --gsm8k FOLDER --only "GSM8K's own solutions, 1 epoch"   # merged, to be evaluated

The corpus is synthetic: word problems drawn with a seed and worked out by the rehearsal teacher's
solver. Every run is `python -m trainer run` with a configuration that differs in what the table
shows; its probe asks the same 100 held-out problems before the first step and after the last one,
greedily. The answers stand in each run's probe.jsonl.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from generator.arithmetic import draw, read  # noqa: E402
from generator.rehearsal import solver  # noqa: E402
from shared.prompts import messages_for  # noqa: E402
from shared.records import Trace, Usage, problem_id  # noqa: E402
from shared.shard_writer import ShardWriter  # noqa: E402

PROMPT = "{problem}\nPlease reason step by step, and put your final answer within \\boxed{{}}."

# name: what differs from configs/train-*.toml's defaults, and the voice of the traces
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "auto rate, 3 epochs": ("r1", {"train.epochs": 3}),
    "tutorial's 1e-5, 1 epoch": ("r1", {"train.learning_rate": 1e-5}),
    "auto rate, 1 epoch": ("r1", {}),
    "tutorial's 1e-5, 3 epochs": ("r1", {"train.learning_rate": 1e-5, "train.epochs": 3}),
    "auto rate, 3 epochs, brief traces": ("brief", {"train.epochs": 3}),
    "auto rate, 1 epoch, brief traces": ("brief", {}),
    "tutorial's 1e-5, 1 epoch, brief traces": ("brief", {"train.learning_rate": 1e-5}),
    "GSM8K's own solutions, 1 epoch": ("gsm8k", {"train.merge": "true"}),
}


def write_corpus(folder: Path, traces: int, voice: str, seed: int = 0) -> None:
    """`traces` correct traces of as many different problems."""
    rng, writer, seen = random.Random(seed), ShardWriter(folder, "traces", 2000, 64), set()
    while len(seen) < traces:
        text, answer = draw(rng)
        if (key := problem_id(text)) in seen:
            continue
        seen.add(key)
        assert read(text) is not None
        reasoning, response = solver.solve(text, rng, voice=voice)
        writer.append(_trace(key, text, answer, reasoning, response).to_line())
        if writer.full:
            writer.seal()
    writer.seal()
    writer.close()


def write_gsm8k(folder: Path, traces: int, gsm8k: Path) -> None:
    """GSM8K's own worked solutions as reasoning, without its calculator marks (`<<48/2=24>>`),
    the first `traces`.
    """
    writer = ShardWriter(folder, "traces", 100_000, 64)
    for line in islice((gsm8k / "train.jsonl").open(encoding="utf-8"), traces):
        row = json.loads(line)
        solution, _, gold = row["answer"].rpartition("####")
        reasoning = re.sub(r"<<.*?>>", "", solution).strip()
        answer = gold.strip().replace(",", "")
        trace = _trace(
            problem_id(row["question"]),
            row["question"],
            answer,
            reasoning,
            f"The answer is \\boxed{{{answer}}}.",
        )
        writer.append(trace.to_line())
    writer.seal()
    writer.close()


def _trace(key: str, text: str, answer: int | str, reasoning: str, response: str) -> Trace:
    return Trace(
        id=f"{key}:0",
        problem_id=key,
        sample=0,
        source="synthetic:arithmetic",
        problem=text,
        gold=str(answer),
        messages=messages_for(text, "", PROMPT),
        reasoning=reasoning,
        response=response,
        final_answer=str(answer),
        verdict="correct",
        reason="made by the solver",
        checked_by="exact",
        finish_reason="stop",
        lane="rehearsal",
        model="rehearsal-r1",
        model_returned="rehearsal-r1",
        params={},
        usage=Usage(),
        cost_usd=None,
        timing={},
        attempts=1,
        started_at="2026-01-01T00:00:00Z",
        finished_at="2026-01-01T00:00:00Z",
    )


def train(name: str, given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One run of the trainer; what its probe says before and after."""
    voice, changes = RUNS[name]
    corpus, run = (
        work / f"corpus-{voice}",
        work / name.replace(" ", "-").replace("'", "").replace(",", ""),
    )
    if not corpus.exists() and voice == "gsm8k":
        write_gsm8k(corpus, given.traces + given.held_out, given.gsm8k)
    elif not corpus.exists():
        write_corpus(corpus, given.traces + given.held_out, voice)
    config = work / f"{run.name}.toml"
    config.write_text(
        f'run = "{run}"\nmodel = "{given.model}"\ncorpora = ["{corpus}"]\nbackend ='
        f' "{given.backend}"\n[train]\nmax_length = 1024\nholdout ='
        f" {given.held_out / (given.traces + given.held_out)}\nsave_steps = 100000\nlogging_steps ="
        f" 20\nmerge = false\nmax_steps = {given.steps}\nseed = {given.seed}\n[probe]\nproblems ="
        f" {given.held_out}\nevery_steps = 100000\n"
    )
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "run", str(config), *sets],
        env=environment,
        text=True,
        stdout=(work / f"{run.name}.log").open("w"),
        stderr=subprocess.PIPE,
        check=False,
    )
    shown = (work / f"{run.name}.log").read_text()
    print(f"== {name}\n{shown[-1800:]}{done.stderr[-1500:] if done.returncode else ''}", flush=True)
    if done.returncode:
        return {"error": done.stderr[-1500:]}
    probes = [json.loads(line) for line in (run / "probe.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    manifest = json.loads((run / "manifest.json").read_text())
    return {
        "learning_rate": manifest["learning_rate"]["value"],
        "steps": probes[-1]["step"],
        "before": {k: v for k, v in probes[0].items() if k != "answers"},
        "after": {k: v for k, v in probes[-1].items() if k != "answers"},
        "examples_of_answers": [a["text"] for a in probes[-1]["answers"][:3]],
        "held_out_loss": [line["held_out_loss"] for line in lines if "held_out_loss" in line],
        "tokens_per_second": max(
            (line["tokens_per_second"] for line in lines if "loss" in line), default=0
        ),
        "memory_gib": max((line["memory_gib"] for line in lines if "loss" in line), default=0),
        "seconds": round(time.monotonic() - began, 1),
        "card": manifest["card"]["name"],
        "libraries": manifest["libraries"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path(".cache/models/smollm2-135m"))
    parser.add_argument("--gguf", type=Path, help="make --model from this file first")
    parser.add_argument(
        "--gsm8k", type=Path, help="folder with train.jsonl, for the run that needs it"
    )
    parser.add_argument("--traces", type=int, default=4000)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument(
        "--steps", type=int, default=0, help="stop each run after so many steps; 0: its epochs"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--only", default="", help="names of runs, separated by |")
    parser.add_argument(
        "--limit", type=float, default=540, help="seconds after which no further run is begun"
    )
    parser.add_argument("--work", type=Path, default=Path("/tmp/stillhouse-real"))
    given = parser.parse_args()
    began, out = time.monotonic(), Path(os.environ.get("OUT", "."))
    given.work.mkdir(parents=True, exist_ok=True)
    if given.gguf and not given.model.exists():
        from trainer.demo_weights.gguf_model import convert

        given.model.mkdir(parents=True)
        convert(given.gguf, given.model)
        print(f"weights converted in {time.monotonic() - began:.0f} s", flush=True)
    results: dict[str, dict[str, Any]] = {}
    for name in [n for n in given.only.split("|") if n] or [
        n for n in RUNS if given.gsm8k or "GSM8K" not in n
    ]:
        if time.monotonic() - began < given.limit:
            results[name] = train(name, given, given.work)
            (out / "trainer_real.json").write_text(json.dumps(results, indent=1))
    print(
        "| run | learning rate | right before | right after | boxed after | held-out loss |"
        " tokens/s | GiB | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, r in results.items():
        if "after" in r:
            count = round(r["after"]["problems"])
            shares = [
                f"{round(r[when][what] * count)} of {count}"
                for when, what in (("before", "right"), ("after", "right"), ("after", "boxed"))
            ]
            losses = f"{r['held_out_loss'][0]:.3f} → {r['held_out_loss'][-1]:.3f}"
            print(
                f"| {name} | {r['learning_rate']:g} | {' | '.join(shares)} | {losses} | "
                f"{r['tokens_per_second']:,.0f} | {r['memory_gib']:.1f} | {r['seconds']} |"
            )


if __name__ == "__main__":
    main()
