"""Plans: what fits which card, which setting is chosen, what is refused before a model is
loaded.
"""

from typing import Any

import numpy as np
import pytest

from shared.durations import duration
from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.data.data_order import micro_batches
from trainer.planning.estimates import ANY, Setting, memory
from trainer.planning.hardware import Card
from trainer.planning.learning_rate import choose_learning_rate
from trainer.planning.lengths import length_lines
from trainer.planning.memory_check import describe
from trainer.planning.plan import Plan, few_steps, make_plan
from trainer.planning.shape import Shape

QWEN_1_5B = Shape(28, 1536, 8960, 1536, 256, 151936, tied=True)
R1_LENGTHS = [700, 900, 1100, 1300, 1600, 2000, 2600, 4000] * 50


def card(gib: float) -> Card:
    return Card("a card", "cuda", gib, gib, bf16=True, peak_tflops=100.0)


def planned(gib: float, backend: str = "trl", world: int = 1, **tables: Any) -> Plan:
    config = TrainerConfig.model_validate({"run": "r", "model": "m", "corpora": ["c"], **tables})
    return make_plan(config, QWEN_1_5B, R1_LENGTHS, card(gib), world, backend)


@pytest.mark.parametrize("gib", [8.0, 12.0, 24.0, 80.0])
def test_a_plan_fits_the_card_it_was_made_for(gib: float) -> None:
    plan = planned(gib)
    assert plan.total_gib <= plan.budget_gib < gib
    assert plan.steps == 25
    assert plan.setting.tokens >= max(R1_LENGTHS)


def test_a_larger_card_is_never_planned_to_be_slower() -> None:
    speeds = [planned(gib).tokens_per_second for gib in (8.0, 12.0, 24.0, 80.0)]
    assert speeds == sorted(speeds)


def test_no_room_is_planned_for_more_tokens_than_a_step_has() -> None:
    assert planned(80.0).setting.tokens <= sum(sorted(R1_LENGTHS)[-16:])
    assert planned(8.0).setting.checkpointing
    assert planned(8.0).setting.tokens > 8192  # as measured: 16,384 took 5.6 GiB


def test_with_unsloth_a_1_5b_model_stays_under_8_gib_however_large_the_card() -> None:
    plan = planned(80.0, backend="unsloth")
    assert plan.setting.checkpointing
    assert plan.total_gib < 8


def test_a_card_that_cannot_fit_one_example_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"does not fit: .*GiB.*use method = \"qlora\""):
        planned(3.0)
    with pytest.raises(InputError, match=r'use method = "lora"'):
        planned(12.0, method="full")


@pytest.mark.parametrize(("share", "hint"), [(0.05, True), (0.3, False)])
def test_the_memory_check_says_how_long_the_run_takes_and_where_the_card_waits(
    share: float, hint: bool
) -> None:
    plan = planned(80.0)
    one_card = card(80.0)
    seconds = plan.flops_per_token * 8000 / (share * 100e12)
    config = TrainerConfig.model_validate({"run": "r", "model": "m", "corpora": ["c"]})
    line = describe(8000, 5.25, seconds, plan, one_card, config)
    assert (
        f"5.25 GiB, {8000 / seconds:,.0f} tokens/s: {duration(plan.tokens * seconds / 8000)} for 25"
        " steps" in line
    )
    assert ("5% of the matrix peak is little: try the other backend" in line) == hint
    trl_config = config.model_copy(
        update={"backend": "trl"}
    )  # who has chosen is not told to choose
    assert "little" not in describe(8000, 5.25, seconds, plan, one_card, trl_config)


def test_a_given_micro_batch_is_taken_as_it_is() -> None:
    plan = planned(80.0, train={"micro_batch": 2})
    assert plan.setting.rows == 2
    assert plan.setting.tokens == ANY


def test_every_example_of_a_step_is_in_exactly_one_micro_batch_that_fits() -> None:
    lengths = R1_LENGTHS[:16]
    cut = micro_batches(lengths, ANY, 4096)
    assert sorted(i for batch in cut for i in batch) == list(range(16))
    assert all(sum(lengths[i] for i in batch) <= 4096 for batch in cut)


def test_auto_lora_rate_is_well_above_full_fine_tuning_and_names_its_source() -> None:
    lora, full = (
        choose_learning_rate("auto", method, 1_500_000_000) for method in ("lora", "full")
    )
    assert lora.value >= 5 * full.value
    assert lora.source.startswith("auto")
    assert not lora.warning


