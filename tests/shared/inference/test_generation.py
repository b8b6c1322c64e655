"""The one way to generate: the most likely tokens, by whichever decoder serves the architecture."""

from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

from shared.inference.continuous_batching import Decoder
from shared.inference.generation import DecoderKind, decoder_kind, generate
from shared.inference.hf_generate import HfDecoder
from shared.inference.requests import Prompt, Sampling
from tests.shared.inference.tiny_shape import SHAPE, STOP, VOCABULARY

NEW_TOKENS = 12
PROMPTS = [Prompt(list(range(8, 8 + length)), NEW_TOKENS) for length in (2, 30, 11, 5, 17)]
GREEDY = Sampling(stop_ids=(STOP,))


def plain() -> Any:
    torch.manual_seed(11)
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE)).eval()


def capped() -> Any:
    """Sliding windows and capped attention logits: no key-value cache of ours serves them."""
    torch.manual_seed(11)
    config = Gemma2Config(**SHAPE, head_dim=8, sliding_window=4, attn_logit_softcapping=1.0)
    return Gemma2ForCausalLM(config).eval()


def most_likely(model: Any, prompt: Prompt) -> list[int]:
    """By whole forward passes, without any cache; the stop token as well."""
    token_ids = list(prompt.ids)
    with torch.no_grad():
        while len(token_ids) < len(prompt.ids) + prompt.limit and token_ids[-1] != STOP:
            logits = model(input_ids=torch.tensor([token_ids]), use_cache=False).logits
            token_ids.append(int(logits[0, -1].argmax()))
    return token_ids[len(prompt.ids) :]


@pytest.mark.parametrize(("build", "kind"), [(plain, Decoder), (capped, HfDecoder)])
def test_each_architecture_has_its_decoder_and_the_most_likely_tokens(
    build: Any, kind: DecoderKind
) -> None:
    model = build()
    attention = model.config._attn_implementation
    assert decoder_kind(model, PROMPTS[0].ids) is kind
    reference = [most_likely(model, prompt) for prompt in PROMPTS]
    answers = generate(model, PROMPTS, GREEDY)
    assert [answer.tokens for answer in answers] == [
        tokens[:-1] if tokens[-1] == STOP else tokens for tokens in reference
    ]
    assert [answer.stopped for answer in answers] == [tokens[-1] == STOP for tokens in reference]
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", [Decoder, HfDecoder])
def test_every_step_tells_its_tokens_and_the_logits_that_they_come_from(kind: DecoderKind) -> None:
    model = plain()
    prompts = [Prompt(prompt.ids, 3 + row) for row, prompt in enumerate(PROMPTS)]
    streamed_ids: list[list[int]] = [[] for _ in prompts]

    def on_step(indices: Any, tokens: Any, logits: torch.Tensor) -> None:
        assert logits.shape == (len(tokens), VOCABULARY)
        assert logits.argmax(-1).tolist() == tokens.tolist()
        for index, token in zip(indices.tolist(), tokens.tolist(), strict=True):
            streamed_ids[index].append(token)

    generate(model, prompts, GREEDY, on_step=on_step, kind=kind)
    assert streamed_ids == [most_likely(model, prompt) for prompt in prompts]


@pytest.mark.parametrize(
    "shipped",
    [
        {"repetition_penalty": 8.0},
        {"no_repeat_ngram_size": 1},
        {"do_sample": True, "temperature": 0.7, "top_k": 1, "repetition_penalty": 1.1},
        {"num_beams": 3},
        {"min_new_tokens": 9},
        {"suppress_tokens": list(range(60))},
    ],
    ids=lambda settings: "-".join(settings),
)
@pytest.mark.parametrize("kind", [Decoder, HfDecoder])
def test_what_a_models_folder_ships_decides_no_answer(
    kind: DecoderKind, shipped: dict[str, Any]
) -> None:
    model = plain()
    reference = generate(model, PROMPTS, GREEDY, kind=Decoder)
    model.generation_config.update(**shipped)
    answers = generate(model, PROMPTS, GREEDY, kind=kind)
    assert [answer.tokens for answer in answers] == [answer.tokens for answer in reference]
    assert model.generation_config.to_diff_dict().items() >= shipped.items()  # put back


def test_a_model_in_mixed_precision_keeps_keys_and_values_in_autocasts() -> None:
    model = plain()
    with torch.autocast("cpu", torch.bfloat16):
        assert decoder_kind(model, PROMPTS[1].ids) is Decoder
        answers = generate(model, PROMPTS, GREEDY)
    assert all(len(answer.tokens) <= NEW_TOKENS for answer in answers)


def test_a_decoder_that_says_another_token_than_the_model_is_not_used() -> None:
    """A model whose layers ignore the cache that they are given."""
    model = plain()
    for layer in model.model.layers:
        attention = layer.self_attn
        own_forward = attention.forward

        def uncached(*arguments: Any, own_forward: Any = own_forward, **options: Any) -> Any:
            positions = options["position_embeddings"]
            if options.get("kv_cache") is not None:
                positions = tuple(torch.roll(part, 1, -1) for part in positions)
            return own_forward(*arguments, **(options | {"position_embeddings": positions}))

        attention.forward = uncached
    assert decoder_kind(model, PROMPTS[1].ids) is HfDecoder
