"""Training tokens a second and peak memory on one GPU: ours, Unsloth's notebook defaults, plain
TRL, in one run.

    python benchmarks/trainer_gpu.py                          # everything, one process a variant, about nine minutes
    python benchmarks/trainer_gpu.py --only ours,trl-plain    # some variants
    python benchmarks/trainer_gpu.py --only llama-3.2-1b      # a student: check, ours, plain TRL, Unsloth's best
    python benchmarks/trainer_gpu.py --dry-run                # tiny shapes on a CPU: shows that it runs

Other students (STUDENTS of `trainer_workload`) are asked for by name, four minutes each; `check`
compares our layers with transformers' own, row by row, before anything is timed.

The model has random weights and the exact shape of Qwen2.5-1.5B (speed does not look at values);
examples are as long as real DeepSeek-R1 traces on GSM8K problems (QUANTILES of their tokens, 110
more for the prompt), at most 4,096. LoRA r = 16 on all linear layers, 16 examples a step, AdamW,
bf16. Every variant sees the same examples; tokens are real tokens, padding not counted; time is
wall clock from the end of a warm step to the end of the last, optimiser included.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# after the path: this file is run as a script
from benchmarks.trainer_sides import ours, plain  # noqa: E402
from benchmarks.trainer_workload import SHAPES, STUDENTS, examples  # noqa: E402

# name: (who, shape, what differs)
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unsloth-notebook": ("unsloth-plain", "qwen2.5-1.5b", {}),
    "trl-plain": ("trl-plain", "qwen2.5-1.5b", {}),
    "ours-8k": ("trl", "qwen2.5-1.5b", {"tokens": 8192, "checkpointing": True}),
    "ours-16k": ("trl", "qwen2.5-1.5b", {"tokens": 16384, "checkpointing": True}),
    "ours-32k": ("trl", "qwen2.5-1.5b", {"tokens": 32768, "checkpointing": True}),
    "ours-4k": ("trl", "qwen2.5-1.5b", {"tokens": 4400, "checkpointing": True}),
    "ours-keep": ("trl", "qwen2.5-1.5b", {"tokens": 8192}),
    "ours-keep-16k": ("trl", "qwen2.5-1.5b", {"tokens": 16384}),
    "ours-keep-32k": (
        "trl",
        "qwen2.5-1.5b",
        {"tokens": 32768},
    ),  # what `auto` plans on an 80 GB card
    "qlora-8k": (
        "unsloth",
        "qwen2.5-1.5b",
        {"tokens": 8192, "checkpointing": True, "method": "qlora"},
    ),
    "qlora-16k": (
        "unsloth",
        "qwen2.5-1.5b",
        {"tokens": 16384, "checkpointing": True, "method": "qlora"},
    ),
    "qlora-trl-8k": (
        "trl",
        "qwen2.5-1.5b",
        {"tokens": 8192, "checkpointing": True, "method": "qlora"},
    ),
    "ours-unfused": (
        "trl",
        "qwen2.5-1.5b",
        {"tokens": 8192, "checkpointing": True, "unfused": True},
    ),
    "unsloth-flat": ("unsloth", "qwen2.5-1.5b", {"tokens": 8192, "checkpointing": True}),
    "unsloth-rows": ("unsloth-plain", "qwen2.5-1.5b", {"rows": 8, "padding_free": True}),
    "unsloth-flat-keep": ("unsloth", "qwen2.5-1.5b", {"tokens": 8192}),
    "ours-compiled": (
        "trl",
        "qwen2.5-1.5b",
        {"tokens": 8192, "checkpointing": True, "compile": "dynamic"},
    ),
    "small-unsloth-16": ("unsloth-plain", "smollm2-135m", {"rows": 16}),
    "small-unsloth-flat": ("unsloth", "smollm2-135m", {"tokens": 8192}),
    "small-ours": ("trl", "smollm2-135m", {"tokens": 8192}),
    "equal-trl": ("trl", "tiny", {"tokens": 4096, "dtype": "fp32"}),
    "equal-unsloth": ("unsloth", "tiny", {"tokens": 4096, "dtype": "fp32"}),
}

# Unsloth at its best settings: several rows a micro-batch, laid end to end.
STUDENT_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "check": ("check", {}),
    "ours-8k": ("trl", {"tokens": 8192, "checkpointing": True}),
    "ours-16k": ("trl", {"tokens": 16384}),
    "trl-plain": ("trl-plain", {}),
    "unsloth-8": ("unsloth-plain", {"rows": 8, "padding_free": True}),
    "unsloth-16": ("unsloth-plain", {"rows": 16, "padding_free": True}),
}
VARIANTS |= {
    f"{student}/{name}": (who, student, what)
    for student in STUDENTS
    for name, (who, what) in STUDENT_VARIANTS.items()
}


def one(name: str, steps: int, root: Path, tiny: bool) -> None:
    """Run one variant here and print its result as the last line."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "kernels":
        from benchmarks.trainer_kernels import check_kernels

        print("RESULT " + json.dumps(check_kernels(SHAPES["tiny"], examples(6, "tiny"))))
        return
    who, shape, what = VARIANTS[name]
    if tiny:
        shape = f"tiny-{shape}" if shape in STUDENTS else "tiny"
        what = {k: v for k, v in what.items() if k != "compile"}
    if who == "check":
        from benchmarks.trainer_check import check_student

        print("RESULT " + json.dumps(check_student(shape, device)))
        return
    run: Callable[..., dict[str, Any]] = plain if who.endswith("-plain") else ours
    print("RESULT " + json.dumps(run(who, shape, what, steps, root, device)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        default="",
        help="comma-separated variants; kernels: check them and the matrix peak",
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument(
        "--limit", type=float, default=540, help="seconds in all; what does not fit is left out"
    )
    parser.add_argument("--each", type=float, default=150, help="seconds a variant at most")
    parser.add_argument("--profile", default="", help="variants whose kernels are listed in OUT")
    parser.add_argument("--models", type=Path, default=Path("/tmp/stillhouse-models"))
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.steps, given.models, given.dry_run)
        return
    out = Path(os.environ.get("OUT", "."))
    names = _names(given.only)
    if given.dry_run:
        on_a_cpu = ("trl", "trl-plain", "check")
        names = [n for n in names if n == "kernels" or VARIANTS[n][0] in on_a_cpu]
        given.models = given.models / "tiny"
    began, results = time.monotonic(), {}
    for name in names:
        left = given.limit - (time.monotonic() - began)
        if left < 25:
            print(f"{name}: left out, no time")
            continue
        results[name] = _variant(name, given, min(left, given.each), out)
        (out / "trainer_gpu.json").write_text(json.dumps(results, indent=1))
    print(table(results))


def _names(only: str) -> list[str]:
    """The variants of `--only`, a student's name standing for all of its own."""
    names: list[str] = []
    for name in only.split(","):
        own = [variant for variant in VARIANTS if variant.startswith(f"{name}/")]
        if name:
            names += own or [name]
    return names or ["kernels", *(name for name in VARIANTS if "/" not in name)]


def _variant(name: str, given: argparse.Namespace, limit: float, out: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        "--one",
        name,
        "--steps",
        str(given.steps),
        "--models",
        str(given.models),
    ]
    command += ["--dry-run"] if given.dry_run else []
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    if name in given.profile.split(","):
        environment["PROFILE_TO"] = str(out / f"profile-{name}.txt")
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, env=environment, check=False
        )
        output, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as error:
        output, code = f"{error.stdout!r} {error.stderr!r}"[-3000:], 124
    result = next((line[7:] for line in output.splitlines() if line.startswith("RESULT ")), None)
    found: dict[str, Any] = (
        json.loads(result) if result else {"error": output[-1500:], "code": code}
    )
    found["wall_seconds"] = round(time.monotonic() - began, 1)
    speed = f"{found['tokens_per_second']:,.0f} tokens/s" if "tokens_per_second" in found else ""
    print(f"{name}: {speed or found.get('error', found)} ({found['wall_seconds']} s)", flush=True)
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    base = results.get("unsloth-notebook", {}).get("tokens_per_second")
    lines = [
        "",
        "| variant | tokens/s | x notebook | peak GiB | first loss | last loss |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        if "tokens_per_second" not in found:
            continue
        times = (
            f"{found['tokens_per_second'] / base:.2f}"
            if base and not name.startswith(("small", "equal"))
            else ""
        )
        lines.append(
            f"| {name} | {found['tokens_per_second']:,.0f} | {times} | {found['peak_gib']:.1f} | "
            f"{found['losses'][0]:.4f} | {found['losses'][-1]:.4f} |"
        )
    pair = [results.get(name, {}).get("losses") for name in ("equal-trl", "equal-unsloth")]
    if pair[0] and pair[1]:
        worst = max(abs(a - b) for a, b in zip(pair[0], pair[1], strict=True))
        lines.append(
            f"\nfp32 losses of the two backends over {len(pair[0])} steps differ by {worst:.2e} at"
            " most"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
