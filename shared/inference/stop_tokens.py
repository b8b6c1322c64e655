"""Which tokens end an answer: the same ones wherever a model is asked.

One source is not enough. Tokenizers read from a GGUF file name the wrong token, a base model's
`generation_config.json` knows the end of a text but not of a turn, and a chat template's end of
turn says nothing of a model that ends its text in the middle of one.
"""

from typing import Any

from shared.errors import InputError
from shared.rendering import ChatRenderer


def stop_token_ids(
    tokenizer: Any,
    chat: ChatRenderer,
    model: Any,
) -> tuple[int, ...]:
    """Every token that ends an answer, sorted: the model's, the tokenizer's and the template's.

    `model`: transformers', or with PEFT's adapters; its `generation_config` is read.
    """
    stop_ids: set[int] = set()
    for token_ids in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        stop_ids.update(as_list(token_ids))
    end_of_turn = _token_ids(tokenizer, chat.end.strip())
    if len(end_of_turn) == 1:
        stop_ids.add(end_of_turn[0])
    return tuple(sorted(stop_ids))


def end_of_turn_id(tokenizer: Any, chat: ChatRenderer) -> int:
    """The token that ends the assistant's turn, as the chat template writes it (not as `eos_token`
    claims).

    Raises `InputError` where the template's end of turn is not one token: nothing would teach the
    model to stop.
    """
    token_ids = _token_ids(tokenizer, chat.end)
    if len(token_ids) != 1:
        raise InputError(
            f"chat template: the end of the assistant's turn {chat.end!r} is {len(token_ids)}"
            " tokens, not one: use an instruct model whose template ends each turn with a special"
            ' token, or train with data.template = "plain"'
        )
    return token_ids[0]


def as_list(token_ids: int | list[int] | None) -> list[int]:
    """A `generation_config`'s `eos_token_id`, which is one token, several or none, as a list."""
    if token_ids is None:
        return []
    if isinstance(token_ids, int):
        return [token_ids]
    return list(token_ids)


def _token_ids(tokenizer: Any, text: str) -> list[int]:
    token_ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return token_ids
