"""Training tokens a second and peak memory on one GPU: ours, Unsloth's notebook defaults, plain
TRL, in one run.

    python benchmarks/trainer_gpu.py                          # everything, one process a variant, about nine minutes
    python benchmarks/trainer_gpu.py --only ours,trl-plain    # some variants
    python benchmarks/trainer_gpu.py --dry-run                # tiny shapes on a CPU: shows that it runs

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

QUANTILES = (
    51,
    554,
    637,
    705,
    765,
    810,
    850,
    915,
    969,
    1032,
    1083,
    1129,
    1185,
    1256,
    1328,
    1446,
    1530,
    1726,
    2006,
    2974,
    4000,
)
PROMPT = 110
SMALL_QUANTILES = tuple(range(90, 191, 5))  # traces of the synthetic problems
SHAPES = {
    "qwen2.5-1.5b": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "vocab_size": 151936,
    },
    "smollm2-135m": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
    },
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 2048,
    },
}

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


def lengths(count: int, shape: str) -> list[int]:
    """Tokens of `count` examples, evenly over the quantiles, in a fixed shuffled order."""
    import random

    quantiles = QUANTILES if shape == "qwen2.5-1.5b" else SMALL_QUANTILES
    places = [(i + 0.5) / count * (len(quantiles) - 1) for i in range(count)]
    found = [
        quantiles[int(p)] + (p - int(p)) * (quantiles[int(p) + 1] - quantiles[int(p)])
        for p in places
    ]
    random.Random(0).shuffle(found)
    return [
        min(4096, round(length) + (PROMPT if shape == "qwen2.5-1.5b" else 60)) for length in found
    ]


def examples(count: int, shape: str) -> list[Any]:
    import random
    from array import array

    from trainer.data.examples import Example

    rng, prompt = random.Random(1), PROMPT if shape == "qwen2.5-1.5b" else 60
    top = SHAPES[shape]["vocab_size"] - 1
    return [
        Example(
            str(i),
            str(i),
            "random",
            0,
            array("i", [rng.randint(300, top) for _ in range(length)]),
            prompt,
        )
        for i, length in enumerate(lengths(count, shape))
    ]


def model_folder(shape: str, root: Path) -> Path:
    """A folder with random weights in bfloat16 and a small tokenizer, made once."""
    folder = root / shape
    if (folder / "whole").exists():
        return folder
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tests.trainer.tiny_models import tokenizer

    tokenizer().save_pretrained(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = Qwen2Config(
        **SHAPES[shape],
        max_position_embeddings=32768,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=2,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "whole").touch()
    return folder


class Clock:
    """Wall time and loss of each optimiser step."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def tick(self, loss: float) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        self.losses.append(loss)


