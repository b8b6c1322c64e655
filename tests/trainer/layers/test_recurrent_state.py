"""Packed loss equals one example at a time, whatever layers a student has: attention, linear
attention, Mamba.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from shared.rendering import ChatRenderer
from tests.trainer.corpora import trace
from tests.trainer.process_runs import finish, metrics, start, write_config
from trainer.data.data_order import micro_batches
from trainer.data.examples import Encoder, Example
from trainer.layers.fused_lora import fuse
from trainer.layers.loss import loss_sum
from trainer.layers.packed_attention import ATTENTION, register_attention
from trainer.layers.packing import PackedBatch, pack_examples, pad_examples
from trainer.layers.recurrent_state import carries_state, sees_neighbours

HYBRID: dict[str, dict[str, Any]] = {
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"] * 2,
        "mamba_n_heads": 4,
        "mamba_d_head": 32,
        "mamba_n_groups": 1,
        "mamba_d_state": 16,
        "num_local_experts": 0,
        "shared_intermediate_size": 128,
    },
    "lfm2": {
        "layer_types": ["conv", "full_attention"] * 2,
        "conv_L_cache": 3,
        "block_multiple_of": 8,
    },
    "falcon_h1": {
        "mamba_d_ssm": 64,
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_n_groups": 1,
        "mamba_d_state": 16,
    },
}
PLAIN: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "llama": {},
    "gemma3_text": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 512},
    "olmo2": {},
}


def model(kind: str) -> Any:
    """A tiny random model of an architecture, with our attention; its weights are large, so
    that layers are heard.
    """
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    register_attention()
    shape = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "vocab_size": 512,
        "eos_token_id": 2,
        "bos_token_id": 0,
        "pad_token_id": 2,
        "initializer_range": 0.1,
    }
    torch.manual_seed(0)
    tiny_model = (
        AutoModelForCausalLM.from_config(
            CONFIG_MAPPING[kind](**(shape | {**HYBRID, **PLAIN}[kind]))
        )
        .float()
        .eval()
    )
    tiny_model.set_attn_implementation(ATTENTION)
    return tiny_model


@pytest.fixture(scope="module")
def examples(tokenizer: Any) -> list[Example]:
    traces = [trace(i, sample=i % 3) for i in range(6)]
    return [
        e
        for e in Encoder(tokenizer, ChatRenderer.of(tokenizer), 512).encode(traces)
        if isinstance(e, Example)
    ]


def one_by_one(kind: str, examples: list[Example]) -> float:
    """The loss by the book: each example alone through transformers' own model and attention."""
    plain = model(kind)
    total = 0.0
    plain.set_attn_implementation("sdpa")
    for example in examples:
        ids = torch.tensor([list(example.ids)])
        logits = plain(input_ids=ids, use_cache=False).logits[0, example.prompt_length - 1 : -1]
        total += float(
            torch.nn.functional.cross_entropy(
                logits, ids[0, example.prompt_length :], reduction="sum"
            )
        )
    return total


def laid(kind: str, examples: list[Example]) -> PackedBatch:
    return pad_examples(examples) if carries_state(model(kind).config) else pack_examples(examples)


@torch.no_grad()
@pytest.mark.parametrize("kind", [*PLAIN, *HYBRID])
def test_a_micro_batch_has_the_loss_of_its_examples_one_by_one(
    kind: str, examples: list[Example]
) -> None:
    together = loss_sum(model(kind), laid(kind, examples)).item()
    assert together == pytest.approx(one_by_one(kind, examples), rel=2e-6)


@pytest.mark.parametrize("kind", [*PLAIN, *HYBRID])
def test_what_the_configuration_says_of_the_layers_is_what_the_model_does(kind: str) -> None:
    tiny_model = model(kind)
    assert carries_state(tiny_model.config) == (kind in HYBRID)
    assert sees_neighbours(tiny_model, torch.device("cpu"), "fp32") == (kind in HYBRID)


def test_a_configuration_that_hides_its_state_is_found_out_by_the_model() -> None:
    tiny_model = model("qwen3_5_text")
    tiny_model.config.layer_types = ["full_attention"] * 4  # what a careless port would say
    assert not carries_state(tiny_model.config)
    assert sees_neighbours(tiny_model, torch.device("cpu"), "fp32")


@pytest.mark.parametrize("kind", ["qwen3_5_text", "granitemoehybrid"])
def test_gradients_of_a_hybrids_adapters_do_not_depend_on_the_micro_batch(
    kind: str, examples: list[Example]
) -> None:
    base = model(kind)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    torch.manual_seed(1)
    adapted_model = get_peft_model(
        base, LoraConfig(r=4, target_modules=targets, init_lora_weights=False)
    ).train()
    fuse(adapted_model, gpu=False)
    slopes = []
    for tokens in (1 << 40, 1):
        for indices in micro_batches([len(e) for e in examples], 1 << 40, tokens, apart=True):
            loss_sum(adapted_model, pad_examples([examples[i] for i in indices])).backward()
        slopes.append([p.grad.clone() for p in adapted_model.parameters() if p.grad is not None])
        adapted_model.zero_grad()
    for left_slope, right_slope in zip(*slopes, strict=True):
        assert (left_slope - right_slope).norm() <= 1e-4 * left_slope.norm()


def test_rows_apart_count_their_padding_and_hold_every_example_once() -> None:
    lengths = [100, 90, 20, 80, 10, 100]
    cut = micro_batches(lengths, 1 << 40, 200, apart=True)
    assert sorted(i for batch in cut for i in batch) == list(range(6))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 200 for batch in cut)
    assert [len(batch) for batch in micro_batches(lengths, 2, 1 << 40, apart=True)] == [2, 2, 2]


@pytest.mark.parametrize("kind", ["qwen3_5_text", "lfm2"])
def test_a_run_of_a_hybrid_plans_and_trains_one_example_a_row(
    tmp_path: Path, corpus: Path, tokenizer: Any, kind: str
) -> None:
    folder = tmp_path / "model"
    model(kind).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    train = {"max_steps": 3, "merge": False}
    config = write_config(
        tmp_path, folder, corpus, train=train, lora={"target": ["q_proj", "v_proj"]}
    )
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert "tokens one example a row, padded" in output
    assert list(metrics(tmp_path / "run")) == [1, 2, 3]
