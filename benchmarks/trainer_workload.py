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
