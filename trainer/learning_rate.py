"""The learning rate: `auto` by method and model size, with its source; a warning where a rate does nothing."""

from dataclasses import dataclass

TUTORIAL_RATE = 1e-5
# Full fine-tuning, Qwen2.5's and open-r1's recipes for models of about this size (1e-5 to 2e-5 at 1.5B to 7B).
FULL_AT_1_5B = 2e-5
# LoRA: ten times that at 1.5B ("LoRA Without Regret", Schulman et al. 2025). At 135M, of 300 problems after 2,000
# traces, 2e-3 gave 204, 4e-3 201, 1e-3 171, 5e-4 100, 2e-4 28 (docs/experiments/effect.md): inversely with the size.
LORA_AT_1_5B, LORA_AT_MOST = 2e-4, 2e-3


@dataclass(frozen=True, slots=True)
class LearningRate:
    """A peak learning rate and, in words, where it comes from; `warning` is "" where nothing is to be said."""

    value: float
    source: str
    warning: str = ""


def choose_learning_rate(given: float | str, method: str, parameters: int) -> LearningRate:
    """The rate to train with. `parameters`: of the whole base model.

    auto: full fine-tuning 2e-5 at 1.5 billion parameters, falling with the square root of the size, between 1e-5 and
    1e-4; LoRA ten times that at 1.5 billion, inversely with the size, at most the 2e-3 measured at 135 million.
    """
    if given != "auto":
        return LearningRate(float(given), "configuration", _warning(float(given), method))
    full = min(1e-4, max(1e-5, FULL_AT_1_5B * (1.5e9 / max(parameters, 1)) ** 0.5))
    if method == "full":
        return LearningRate(_round(full), "auto: 2e-5 at 1.5B, by the square root of the size")
    value = min(LORA_AT_MOST, max(1e-4, LORA_AT_1_5B * 1.5e9 / max(parameters, 1)))
    return LearningRate(_round(value), "auto: 2e-4 at 1.5B (LoRA Without Regret, 2025), 2e-3 at 135M (measured)")


def _warning(value: float, method: str) -> str:
    if method == "full" or value > 2 * TUTORIAL_RATE:
        return ""
    return (
        f"learning rate {value:g} with {method}: measured to move nothing (SmolLM2-135M, 2,000 traces: 0 of 300 right "
        'before and after, 204 of 300 at 2e-3); set train.learning_rate = "auto"'
    )


def _round(value: float) -> float:
    """To two digits: a rate that can be read and typed."""
    return float(f"{value:.1e}")