def ours(
    who: str, shape: str, what: dict[str, Any], steps: int, root: Path, device: str
) -> dict[str, Any]:
    """Our trainer, its real optimiser steps, with one of its backends."""
    from trainer.config import TrainerConfig
    from trainer.layers.backends import Setup, open_backend

    config = TrainerConfig.model_validate(
        {
            "run": str(root / "run"),
            "model": str(root / shape),
            "corpora": ["none"],
            "backend": who,
            "method": what.get("method", "lora"),
            "train": {
                "max_length": 4096,
                "max_steps": steps,
                "learning_rate": 1e-4,
                "save_steps": 10**6,
            },
        }
    )
    backend = open_backend(config)
    model_folder(shape, root)
    data = examples(16 * steps, shape)
    import torch
    from transformers import TrainerCallback

    from trainer.loop.step import MicroBatch, StepTrainer, training_arguments

    keep = what.get("keep", 0)
    checkpointing = what.get("checkpointing", False) or bool(keep)
    setup = Setup(
        what.get("dtype", "bf16" if device == "cuda" else "fp32"), checkpointing, False, device
    )
    if what.get("unfused"):
        from trainer.layers import fused_lora

        fused_lora.fuse = lambda *_, **__: None
    model = backend.load_model(config, setup)
    if what.get("compile"):
        for layer in model.get_base_model().get_decoder().layers:
            layer.compile(dynamic=what["compile"] == "dynamic" or None)
    clock = Clock()

    class Tick(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick(trainer.result.loss.item())

    trainer = StepTrainer(
        examples=data,
        data_order=range(len(data)),
        micro=MicroBatch(1 << 40, what["tokens"], keep, compiled=bool(what.get("compile"))),
        longest=4096,
        autocast=setup.dtype == "bf16",
        state=dict,
        saved=lambda _: None,
        say=print,
        model=model,
        args=training_arguments(config, 1e-4, device),
        processing_class=_tokenizer(root / shape),
        callbacks=[Tick()],
    )
    trainer.args.save_strategy = "no"
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    per_step = [sum(len(e) for e in data[16 * i : 16 * i + 16]) for i in range(steps)]
    if os.environ.get("PROFILE_TO"):
        _profile(trainer, data[:16], Path(os.environ["PROFILE_TO"]))
    return _result(clock, per_step, device)


def plain(
    who: str, shape: str, what: dict[str, Any], steps: int, root: Path, device: str
) -> dict[str, Any]:
    """TRL's or Unsloth's own training as their documentation starts it: micro-batch 1 by 16, or
    TRL's packing.
    """
    if who == "unsloth-plain":
        import unsloth  # noqa: F401
    model_folder(shape, root)
    import torch
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    unsloth_here = who == "unsloth-plain"
    rows = what.get("rows", 1)
    data = examples(16 * steps if unsloth_here else 200, shape)
    columns = {
        "input_ids": [list(e.ids) for e in data],
        "labels": [[-100] * e.prompt_length + list(e.ids[e.prompt_length :]) for e in data],
    }
    if unsloth_here:
        columns["attention_mask"] = [[1] * len(e) for e in data]
    tokenizer = _tokenizer(root / shape)
    lora: dict[str, Any] = {}
    if unsloth_here:
        from unsloth import FastLanguageModel

        model, _ = FastLanguageModel.from_pretrained(
            str(root / shape), max_seq_length=4096, dtype=torch.bfloat16, load_in_4bit=False
        )
        model = FastLanguageModel.get_peft_model(
            model,
            r=16,
            lora_alpha=32,
            lora_dropout=0,
            bias="none",
            use_gradient_checkpointing="unsloth",
            target_modules=[
                "q_proj",
                "k_proj",
                "v_proj",
                "o_proj",
                "gate_proj",
                "up_proj",
                "down_proj",
            ],
        )
    else:
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM

        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        model = AutoModelForCausalLM.from_pretrained(root / shape, dtype=dtype).to(device)
        lora["peft_config"] = LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    arguments = SFTConfig(
        output_dir=str(root / "plain"),
        per_device_train_batch_size=rows,
        max_steps=steps,
        max_length=4096,
        gradient_accumulation_steps=16 // rows if unsloth_here else 4,
        learning_rate=1e-4,
        logging_steps=1,
        packing=not unsloth_here,
        packing_strategy="bfd",
        padding_free=what.get("padding_free", False),
        gradient_checkpointing=not unsloth_here,
        bf16=device == "cuda",
        use_cpu=device == "cpu",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        train_sampling_strategy="sequential",
        dataset_num_proc=1,
    )
    clock = Clock()

    class Tick(TrainerCallback):  # type: ignore[misc]
        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any
        ) -> None:
            if "loss" in logs:
                clock.tick(float(logs["loss"]))

    padded = unsloth_here and not what.get("padding_free")
    collator = {"data_collator": DataCollatorForSeq2Seq(tokenizer)} if padded else {}
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
        callbacks=[Tick()],
        **lora,
        **collator,
    )
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    sizes = [len(row) for row in trainer.train_dataset["input_ids"]]
    each = 16 if unsloth_here else 4
    row = [
        sizes[i % len(sizes)] for i in range(each * steps)
    ]  # in order; round again where there are too few
    return _result(clock, [sum(row[each * i : each * i + each]) for i in range(steps)], device)


def _result(clock: Clock, per_step: list[int], device: str) -> dict[str, Any]:
    import torch

    warm = min(4, len(clock.ends) - 2)  # the first steps compile, fill caches and find their memory
    seconds = clock.ends[-1] - clock.ends[warm]
    tokens = sum(per_step[warm + 1 : len(clock.ends)])
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    reserved = torch.cuda.max_memory_reserved() / 2**30 if device == "cuda" else 0.0
    return {
        "tokens_per_second": tokens / seconds,
        "peak_gib": peak,
        "reserved_gib": reserved,
        "seconds": seconds,
        "tokens": tokens,
        "losses": clock.losses,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "steps_seconds": [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)],
    }


def _profile(trainer: Any, step: list[Any], to: Path) -> None:
    """Which kernels one step spends its time in, as text."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        trainer.training_step(trainer.model, {"step": step})
        torch.cuda.synchronize()
    orders = ("self_device_time_total", "self_cpu_time_total")
    tables = [
        seen.key_averages().table(sort_by=by, row_limit=40, max_name_column_width=90)
        for by in orders
    ]
    to.write_text("\n".join(tables))


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


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
        shape, what = "tiny", {k: v for k, v in what.items() if k != "compile"}
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
    names = [n for n in given.only.split(",") if n] or ["kernels", *VARIANTS]
    if given.dry_run:
        names = [n for n in names if n == "kernels" or VARIANTS[n][0] in ("trl", "trl-plain")]
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
