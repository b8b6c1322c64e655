"""What fits which card, by the trainer's own estimates: no GPU, no weights, a second.

    .venv/trainer/bin/python -m benchmarks.cards

Estimates, not measurements: 160 traces, each exactly `train.max_length` long, on a card with one
GiB in use by others.
"""

from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.planning.hardware import Card
from trainer.planning.plan import make_plan
from trainer.planning.shape import Shape

# Qwen2.5's dimensions, from its models' configurations.
SHAPES = {
    "Qwen2.5-0.5B": Shape(24, 896, 4864, 896, 128, 151936, tied=True),
    "Qwen2.5-1.5B": Shape(28, 1536, 8960, 1536, 256, 151936, tied=True),
    "Qwen2.5-3B": Shape(36, 2048, 11008, 2048, 256, 151936, tied=True),
    "Qwen2.5-7B": Shape(28, 3584, 18944, 3584, 512, 152064, tied=False),
}
METHODS, LENGTHS, CARDS = ("qlora", "lora", "full"), (4096, 16384), (8, 12, 24)
IN_USE_GIB = 1.0


def main() -> None:
    print("| model | method | max_length |" + "".join(f" {gib} GB |" for gib in CARDS))
    print("|---|---|---:|" + "---:|" * len(CARDS))
    for model, shape in SHAPES.items():
        for method in METHODS:
            for length in LENGTHS:
                fits = " | ".join(_fits(shape, method, length, gib) for gib in CARDS)
                print(f"| {model} | {method} | {length:,} | {fits} |")


def _fits(shape: Shape, method: str, length: int, gib: float) -> str:
    """The memory that the plan for this card expects, or a dash where there is none."""
    config = TrainerConfig.model_validate(
        {
            "run": "run",
            "model": "model",
            "corpora": ["corpus"],
            "method": method,
            "train": {"max_length": length},
        }
    )
    card = Card(f"{gib} GB", "cuda", gib, gib - IN_USE_GIB, bf16=True, peak_tflops=40.0)
    try:
        # what `backend = "auto"` takes on such a card
        plan = make_plan(
            config, shape, [length] * 160, card, backend="unsloth" if method == "qlora" else "trl"
        )
    except InputError:
        return "–"
    return f"{plan.total_gib:.1f} GiB"


if __name__ == "__main__":
    main()
