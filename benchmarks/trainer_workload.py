"""What the trainer's benchmarks train: examples as long as real traces, models of real shapes."""

from pathlib import Path
from typing import Any

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


# Configurations of transformers, without what its classes say by themselves.
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-1.5b": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "vocab_size": 151936,
    },
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    "smollm2-135m": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
    },
    "llama-3.2-1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "qwen3-1.7b": {
        "model_type": "qwen3",
        "hidden_size": 2048,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 6144,
        "vocab_size": 151936,
    },
    "gemma-3-1b": {
        "model_type": "gemma3_text",
        "hidden_size": 1152,
        "num_hidden_layers": 26,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "intermediate_size": 6912,
        "sliding_window": 512,
        "vocab_size": 262144,
    },
    "smollm3-3b": {
        "model_type": "smollm3",
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "intermediate_size": 11008,
        "vocab_size": 128256,
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


# What of a real shape is made small for a dry run on a CPU.
SMALL_KEYS = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64}
STUDENTS = ("llama-3.2-1b", "qwen3-1.7b", "gemma-3-1b", "smollm3-3b")
SHORT = ("smollm2-135m", "tiny")  # their examples are those of the synthetic problems
for student in STUDENTS:
    small = {key: value for key, value in SMALL_KEYS.items() if key in SHAPES[student]}
    SHAPES[f"tiny-{student}"] = SHAPES[student] | SHAPES["tiny"] | small


def has_short_examples(shape: str) -> bool:
    """Whether a shape's examples are as long as the synthetic problems' traces, not real ones."""
    return shape.startswith(SHORT)


def lengths(count: int, shape: str) -> list[int]:
    """Tokens of `count` examples, evenly over the quantiles, in a fixed shuffled order."""
    import random

    quantiles = SMALL_QUANTILES if has_short_examples(shape) else QUANTILES
    places = [(i + 0.5) / count * (len(quantiles) - 1) for i in range(count)]
    found = [
        quantiles[int(p)] + (p - int(p)) * (quantiles[int(p) + 1] - quantiles[int(p)])
        for p in places
    ]
    random.Random(0).shuffle(found)
    return [
        min(4096, round(length) + (60 if has_short_examples(shape) else PROMPT)) for length in found
    ]


def examples(count: int, shape: str) -> list[Any]:
    import random
    from array import array

    from trainer.data.examples import Example

    rng = random.Random(1)
    prompt = 60 if has_short_examples(shape) else PROMPT
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

    from tests.trainer.tiny_models import tokenizer

    tokenizer().save_pretrained(folder)
    random_model(shape).to(torch.bfloat16).save_pretrained(folder)
    (folder / "whole").touch()
    return folder


def random_model(shape: str, **changes: Any) -> Any:
    """Random weights in float32, on the GPU where there is one. `changes`: of the configuration."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = {
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
        **SHAPES[shape],
        **changes,
    }
    model_type = settings.pop("model_type", "qwen2")
    config = CONFIG_MAPPING[model_type](
        **settings,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
