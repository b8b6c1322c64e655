"""The decoding loop makes the tokens that transformers' own `generate` makes, whatever the
batch.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from shared.inference.continuous_batching import Decoder
from shared.inference.hf_generate import HfDecoder
from shared.inference.requests import Generated, Prompt, Sampling
from shared.inference.sampling import next_tokens, uniforms
from tests.evaluation.tiny_models import write_model
from tests.shared.inference.tiny_shape import SHAPE, STOP, VOCABULARY

FAMILIES: dict[str, Any] = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=8)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
}


def prompts(count: int) -> list[Prompt]:
    draws = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 40, (count,), generator=draws).tolist()
    return [
        Prompt(torch.randint(8, VOCABULARY, (n,), generator=draws).tolist(), 30 + n % 7)
        for n in lengths
    ]


def model_of(family: str) -> Any:
    torch.manual_seed(11)
    return FAMILIES[family]().eval()


def answers_of(decoder: Any, requests: list[Prompt]) -> list[Generated]:
    answers: dict[int, Generated] = {}

    def on_finished(index: int, answer: Generated) -> None:
        assert index not in answers
        answers[index] = answer

    decoder.run(requests, on_finished)
    return [answers[i] for i in range(len(requests))]


def by_generate(model: Any, prompt: Prompt) -> list[int]:
    model.set_attn_implementation("eager")
    ids = torch.tensor([prompt.ids])
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=prompt.limit,
        do_sample=False,
        eos_token_id=STOP,
        pad_token_id=0,
    )
    tokens: list[int] = output[0, ids.shape[1] :].tolist()
    return tokens[: tokens.index(STOP)] if STOP in tokens else tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_generate(family: str) -> None:
    model = model_of(family)
    requests = prompts(24)
    reference = [by_generate(model, prompt) for prompt in requests]
    answers = answers_of(Decoder(model, 5, Sampling(stop_ids=(STOP,))), requests)
    assert [g.tokens for g in answers] == reference
    assert any(g.stopped for g in answers)
    assert any(
        not g.stopped and len(g.tokens) == p.limit for g, p in zip(answers, requests, strict=True)
    )


def test_steps_that_run_ahead_change_no_answer_and_tell_each_token_once() -> None:
    model = model_of("qwen2")
    requests = prompts(24)
    reference = [by_generate(model, prompt) for prompt in requests]
    decoder = Decoder(model, 5, Sampling(stop_ids=(STOP,)), runs_ahead=True)
    answers: dict[int, Generated] = {}
    streamed: dict[int, list[int]] = {index: [] for index in range(len(requests))}

    def on_tokens(indices: Any, tokens: Any) -> None:
        for index, token in zip(indices.tolist(), tokens.tolist(), strict=True):
            streamed[index].append(token)

    decoder.run(requests, answers.__setitem__, on_tokens)
    assert [answers[i].tokens for i in range(len(requests))] == reference
    assert 0 < sum(answer.stopped for answer in answers.values()) < len(requests)
    for index, answer in answers.items():
        stop = [STOP] if answer.stopped else []
        assert streamed[index] == answer.tokens + stop


@pytest.mark.parametrize("kind", [Decoder, HfDecoder])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_sampled_answer_does_not_depend_on_its_batch(kind: Any, top_p: float) -> None:
    model = model_of("qwen2")
    sampling = Sampling(0.8, top_p, (STOP,))
    requests = [
        Prompt(p.ids, p.limit, uniforms(0, str(i), 0, p.limit)) for i, p in enumerate(prompts(12))
    ]
    alone = [answers_of(Decoder(model, 1, sampling), [prompt])[0].tokens for prompt in requests]
    model.set_attn_implementation("sdpa")
    assert [g.tokens for g in answers_of(kind(model, 5, sampling), requests)] == alone


def test_decoding_by_generate_gives_the_same_greedy_tokens() -> None:
    model = model_of("llama")
    requests = prompts(9)
    reference = [by_generate(model, prompt) for prompt in requests]
    model.set_attn_implementation("sdpa")
    assert [
        g.tokens for g in answers_of(HfDecoder(model, 4, Sampling(stop_ids=(STOP,))), requests)
    ] == reference


def test_rows_longer_than_the_first_room_find_more() -> None:
    torch.manual_seed(3)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPE | {"max_position_embeddings": 2048})).eval()
    requests = [Prompt([9, 10, 11], 700), Prompt([12], 20)]
    reference = [by_generate(model, prompt) for prompt in requests]
    assert [
        g.tokens for g in answers_of(Decoder(model, 2, Sampling(stop_ids=(STOP,))), requests)
    ] == reference


def test_no_prompts_take_no_time() -> None:
    assert answers_of(Decoder(model_of("llama"), 4, Sampling()), []) == []


def test_draws_hit_tokens_as_often_as_their_probabilities_say() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(20_000, -1)
    draws = uniforms(0, "q", 0, 20_000)
    shares = torch.bincount(next_tokens(logits, 1.0, 1.0, draws), minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.015)
    nucleus = torch.bincount(next_tokens(logits, 1.0, 0.7, draws), minlength=4) / 20_000
    assert nucleus.tolist() == pytest.approx([0.625, 0.375, 0, 0], abs=0.015)


@pytest.mark.parametrize(
    ("top_p", "top_k", "min_p"),
    [(1.0, 3, 0.0), (0.7, 5, 0.0), (1.0, 0, 0.2), (0.9, 4, 0.3), (0.5, 0, 0.1), (1.0, 100, 0.0)],
)
def test_the_tokens_that_take_part_are_those_of_transformers_own_samplers(
    top_p: float, top_k: int, min_p: float
) -> None:
    from transformers.generation import logits_process as own

    logits = torch.randn(8, 12, generator=torch.Generator().manual_seed(0)) * 2
    scores = logits / 0.8
    if top_k:
        scores = own.TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = own.TopPLogitsWarper(top_p)(None, scores)
    if min_p:
        scores = own.MinPLogitsWarper(min_p)(None, scores)
    reference = torch.softmax(scores, -1)
    draws = (torch.arange(4_000) + 0.5) / 4_000
    for row in range(8):
        tokens = next_tokens(logits[row].expand(4_000, -1), 0.8, top_p, draws, top_k, min_p)
        shares = torch.bincount(tokens, minlength=12) / 4_000
        assert shares.tolist() == pytest.approx(reference[row].tolist(), abs=1e-3)


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert next_tokens(torch.tensor([[0.0, 3.0, 1.0]]), 0.0, 1.0, torch.zeros(1)).tolist() == [1]


def test_streams_of_two_samples_differ_and_one_stream_is_the_same_at_every_length() -> None:
    assert uniforms(0, "q", 0, 50).tolist() == uniforms(0, "q", 0, 80).tolist()[:50]
    assert uniforms(0, "q", 0, 50).tolist() != uniforms(0, "q", 1, 50).tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_captured_steps_give_the_probabilities_of_the_models_own_attention(
    tmp_path: Path,
) -> None:
    folder = write_model(tmp_path / "m", hidden_size=96, head_dim=16)
    model = (
        AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa"
        )
        .cuda()
        .eval()
    )
    requests = prompts(40)
    reference = torch.softmax(
        model(torch.tensor([requests[0].ids]).cuda()).logits[0, -1].float(), -1
    )
    decoder = Decoder(model, 16, Sampling(stop_ids=(STOP,)))
    assert (decoder.next_probabilities(requests[0].ids) - reference).abs().max() < 2e-2
    assert all(
        len(g.tokens) <= p.limit
        for g, p in zip(answers_of(decoder, requests), requests, strict=True)
    )
