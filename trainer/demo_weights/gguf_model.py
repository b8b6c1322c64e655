"""A quantised GGUF file of the Llama architecture as a transformers folder in bfloat16.

transformers reads GGUF itself, with three traps: the model it returns cannot be saved ("quantized
with gguf"), the tokenizer reports `<|im_start|>` as its end token, and its decoder rewrites the
character U+2581. So the weights go into a fresh model, strictly, and the tokenizer is built from
the file's own vocabulary and merges.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from shared.rendering import ChatRenderer

if TYPE_CHECKING:
    from numpy.typing import NDArray

hf: Any = transformers  # its annotations contradict the use that its own documentation shows

CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL

OUTER_PARTS = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}
LAYER_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

# Spaces, digits, other scripts, symbols, and the marks that training writes: what must survive
# encoding and decoding.
ROUND_TRIP = "Héllo ▁ wörld  12 + 345 = 357 \n\n  x\t🙂 中文 <think>\nno\n</think>\n\n\\boxed{12}"


def convert(path: Path, folder: Path) -> None:
    """Write model, tokenizer and generation settings of the GGUF file `path` into `folder`."""
    hf.utils.logging.disable_progress_bar()
    reader = gguf.GGUFReader(path)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    if facts["general.architecture"] != "llama":
        raise ValueError(
            f"{path}: architecture {facts['general.architecture']!r}; this converter knows llama"
        )
    config = _config(facts)
    model = hf.LlamaForCausalLM(config)
    model.load_state_dict(_state(reader, config), strict=True)
    model.generation_config = hf.GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    _tokenizer(facts).save_pretrained(folder)


def prove(folder: Path, question: str, expected: str) -> None:
    """Load the folder as any user would and try it. Raises `ValueError` with what is wrong."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    renderer = ChatRenderer.of(tokenizer, place=str(folder))
    if renderer.end != tokenizer.eos_token:
        raise ValueError(
            f"{folder}: a turn ends with {renderer.end!r}, but the end token is"
            f" {tokenizer.eos_token!r}"
        )
    decoded_text = tokenizer.decode(tokenizer(ROUND_TRIP).input_ids)
    if decoded_text != ROUND_TRIP:
        raise ValueError(f"{folder}: the tokenizer makes {decoded_text!r} of {ROUND_TRIP!r}")
    prompt = tokenizer(
        renderer.prompt([{"role": "user", "content": question}]),
        add_special_tokens=False,
        return_tensors="pt",
    )
    model = hf.AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        rows = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    answer = tokenizer.decode(rows[0, prompt["input_ids"].shape[1] :])
    if expected not in answer:
        raise ValueError(
            f"{folder}: asked {question!r} it answers {answer!r}, without {expected!r}"
        )


def _config(facts: dict[str, Any]) -> transformers.LlamaConfig:
    heads = facts["llama.attention.head_count"]
    return transformers.LlamaConfig(
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=facts.get("llama.attention.head_count_kv", heads),
        max_position_embeddings=facts["llama.context_length"],
        # 1e-5 was stored as float32
        rms_norm_eps=round(facts["llama.attention.layer_norm_rms_epsilon"], 9),
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
    )


def _state(reader: gguf.GGUFReader, config: transformers.LlamaConfig) -> dict[str, torch.Tensor]:
    """Every weight in float32 under its transformers name; a tensor unknown here raises
    KeyError.
    """
    # transformers declares the second one optional; `_config` has set it.
    key_heads: Any = config.num_key_value_heads
    rotary_heads = {"attn_q": config.num_attention_heads, "attn_k": key_heads}
    state = {}
    for tensor in reader.tensors:
        weight = gguf.dequantize(tensor.data, tensor.tensor_type)
        group, *path = tensor.name.removesuffix(".weight").split(".")
        if group == "blk":
            layer, part = path
            if part in rotary_heads:
                weight = _half_by_half(weight, rotary_heads[part])
            name = f"model.layers.{layer}.{LAYER_PARTS[part]}.weight"
        else:
            name = OUTER_PARTS[group]
        state[name] = torch.from_numpy(np.array(weight))
    state["lm_head.weight"] = state["model.embed_tokens.weight"]  # tied
    return state


def _half_by_half(weight: "NDArray[np.float32]", heads: int) -> "NDArray[np.float32]":
    """Rows of a query or key matrix: llama.cpp puts rotary pairs side by side, transformers
    half beside half.
    """
    rows, columns = weight.shape
    return (
        weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


def _tokenizer(facts: dict[str, Any]) -> Any:
    tokens = facts["tokenizer.ggml.tokens"]
    splitting = facts["tokenizer.ggml.pre"]
    if splitting != "smollm":
        raise ValueError(
            f"tokenizer.ggml.pre is {splitting!r}; this converter knows smollm: single digits, then"
            " GPT-2's splitting"
        )
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    bpe = Tokenizer(
        models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges)
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    kinds = facts["tokenizer.ggml.token_type"]
    bpe.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == CONTROL_TOKEN
        ]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=tokens[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[facts["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[facts["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[facts["tokenizer.ggml.unknown_token_id"]],
        clean_up_tokenization_spaces=False,
        model_max_length=facts["llama.context_length"],
        chat_template=facts["tokenizer.chat_template"],
    )
