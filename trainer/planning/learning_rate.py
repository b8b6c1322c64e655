"""The learning rate: `auto` by method and model size, with its source; a warning where a rate
does nothing.
"""

from dataclasses import dataclass

TUTORIAL_RATE = 1e-5
# Full fine-tuning: Qwen2.5's and open-r1's recipes for models of about this size (1e-5 to 2e-5 at
# 1.5B to 7B). At 135M, of 300 problems after 2,000 traces, 5e-4 gave 225, 2e-4 216, 5e-5 152, 1e-5
# 15: inversely with the size.
FULL_AT_1_5B = 2e-5
FULL_AT_LEAST = 1e-5
FULL_AT_MOST = 5e-4
# LoRA: ten times that at 1.5B ("LoRA Without Regret", Schulman et al. 2025). At 135M, of 300
# problems after 2,000 traces, 2e-3 gave 204, 4e-3 201, 1e-3 171, 5e-4 100, 2e-4 28
# (docs/experiments/effect.md): inversely with the size.
LORA_AT_1_5B = 2e-4
LORA_AT_LEAST = 1e-4
LORA_AT_MOST = 2e-3


@dataclass(frozen=True, slots=True)
class LearningRate:
    """A peak learning rate and, in words, where it comes from; `warning` is "" where nothing is
    to be said.
    """

    value: float
    source: str
    warning: str = ""


def choose_learning_rate(setting: float | str, method: str, parameters: int) -> LearningRate:
    """The rate to train with. `setting`: a rate, or "auto"; `parameters`: of the whole base model.

    auto: inversely with the size, between limits that were measured or published; full fine-tuning
    2e-5 at 1.5 billion parameters, LoRA ten times that.
    """
    if setting != "auto":
        rate = float(setting)
        return LearningRate(rate, "configuration", _warning(rate, method))
    smaller = 1.5e9 / max(parameters, 1)
    if method == "full":
        value = min(FULL_AT_MOST, max(FULL_AT_LEAST, FULL_AT_1_5B * smaller))
        return LearningRate(
            _round(value), "auto: 2e-5 at 1.5B (open-r1's recipes), 2e-4 at 135M (measured)"
        )
    value = min(LORA_AT_MOST, max(LORA_AT_LEAST, LORA_AT_1_5B * smaller))
    return LearningRate(
        _round(value), "auto: 2e-4 at 1.5B (LoRA Without Regret, 2025), 2e-3 at 135M (measured)"
    )


def _warning(value: float, method: str) -> str:
    if method == "full" or value > 2 * TUTORIAL_RATE:
        return ""
    return (
        f"learning rate {value:g} with {method}: at 135 million parameters measured to move nothing"
        " (SmolLM2-135M, 2,000 traces: 0 of 300 right before and after, 204 of 300 at 2e-3); at"
        " 1.5 billion not measured here, the tutorial with 1e-5 reports 12 points more on 100"
        ' problems there. Ours: train.learning_rate = "auto"'
    )


def _round(value: float) -> float:
    """To two digits: a rate that can be read and typed."""
    return float(f"{value:.1e}")
