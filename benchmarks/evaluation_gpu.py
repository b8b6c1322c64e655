"""Answers a second: our engine against lighteval's own transformers backend and transformers'
continuous batching, on a random-weight model of Qwen2.5-1.5B's shape.

    python benchmarks/evaluation_gpu.py                 # one NVIDIA GPU
    python benchmarks/evaluation_gpu.py --dry-run       # a tiny model on a CPU: shows that both sides run

Both answer the same prompts, and each answer's length is forced to the same schedule: lengths
spread as those of real DeepSeek-R1 traces on GSM8K problems (QUANTILES), cut at max_new_tokens.
Random weights never say when they are done, so the schedule says it: our engine gets a limit for
each row, lighteval's `generate` a logits processor that allows the end token at that place and
nowhere else. lighteval splits its requests in four and batches inside a split; here it gets one
split, which is better for it. It asks `generate` to keep the scores of every step
(`output_scores=True` in its model_input.py, 0.13.0): batch x new tokens x vocabulary float32, 2.3
GiB a row at 4,096 tokens of Qwen's vocabulary. So its batch is the largest that fits, halved if it
does not after all. Each measurement is a process of its own: none finds the memory of another.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from benchmarks.generate_batch import continuous
from benchmarks.lighteval_backend import ForcedLength, largest_batch, lighteval_model

# Tokens of 582 R1 traces on GSM8K problems at 0, 5, 10 … 100%.
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
    8757,
)


QWEN_1_5B = {
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
    "rope_theta": 1e6,
}


TINY = QWEN_1_5B | {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "intermediate_size": 96,
    "vocab_size": 512,
}


def schedule(count: int, cap: int) -> list[int]:
    """Answer lengths in tokens: `count` points spread evenly over the quantiles, in a fixed
    shuffled order.
    """
    import random

    steps = len(QUANTILES) - 1
    lengths = []
    for i in range(count):
        place = (i + 0.5) / count * steps
        low = int(place)
        lengths.append(
            min(cap, round(QUANTILES[low] + (place - low) * (QUANTILES[low + 1] - QUANTILES[low])))
        )
    random.Random(0).shuffle(lengths)
    return lengths


def problem(number: int) -> str:
    """A prompt of GSM8K's size (about 100 tokens of the byte tokenizer's kind), different for
    each number.
    """
    return (
        f"Problem {number:05d}: Natalia sold clips to {number % 97} friends, and then half as many"
        " in May. How many?"
    )


def write_model(folder: Path, shape: dict[str, Any], device: str) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.evaluation.tiny_models import byte_tokenizer

    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    with torch.device(device):
        ends = {
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
        }
        model = Qwen2ForCausalLM(Qwen2Config(**shape, **ends)).to(
            torch.bfloat16 if device == "cuda" else torch.float32
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def questions(count: int) -> list[Any]:
    from evaluation.records import Question, SampleRequest
    from shared.prompts import PRESETS, messages_for

    preset = PRESETS["r1"]
    return [
        SampleRequest(
            Question(f"q{i}", problem(i), "1", tuple(messages_for(problem(i), "", preset.prompt))),
            0,
        )
        for i in range(count)
    ]


def ours(folder: Path, lengths: list[int], device: str) -> tuple[float, int]:
    """(seconds, tokens) of our engine for all answers: tokenize, decode, hand over as text.
    Loading is not counted.
    """
    import evaluation.engines.transformers_engine as module
    from evaluation.config import EngineConfig, GenerationConfig
    from evaluation.engines.prompt_template import PromptTemplate
    from shared.inference.requests import Prompt

    class Scheduled(module.TransformersEngine):
        def _prompt_of(self, asked: Any) -> Prompt:
            return Prompt(super()._prompt_of(asked).ids, lengths[int(asked.question.id[1:])])

        def _stop_ids(self) -> tuple[int, ...]:
            return ()

        def _decoder(self, prompts: list[Prompt]) -> Any:
            decoder = super()._decoder(prompts)
            assert type(decoder).__name__ == "Decoder", (
                "the self-check refused our attention: the slots were not used"
            )
            return decoder

    engine = Scheduled(
        str(folder),
        EngineConfig(device=device),
        GenerationConfig(max_new_tokens=max(lengths)),
        PromptTemplate(datetime(2026, 1, 1), None),
    )
    wanted = questions(len(lengths))
    began = time.perf_counter()
    engine.answer(wanted[:2], lambda asked, answer: None, lambda count: None)
    print(f"loaded, compiled, two answered: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    made: dict[str, int] = {}

    def deliver(asked: Any, answer: Any) -> None:
        made[asked.question.id] = answer.completion_tokens

    _wait(device)
    began = time.perf_counter()
    engine.answer(wanted, deliver, lambda count: None)
    seconds = time.perf_counter() - began
    assert [made[f"q{i}"] for i in range(len(lengths))] == lengths, "our engine left the schedule"
    engine.close()
    return seconds, sum(lengths)


def theirs(folder: Path, lengths: list[int], batch: int, device: str) -> tuple[float, int]:
    """(seconds, tokens) of lighteval's TransformersModel.greedy_until for the same answers."""
    model = lighteval_model(folder, max(lengths), batch, device)
    from lighteval.tasks.requests import Doc

    plain = model.model.generate
    end = model.tokenizer.eos_token_id
    seen = [0]

    def scheduled(**arguments: Any) -> Any:
        numbers = [_number(text) for text in model.tokenizer.batch_decode(arguments["input_ids"])]
        seen[0] += len(numbers)
        force = ForcedLength([lengths[n] for n in numbers], arguments["input_ids"].shape[1], end)
        return plain(**arguments, logits_processor=[force])

    model.model.generate = scheduled
    docs = [
        Doc(
            query=asked.question.messages[-1]["content"],
            choices=["1"],
            gold_index=0,
            id=asked.question.id,
            task_name="bench|0",
            generation_size=max(lengths),
            stop_sequences=[],
        )
        for asked in questions(len(lengths))
    ]
    _wait(device)
    began = time.perf_counter()
    responses = model.greedy_until(docs)
    seconds = time.perf_counter() - began
    assert len(responses) == len(lengths)
    assert seen[0] == len(lengths)
    model.cleanup()
    return seconds, sum(lengths)


