"""One GGUF file from a transformers folder: shape, tokenizer and tensors under llama.cpp's names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.inference.stop_tokens import end_of_turn_id
from shared.rendering import ChatRenderer

ARCHITECTURES = ("llama", "qwen2", "qwen3")
ROPE_TYPES = ("default", "llama3")
ROPE_FACTORS = "rope_freqs.weight"  # as llama.cpp calls what it divides frequencies by
# How llama.cpp calls the ways of cutting text before byte pairs are merged, told by the tokenizer's
# own patterns.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
)
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
)
# gguf.TokenType, which is not imported before a file is written
NORMAL = 1
CONTROL = 3
USER_DEFINED = 4
UNUSED = 5
FILE_TYPES = {"f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
Q8_BLOCK = 32  # numbers of a row that share a scale


def write_gguf(merged: Path, tokenizer: Any, chat: ChatRenderer, path: Path, kind: str) -> None:
    """One GGUF file from a transformers folder. Errors: `InputError` for what this mapping does
    not know.
    """
    import gguf

    config = json.loads((merged / "config.json").read_bytes())
    architecture = config["model_type"]
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{merged}: {architecture} models are not exported here, only"
            f" {', '.join(ARCHITECTURES)}"
        )
    writer = gguf.GGUFWriter(path, architecture)
    _write_shape(writer, config)
    factors = rope_factors(config)
    if factors is not None:
        writer.add_tensor(ROPE_FACTORS, factors)
    _write_tokenizer(writer, tokenizer, chat, config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType[FILE_TYPES[kind]])
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[architecture.upper()], config["num_hidden_layers"]
    )
    for name, tensor in _weights(merged):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if gguf_name is None:
            raise InputError(
                f"{merged}: the tensor {name} has no place in a GGUF file of {architecture}"
            )
        values = tensor.float().numpy()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            values = _side_by_side(values, heads)
        storage = gguf.GGMLQuantizationType[kind.upper() if values.ndim > 1 else "F32"]
        if storage == gguf.GGMLQuantizationType.Q8_0 and values.shape[-1] % Q8_BLOCK:
            storage = gguf.GGMLQuantizationType.F16
        writer.add_tensor(gguf_name, gguf.quants.quantize(values, storage), raw_dtype=storage)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") not in ROPE_TYPES:
        raise InputError(
            f"model: rope type {rope['rope_type']!r} is not exported here, only"
            f" {' and '.join(ROPE_TYPES)}"
        )
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(rope.get("rope_theta", config.get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def rope_factors(config: dict[str, Any]) -> Any:
    """What llama.cpp divides each rotary frequency by, [head / 2] float32, for Llama-3's RoPE; None
    for the default one.

    Long waves are slowed down by `factor`, short ones not at all, those between smoothly (Llama
    3.1's own `apply_scaling`).
    """
    import numpy as np

    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type") != "llama3":
        return None
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = rope["rope_theta"] ** -(np.arange(0, head, 2) / head)
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    low = rope["low_freq_factor"]
    high = rope["high_freq_factor"]
    kept_share = np.clip(
        (turns - low) / (high - low), 0.0, 1.0
    )  # share of the frequency that stays
    return (1.0 / ((1.0 - kept_share) / rope["factor"] + kept_share)).astype(np.float32)


def _write_tokenizer(writer: Any, tokenizer: Any, chat: ChatRenderer, size: int) -> None:
    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    if inner["model"]["type"] != "BPE":
        raise InputError(
            f"tokenizer: {inner['model']['type']} is not exported here, only byte-level BPE"
        )
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    for token, number in inner["model"]["vocab"].items():
        tokens[number] = token
        types[number] = NORMAL
    for added_token in inner["added_tokens"]:
        number = added_token["id"]
        tokens[number] = added_token["content"]
        types[number] = CONTROL if added_token["special"] else USER_DEFINED
    merges = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in inner["model"]["merges"]
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting(inner["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    end = end_of_turn_id(tokenizer, chat)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(False)  # the chat template writes every special token itself
    writer.add_chat_template(tokenizer.chat_template)


def splitting(pre_tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how this tokenizer cuts text. Errors: `InputError` for one that is
    not known here.
    """
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    head = parts[0]
    kinds = [part["type"] for part in parts]
    if kinds == ["ByteLevel"] and head.get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and head["individual_digits"]:
        return "smollm"
    pattern = ""
    if head["type"] == "Split":
        pattern = head.get("pattern", {}).get("Regex", "")
    for name, start in (("qwen2", QWEN2_PATTERN), ("llama-bpe", LLAMA3_PATTERN)):
        if pattern.startswith(start):
            return name
    raise InputError(
        "tokenizer: llama.cpp's name for its way of cutting text is not known here"
        f" ({pattern[:60]!r})"
    )


def _weights(folder: Path) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a dictionary
                yield name, tensors.get_tensor(name)


def _side_by_side(weight: Any, heads: int) -> Any:
    """Rows of a query or key matrix: transformers puts rotary pairs half beside half, llama.cpp
    side by side.
    """
    rows, columns = weight.shape
    return (
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )
