"""Traces to tokens and a loss mask: every kept row teaches the whole answer and how to stop."""

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import InputError
from shared.inference.stop_tokens import end_of_turn_id
from shared.rendering import ChatRenderer
from tests.trainer import tiny_models
from tests.trainer.corpora import trace
from tests.trainer.templates import CHATML, QWEN, R1_DISTILL
from trainer.data.examples import Encoder, Example, LeftOut


def encode(tokenizer: Any, *traces: Any, max_length: int = 512) -> list[Example | LeftOut]:
    return list(Encoder(tokenizer, ChatRenderer.of(tokenizer), max_length).encode(traces))


def test_the_loss_covers_thinking_box_and_end_token_and_nothing_of_the_prompt(
    tokenizer: Any,
) -> None:
    (example,) = encode(tokenizer, trace(3))
    assert isinstance(example, Example)
    loss_text = tokenizer.decode(
        [t for t, m in zip(example.ids, example.loss_mask, strict=True) if m]
    )
    prompt_text = tokenizer.decode(example.ids[: example.prompt_length])
    assert loss_text.startswith("<think>\nWe add")
    assert "</think>" in loss_text
    assert "\\boxed{" in loss_text
    assert loss_text.endswith("<|im_end|>")
    assert prompt_text == ChatRenderer.of(tokenizer).prompt(trace(3).messages)


def test_the_pad_token_that_is_also_the_end_token_is_learnt(tokenizer: Any) -> None:
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    (example,) = encode(tokenizer, trace(3))
    assert isinstance(example, Example)
    assert example.ids[-1] == tokenizer.pad_token_id
    assert example.loss_mask[-1] == 1


def test_a_trace_longer_than_max_length_is_left_out_whole_and_counted_with_its_cost(
    tokenizer: Any,
) -> None:
    short = trace(1)
    long = replace(trace(2), reasoning="on and on " * 200)
    short_example, long_example = encode(tokenizer, short, long, max_length=256)
    assert isinstance(short_example, Example)
    assert short_example.ids[-1] == end_of_turn_id(tokenizer, ChatRenderer.of(tokenizer))
    assert isinstance(long_example, LeftOut)
    assert long_example.reason == "longer than max_length"
    assert long_example.tokens > 256
    assert long_example.cost_usd == 0.01


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"response": "It is 4."}, "no boxed answer"),
        ({"reasoning": "a \\boxed{4}", "response": "It is 4."}, "no boxed answer"),
        ({"reasoning": "so </think> now"}, "exactly once"),
        ({"response": "\\boxed{4}<|im_end|> and more"}, "end token missing or inside"),
    ],
)
def test_a_row_that_would_teach_a_broken_form_is_left_out(
    tokenizer: Any, change: dict[str, str], reason: str
) -> None:
    (outcome,) = encode(tokenizer, replace(trace(1), **change))
    assert isinstance(outcome, LeftOut)
    assert reason in outcome.reason


def test_the_end_token_is_the_one_the_template_writes_not_the_one_the_tokenizer_claims() -> None:
    wrong = tiny_models.tokenizer(end="<|im_start|>")  # as a tokenizer read from a GGUF file claims
    chat = ChatRenderer.of(wrong)
    assert end_of_turn_id(wrong, chat) == wrong.convert_tokens_to_ids("<|im_end|>")
    (example,) = encode(wrong, trace(1))
    assert isinstance(example, Example)


def test_a_template_whose_turn_does_not_end_in_one_token_is_refused() -> None:
    plain = tiny_models.tokenizer(QWEN.replace("<|im_end|>", " END OF TURN "))
    with pytest.raises(InputError, match="not one"):
        Encoder(plain, ChatRenderer.of(plain), 512)


def test_thinking_survives_a_template_that_deletes_it() -> None:
    tokens = tiny_models.tokenizer(R1_DISTILL.replace("<end>", "<|im_end|>"))
    (example,) = encode(tokens, trace(1))
    assert isinstance(example, Example)
    assert "We add" in tokens.decode(example.ids[example.prompt_length :])


def test_the_prompt_is_tokenized_as_it_will_be_asked(tokenizer: Any) -> None:
    for template in (QWEN, CHATML):
        tokens = tiny_models.tokenizer(template)
        chat = ChatRenderer.of(tokens)
        (example,) = encode(tokens, trace(5))
        assert isinstance(example, Example)
        prompt_ids = tokens(chat.prompt(trace(5).messages), add_special_tokens=False)["input_ids"]
        assert list(example.ids[: example.prompt_length]) == prompt_ids