def ceiling(folder: Path, batch: int, tokens: int, device: str) -> float:
    """Tokens/s of plain static `generate` with every row alive to the end."""
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    ids = torch.randint(0, 200, (batch, 100), device=device)

    def run(count: int) -> None:
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
        )

    run(4)
    _wait(device)
    began = time.perf_counter()
    run(tokens)
    _wait(device)
    return batch * tokens / (time.perf_counter() - began)


def _number(text: str) -> int:
    return int(text.split("Problem ")[1][:5])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def one(side: str, folder: Path, lengths: list[int], batch: int, device: str) -> dict[str, Any]:
    """One measurement, in this process."""
    if side == "plain":
        tokens = 16 if device == "cpu" else 128
        speed = ceiling(folder, batch, tokens, device)
        return {"seconds": batch * tokens / speed, "tokens": batch * tokens, "answers": 0}
    if side == "ours":
        seconds, tokens = ours(folder, lengths, device)
    elif side == "continuous":
        texts = [problem(number) for number in range(len(lengths))]
        seconds, tokens = continuous(folder, texts, lengths, device)
    else:
        seconds, tokens = theirs(folder, lengths, batch, device)
    return {"seconds": seconds, "tokens": tokens, "answers": len(lengths)}


def measured(
    label: str, side: str, folder: Path, count: int, cap: int, batch: int, device: str
) -> dict[str, Any]:
    """One measurement in a process of its own, printed; {} where the memory did not suffice."""
    command = [
        sys.executable,
        __file__,
        "--side",
        side,
        "--folder",
        str(folder),
        "--device",
        device,
    ]
    command += ["--count", str(count), "--cap", str(cap), "--batch", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "OutOfMemoryError" in done.stderr:
        print(f"{label:<48} out of memory", flush=True)
        return {}
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    got: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for line in done.stderr.splitlines():
        if line.startswith("loaded, compiled"):
            print(f"  {line}", flush=True)
    answers = f"{got['answers'] / got['seconds']:8.2f} answers/s" if got["answers"] else " " * 18
    print(
        f"{label:<48} {got['seconds']:8.1f} s {answers} {got['tokens'] / got['seconds']:9,.0f}"
        " tokens/s",
        flush=True,
    )
    return got


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--count", type=int, default=256, help="answers that both sides give")
    parser.add_argument(
        "--more", type=int, default=1024, help="answers of our engine's second, longer run; 0: none"
    )
    parser.add_argument("--cap", type=int, default=4096, help="max_new_tokens")
    parser.add_argument(
        "--batches", default="32,256", help="batch sizes of plain generate; it keeps no scores"
    )
    parser.add_argument(
        "--batch", type=int, default=0, help="lighteval's; 0: the largest that fits"
    )
    parser.add_argument(
        "--continuous", action="store_true", help="transformers' generate_batch as well"
    )
    parser.add_argument(
        "--no-lighteval", action="store_true", help="leave lighteval's backend out: it takes long"
    )
    parser.add_argument(
        "--side", choices=["ours", "plain", "continuous", "lighteval"], help=argparse.SUPPRESS
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--device", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = options.device or ("cpu" if options.dry_run else "cuda")
    if options.side:
        lengths = schedule(options.count, options.cap)
        print(json.dumps(one(options.side, options.folder, lengths, options.batch, device)))
        return
    if options.dry_run:
        options.count, options.more, options.cap, options.batches = 12, 24, 300, "4,8"
    compare_sides(options, TINY if options.dry_run else QWEN_1_5B, device)


def compare_sides(options: argparse.Namespace, shape: dict[str, Any], device: str) -> None:
    lengths = schedule(options.count, options.cap)
    batch = options.batch or largest_batch(max(lengths), shape["vocab_size"], device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_model(folder, shape, device)
        if device == "cuda":
            torch.cuda.empty_cache()
        name = torch.cuda.get_device_name() if device == "cuda" else "CPU, tiny model"
        print(
            f"{name}; torch {torch.__version__}; {options.count} answers, mean {sum(lengths) / len(lengths):.0f} tokens, "  # noqa: E501
            f"longest {max(lengths)}",
            flush=True,
        )
        mine = measured("our engine", "ours", folder, options.count, options.cap, 0, device)
        if options.more:
            measured(
                "our engine, more answers", "ours", folder, options.more, options.cap, 0, device
            )
        if options.continuous:
            label = "transformers' continuous batching"
            measured(label, "continuous", folder, options.count, options.cap, 0, device)
        for rows in map(int, filter(None, options.batches.split(","))):
            measured(
                f"plain generate, batch {rows}, all alive",
                "plain",
                folder,
                1,
                options.cap,
                rows,
                device,
            )
        other: dict[str, Any] = {}
        while not other and batch and not options.no_lighteval:
            label = f"lighteval's transformers backend, batch {batch}"
            other = measured(label, "lighteval", folder, options.count, options.cap, batch, device)
            batch //= 2
        if mine and other:
            ratio = other["seconds"] / mine["seconds"]
            print(f"our engine: {ratio:.1f} times lighteval's answers/s", flush=True)


if __name__ == "__main__":
    main()
