"""An answer ends at every token that says so, whichever of a model's files names it."""

from typing import Any

import pytest
from transformers import GenerationConfig

from shared.errors import InputError
from shared.inference.stop_tokens import end_of_turn_id, stop_token_ids
from shared.rendering import ChatRenderer
from tests.evaluation.tiny_models import CHATML, byte_tokenizer


class Shipped:
    """The part of a model that is read: its folder's generation_config."""

    def __init__(self, eos_token_id: int | list[int] | None) -> None:
        self.generation_config = GenerationConfig(eos_token_id=eos_token_id)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.mark.parametrize("shipped", [None, 256, [256, 258], [256, 7]])
def test_the_models_the_tokenizers_and_the_templates_stop_tokens_all_count(
    tokenizer: Any, shipped: int | list[int] | None
) -> None:
    chat = ChatRenderer.of(tokenizer)
    tokenizer.eos_token = "<|endoftext|>"
    end_of_text, end_of_turn = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    by_model = [shipped] if isinstance(shipped, int) else shipped or []
    stop_ids = {end_of_text, end_of_turn, *by_model}
    assert stop_token_ids(tokenizer, chat, Shipped(shipped)) == tuple(sorted(stop_ids))


def test_a_template_whose_turns_end_in_plain_text_teaches_no_stop(tokenizer: Any) -> None:
    chat = ChatRenderer(CHATML.replace("<|im_end|>", " (end)"), {})
    with pytest.raises(InputError, match=r"' \(end\)' is 6 tokens, not one"):
        end_of_turn_id(tokenizer, chat)
    assert stop_token_ids(tokenizer, chat, Shipped(7)) == tuple(sorted({7, tokenizer.eos_token_id}))