@pytest.mark.parametrize(
    ("method", "parameters", "value"),
    [
        ("lora", 135e6, 2e-3),  # as measured: docs/experiments/effect.md
        ("lora", 1.5e9, 2e-4),
        ("qlora", 1.5e9, 2e-4),
        ("lora", 70e9, 1e-4),
        ("full", 135e6, 2.2e-4),
        ("full", 1.5e9, 2e-5),
        ("full", 70e9, 1e-5),
    ],
)
def test_auto_rates(method: str, parameters: float, value: float) -> None:
    assert choose_learning_rate("auto", method, int(parameters)).value == value


def test_the_tutorials_rate_is_used_but_warned_about() -> None:
    rate = choose_learning_rate(1e-5, "lora", 1_500_000_000)
    assert rate.value == 1e-5
    assert "at 135 million parameters measured to move nothing" in rate.warning
    assert "at 1.5 billion not measured here" in rate.warning
    assert not choose_learning_rate(1e-5, "full", 1_500_000_000).warning


@pytest.mark.parametrize(
    ("steps", "train", "said"),
    [
        (62, {}, "train.epochs = 8 "),  # as measured: docs/experiments/effect.md
        (125, {}, "train.epochs = 4 "),
        (200, {"epochs": 2}, "train.epochs = 5 "),
        (312, {}, ""),
        (62, {"max_steps": 62}, ""),
        (39, {"epochs": 0.5}, ""),
        (16, {"epochs": 8}, ""),
    ],
)
def test_a_run_of_few_steps_is_told_so_unless_it_is_short_on_purpose(
    steps: int, train: dict[str, float], said: str
) -> None:
    config = TrainerConfig.model_validate(
        {"run": "r", "model": "m", "corpora": ["c"], "train": train}
    )
    note = few_steps(config, steps, 1000)
    assert said in note
    assert bool(note) == bool(said)


def test_a_full_fine_tune_that_one_card_cannot_hold_is_planned_in_shards_over_several() -> None:
    with pytest.raises(InputError, match=r"more cards \(make train GPUS=…\)"):
        planned(24.0, method="full")
    plan = planned(24.0, world=2, method="full")
    assert plan.setting.sharded
    assert plan.total_gib <= plan.budget_gib
    assert "weights in shards over 2 cards (FSDP2)" in plan.lines()[1]
    with pytest.raises(InputError, match=r'train\.fsdp = "on"'):
        planned(24.0, world=2, method="full", train={"fsdp": "off"})


def test_adapters_are_sharded_only_where_that_is_asked() -> None:
    assert not planned(80.0, world=2).setting.sharded
    sharded_plan = planned(80.0, world=2, train={"fsdp": "on"})
    assert sharded_plan.setting.sharded
    assert sharded_plan.setting.checkpointing
    assert sharded_plan.memory_gib["weights"] == planned(80.0).memory_gib["weights"] / 2


@pytest.mark.parametrize(
    ("tokens", "checkpointing", "peak"),
    [(26768, False, 55.82), (13396, False, 30.13), (6827, False, 17.39), (32583, True, 8.77)],
)
def test_planned_memory_is_within_a_tenth_of_what_was_measured_on_an_h100(
    tokens: int, checkpointing: bool, peak: float
) -> None:
    """LoRA 16 on Qwen2.5-1.5B's shape: docs/experiments/trainer.md."""
    config = TrainerConfig.model_validate({"run": "r", "model": "m", "corpora": ["c"]})
    setting = Setting(tokens, ANY, checkpointing)
    parts = memory(QWEN_1_5B, config, "bf16", setting, tokens)
    assert sum(parts.values()) - parts["runtime"] == pytest.approx(peak, rel=0.1)


def test_each_max_length_says_what_it_keeps_and_takes() -> None:
    config = TrainerConfig.model_validate({"run": "r", "model": "m", "corpora": ["c"]})
    lengths = np.array([1000] * 90 + [6000] * 6 + [20000] * 4)

    def made(config: TrainerConfig, lengths: list[int]) -> Plan:
        return make_plan(config, QWEN_1_5B, lengths, card(80.0))

    lines = length_lines(config, lengths, 1.0, 32768, made)
    assert lines[1].startswith("   4,096: 90 of 100 traces (90%), 90,000 tokens; ")
    assert lines[2].startswith("   8,192: 96 of 100 traces (96%), 126,000 tokens; ")
    assert lines[4].startswith("  32,768: 100 of 100 traces (100%), 206,000 tokens; ")
    assert "GiB a card, about" in lines[4]
    short = length_lines(config, lengths, 1.0, 8192, made)
    assert short[3].endswith("; above the 8,192 positions of this model")
