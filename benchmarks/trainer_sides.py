"""The two sides of the trainer's benchmark, each a run of real optimiser steps: ours, and TRL or
Unsloth as their documentation starts them."""

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.trainer_workload import examples, model_folder


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

    from trainer.loop.step import MicroBatch, StepTrainer
    from trainer.loop.training_arguments import training_arguments

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
        data_order=list(range(len(data))),
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
