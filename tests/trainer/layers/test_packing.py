"""Packed micro-batches give the numbers of one example at a time, without padding and without
logits of the prompt.
"""

from typing import Any

import pytest
import torch

from shared.rendering import ChatRenderer
from tests.trainer import tiny_models
from tests.trainer.corpora import trace
from trainer.data.data_order import micro_batches
from trainer.data.examples import Encoder, Example
from trainer.layers.linear_cross_entropy import linear_cross_entropy
from trainer.layers.loss import loss_sum
from trainer.layers.packed_attention import ATTENTION, register_attention
from trainer.layers.packing import pack_examples


@pytest.fixture(scope="module")
def examples(tokenizer: Any) -> list[Example]:
    traces = [trace(i, sample=i % 3) for i in range(7)]
    return [
        e
        for e in Encoder(tokenizer, ChatRenderer.of(tokenizer), 512).encode(traces)
        if isinstance(e, Example)
    ]


@pytest.fixture
def model() -> Any:
    register_attention()
    tiny_model = tiny_models.model()
    tiny_model.set_attn_implementation(ATTENTION)
    return tiny_model


def gradients(model: Any) -> list[torch.Tensor]:
    grads = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    return grads


def reference(example: Example) -> torch.Tensor:
    """One example alone through the plain model, its loss by the book."""
    plain = tiny_models.model()
    ids = torch.tensor([list(example.ids)])
    logits = plain(input_ids=ids).logits[0, example.prompt_length - 1 : -1]
    return torch.nn.functional.cross_entropy(
        logits, ids[0, example.prompt_length :], reduction="sum"
    )


def test_examples_packed_end_to_end_do_not_see_one_another(
    model: Any, examples: list[Example]
) -> None:
    together = loss_sum(model, pack_examples(examples)).item()
    alone = sum(reference(example).item() for example in examples)
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_end_token_of_every_example_is_a_target_and_no_prompt_token_is(
    examples: list[Example],
) -> None:
    batch = pack_examples(examples)
    assert len(batch.targets) == sum(len(e) - e.prompt_length for e in examples)
    ends = [e.ids[-1] for e in examples]
    counts = [len(e) - e.prompt_length for e in examples]
    end_indices = torch.tensor(counts).cumsum(0) - 1
    assert batch.targets[end_indices].tolist() == ends


def test_a_tail_that_rounds_a_batch_up_changes_nothing(model: Any, examples: list[Example]) -> None:
    plain = pack_examples(examples)
    rounded_batch = pack_examples(examples, multiple=128)
    assert rounded_batch.input_ids.shape[1] % 128 == 0
    assert loss_sum(model, plain).item() == pytest.approx(
        loss_sum(model, rounded_batch).item(), rel=1e-6
    )


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_micro_batch_changes_neither_loss_nor_gradient_of_a_step(
    model: Any, examples: list[Example], rows: int
) -> None:
    tokens = sum(len(e) - e.prompt_length for e in examples)
    (loss_sum(model, pack_examples(examples)) / tokens).backward()
    whole = gradients(model)
    for indices in micro_batches([len(e) for e in examples], rows, 1 << 40):
        (loss_sum(model, pack_examples([examples[i] for i in indices])) / tokens).backward()
    for whole_gradient, cut_gradient in zip(whole, gradients(model), strict=True):
        torch.testing.assert_close(whole_gradient, cut_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("chunk", [3, 64])
@pytest.mark.parametrize("trained_head", [True, False])
def test_the_chunked_loss_is_the_plain_one_with_its_gradients(
    chunk: int, trained_head: bool, softcap: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(10, 16, generator=generator, requires_grad=True)
    weight = torch.randn(50, 16, generator=generator, requires_grad=trained_head)
    targets = torch.randint(50, (10,), generator=generator)
    chunked_loss = linear_cross_entropy(hidden, weight, targets, chunk, softcap)
    (chunked_loss * 0.5).backward()
    got = [hidden.grad.clone(), weight.grad.clone() if trained_head else None]
    hidden.grad = weight.grad = None
    logits = hidden @ weight.T
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (plain * 0.5).backward()
    assert chunked_loss.item() == pytest.approx(plain.item(), rel=1e-5)
    torch.testing.assert_close(got[0], hidden.grad)
    if trained_head:
        torch.testing.assert_close(got[1], weight.grad)
