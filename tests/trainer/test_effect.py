"""The effect benchmark's side-by-side training, held to PEFT and torch's AdamW on a tiny model."""

import copy
import math
import random
from itertools import islice
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.effect import training, weak_kinds
from benchmarks.effect.adapters import ManyLora
from benchmarks.effect.corpora import Corpus, Question
from benchmarks.effect.judging import is_right
from benchmarks.effect.plots import Point, curves, wilson
from benchmarks.effect.training import Row, Setting

WORDS = 97


@pytest.fixture(scope="module")
def base() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def rows(count: int, seed: int) -> list[Row]:
    rng = random.Random(seed)
    lengths = [rng.randint(6, 15) for _ in range(count)]
    return [
        Row([rng.randrange(3, WORDS) for _ in range(length)], length // 3) for length in lengths
    ]


def peft_alone(
    base: Any, setting: Setting, own: list[Row], like: Any, number: int
) -> dict[str, torch.Tensor]:
    """The same training by PEFT and torch's AdamW, from the adapter that `like` starts with:
    its final weights.
    """
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(
        r=setting.rank, lora_alpha=setting.alpha, target_modules=targets, lora_dropout=0.0
    )  # type: ignore[arg-type]
    model: Any = get_peft_model(copy.deepcopy(base), config)
    layers = {name: layer for name, layer in like.named_modules() if isinstance(layer, ManyLora)}
    for name, layer in layers.items():
        model.get_submodule(f"base_model.model.{name}").lora_A["default"].weight.data = (
            layer.down[number, : setting.rank].detach().clone()
        )
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], weight_decay=0.0
    )
    steps = training.steps_of(setting, len(own))
    stream = training.batches(own, setting)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = training.rate_at(setting, step, steps)
        drawn = next(stream)
        num_loss_tokens = sum(len(row.ids) - row.prompt for row in drawn)
        for row in drawn:
            logits = model(input_ids=torch.tensor([row.ids])).logits[0]
            loss = functional.cross_entropy(
                logits[row.prompt - 1 : -1], torch.tensor(row.ids[row.prompt :]), reduction="sum"
            )
            (loss / num_loss_tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return {
        name: torch.cat([part[kind]["default"].weight.detach().flatten() for kind in (0, 1)])
        for name in layers
        for part in [
            [
                model.get_submodule(f"base_model.model.{name}").lora_A,
                model.get_submodule(f"base_model.model.{name}").lora_B,
            ]
        ]
    }


def test_adapters_trained_side_by_side_are_what_peft_makes_of_each_alone(base: Any) -> None:
    settings = [
        Setting("long", Corpus(), 1e-2, rank=4, alpha=8, epochs=2, batch=4),
        Setting(
            "short, other rank and rate", Corpus(), 3e-3, rank=2, alpha=8, epochs=1, batch=4, seed=1
        ),
    ]
    own = [rows(16, 0), rows(12, 1)]
    before = copy.deepcopy(base)
    training.attach(before, [4, 2], [8, 8], [0, 1])
    model, losses = training.train_many(copy.deepcopy(base), settings, own, pad=0, budget=64)
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    for number, setting in enumerate(settings):
        reference = peft_alone(base, setting, own[number], before, number)
        for name, weights in reference.items():
            layer = model.get_submodule(name)
            got = torch.cat(
                [
                    layer.down[number, : setting.rank].flatten(),
                    layer.up[number, :, : setting.rank].flatten(),
                ]
            )
            assert torch.allclose(got, weights, atol=2e-5), (
                setting.name,
                name,
                (got - weights).abs().max(),
            )
            assert not layer.down[number, setting.rank :].any()
            assert not layer.up[number, :, setting.rank :].any()


def test_a_step_in_small_parts_is_the_same_step(base: Any) -> None:
    setting = Setting("x", Corpus(), 1e-2, rank=4, batch=8)
    own = [rows(16, 0)]
    whole, _ = training.train_many(copy.deepcopy(base), [setting], own, pad=0, budget=10_000)
    parts, _ = training.train_many(copy.deepcopy(base), [setting], own, pad=5, budget=20)
    for whole_parameter, parts_parameter in zip(
        whole.parameters(), parts.parameters(), strict=True
    ):
        assert torch.allclose(whole_parameter, parts_parameter, atol=1e-5)


def test_the_learning_rate_warms_up_and_ends_near_zero() -> None:
    setting = Setting("x", Corpus(), 1.0)
    rates = [training.rate_at(setting, step, 100) for step in range(100)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates == sorted(rates[:3]) + sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(0, 100) == pytest.approx((0.0, 0.0370), abs=1e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(300, 300)[1] == pytest.approx(1.0)


def test_a_point_of_the_plot_stands_at_its_share() -> None:
    drawn = ElementTree.fromstring(curves("t", "x", {"one": [Point(1, 0, 10), Point(10, 10, 10)]}))
    low, high = drawn.iter("{http://www.w3.org/2000/svg}circle")
    ticks = {
        text.text: float(text.attrib["y"]) - 4
        for text in drawn.iter("{http://www.w3.org/2000/svg}text")
        if text.text in ("0%", "100%")
    }
    assert float(low.attrib["cx"]) < float(high.attrib["cx"])
    assert float(low.attrib["cy"]) == pytest.approx(ticks["0%"], abs=0.2)
    assert float(high.attrib["cy"]) == pytest.approx(ticks["100%"], abs=0.2)


def test_what_is_taken_near_failed_problems_is_of_their_kind_and_what_is_taken_at_random_is_not() -> (
    None
):
    drawn = weak_kinds.problems("test", set())
    pool = list(islice(drawn, 1500))
    fresh = list(islice(drawn, 300))
    failed_texts = [problem.question.text for problem in fresh if problem.rare][:20]
    rare = {
        arm: sum(p.rare for p in weak_kinds.chosen(arm, 0, pool, failed_texts, 150))
        for arm in weak_kinds.ARMS
    }
    assert rare["no more"] == 0
    assert rare["at random"] < 0.25 * 150
    assert rare["near what it failed"] > 0.75 * 150
    assert not {p.question.text for p in pool} & {p.question.text for p in fresh}


def test_an_answer_is_right_if_it_ends_by_itself_with_the_gold_number_in_its_last_box() -> None:
    question = Question("?", "1200")
    assert is_right(
        question, ("<think>\n\\boxed{3}\n</think>\n\nSo \\boxed{3}, no: \\boxed{\\$1,200}.", True)
    )
    assert not is_right(question, ("<think>\n</think>\n\n\\boxed{1200}", False))
    assert not is_right(question, ("<think>\n\\boxed{1200}", True))
    assert not is_right(question, ("<think>\n</think>\n\n\\boxed{1200} or \\boxed{120}", True))
