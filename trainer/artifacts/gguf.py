"""`export gguf`: the merged model as one file for llama.cpp and its kin, and the proof that it is
the model.

The file is written with llama.cpp's own package `gguf`: its tensor names, its quantisation. Then it
is read again by something else than what wrote it: transformers' GGUF reader always, llama.cpp
itself where the package `xllamacpp` is installed. Greedy answers and logits must agree with the
merged model's, or the file is taken away again.
"""

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.inference.stop_tokens import end_of_turn_id, stop_token_ids
from shared.rendering import ChatRenderer
from trainer.artifacts.manifest import read_manifest, write_manifest
from trainer.artifacts.merge import (
    LOGIT_TOLERANCE,
    MergeRefused,
    Proof,
    compare,
    observe,
    probe_prompts,
    run_config,
)

Say = Callable[[str], None]
ARCHITECTURES = ("llama", "qwen2", "qwen3")
# How llama.cpp calls the ways of cutting text before byte pairs are merged, told by the tokenizer's
# own patterns.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
)
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
)
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # gguf.TokenType
# of the spread of the logits: 8-bit weights move them, a wrong tensor moves them by far more
Q8_TOLERANCE = 0.1


def export_gguf(run: Path, kind: str, say: Say) -> int:
    """`merged/` to `model-KIND.gguf` in the run's folder. Raises `MergeRefused` (exit 1) where
    the proof fails.
    """
    merged = run / "merged"
    config = run_config(run)
    if not (merged / "config.json").exists():
        raise InputError(f"{run}: no merged/: run `python -m trainer merge {run}` first")
    from shared.inference.loading import load_tokenizer

    tokenizer = load_tokenizer(str(merged))
    chat = ChatRenderer.of(tokenizer, config.system)
    path, fresh = run / f"model-{kind}.gguf", run / f"model-{kind}.gguf.new"
    write_gguf(merged, tokenizer, chat, fresh, kind)
    proof = read_again(run, fresh, tokenizer, chat)
    tolerance = Q8_TOLERANCE if kind == "q8_0" else LOGIT_TOLERANCE
    llama = (
        _ask_llama_cpp(fresh, proof.prompts, tokenizer)
        if importlib.util.find_spec("xllamacpp")
        else None
    )
    answered = (
        None if llama is None else {"same_answers": proof.count_same(llama), "prompts": len(llama)}
    )
    if manifest := read_manifest(run):
        told = {"file": path.name, **asdict(proof.result), "llama_cpp": answered}
        write_manifest(run, manifest | {"gguf": told})
    # 8-bit weights may turn an answer at a near tie and all that follows, so answers are counted
    # and logits decide.
    wrong = proof.result.mean_logit_difference > tolerance or (
        kind != "q8_0" and not proof.result.holds
    )
    if wrong or (answered and answered["same_answers"] * 2 < answered["prompts"]):
        fresh.unlink()
        said = f"; llama.cpp: {answered}" if answered else ""
        raise MergeRefused(
            f"{run}: the GGUF file is not the merged model: {proof.result.line()}{said}"
        )
    fresh.rename(path)
    say(
        f"{path}: {path.stat().st_size / 1e6:,.0f} MB; read again by transformers:"
        f" {proof.result.line()}"
    )
    if answered:
        say(
            f"llama.cpp: {answered['same_answers']} of {answered['prompts']} greedy answers the"
            " same"
        )
    else:
        say("llama.cpp itself was not asked: `pip install xllamacpp` adds it to the proof")
    return 0


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
    _write_tokenizer(writer, tokenizer, chat, config["vocab_size"])
    types = {"f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_file_type(gguf.LlamaFileType[types[kind]])
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[architecture.upper()], config["num_hidden_layers"]
    )
    for name, tensor in _weights(merged):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        told = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if told is None:
            raise InputError(
                f"{merged}: the tensor {name} has no place in a GGUF file of {architecture}"
            )
        values = tensor.float().numpy()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            values = _side_by_side(values, heads)
        stored = gguf.GGMLQuantizationType[kind.upper() if values.ndim > 1 else "F32"]
        if stored == gguf.GGMLQuantizationType.Q8_0 and values.shape[-1] % 32:
            stored = gguf.GGMLQuantizationType.F16
        writer.add_tensor(told, gguf.quants.quantize(values, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class _Again:
    """What the file answered when transformers read it, beside the merged model's answers."""

    def __init__(self, prompts: list[str], answers: list[list[int]], result: Proof) -> None:
        self.prompts, self._answers, self.result = prompts, answers, result

    def count_same(self, others: list[list[int]]) -> int:
        """Answers that are the same; llama.cpp leaves the end token out, so one token may be
        missing at the end.
        """
        pairs = zip(self._answers, others, strict=True)
        return sum(
            len(other) >= len(one) - 1 and one[: len(other)] == other for one, other in pairs
        )


def read_again(run: Path, path: Path, tokenizer: Any, chat: ChatRenderer) -> _Again:
    """The file at `path`, read by transformers, beside the run's merged model: 20 prompts,
    answers and logits.
    """
    import torch
    from transformers import AutoModelForCausalLM

    prompts = probe_prompts(run, chat)
    merged = AutoModelForCausalLM.from_pretrained(run / "merged", dtype=torch.float32).eval()
    stop_ids = stop_token_ids(tokenizer, chat, merged)
    before = observe(merged, tokenizer, prompts, stop_ids)
    again = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    after = observe(again.eval(), tokenizer, prompts, stop_ids)
    return _Again(prompts, [observed.tokens for observed in before], compare(before, after))


def _ask_llama_cpp(path: Path, prompts: list[str], tokenizer: Any) -> list[list[int]]:
    """Greedy answers of llama.cpp, asked with the prompts' text: its tokenizer is on trial as
    well.
    """
    import xllamacpp

    from trainer.artifacts.merge import NEW_TOKENS

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity = 2048, 1, 0
    params.n_gpu_layers, params.warmup = 0, False
    server = xllamacpp.Server(params)
    answers = []
    for prompt in prompts:
        asked = {
            "prompt": prompt,
            "n_predict": NEW_TOKENS,
            "temperature": 0.0,
            "return_tokens": True,
            "seed": 0,
        }
        reply = server.handle_completions(asked)
        answers.append(_tokens(reply, tokenizer))
    return answers


def _tokens(reply: Any, tokenizer: Any) -> list[int]:
    reply = json.loads(reply) if isinstance(reply, str | bytes) else reply
    if "error" in reply:
        raise MergeRefused(f"llama.cpp cannot use the file: {reply['error']}")
    if reply.get("tokens"):
        return list(reply["tokens"])
    text = reply["content"] if "content" in reply else reply["choices"][0]["text"]
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _write_shape(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise InputError(
            f"model: rope type {rope['rope_type']!r} is not exported here, only the default one"
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


def _write_tokenizer(writer: Any, tokenizer: Any, chat: ChatRenderer, size: int) -> None:
    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    if inner["model"]["type"] != "BPE":
        raise InputError(
            f"tokenizer: {inner['model']['type']} is not exported here, only byte-level BPE"
        )
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    for token, number in inner["model"]["vocab"].items():
        tokens[number], types[number] = token, NORMAL
    for added in inner["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = (
            added["content"],
            CONTROL if added["special"] else USER_DEFINED,
        )
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
    first = parts[0]
    if [p["type"] for p in parts] == ["ByteLevel"] and first.get("use_regex", True):
        return "gpt-2"
    if [p["type"] for p in parts] == ["Digits", "ByteLevel"] and first["individual_digits"]:
        return "smollm"
    pattern = first.get("pattern", {}).get("Regex", "") if first["type"] == "Split" else ""
    for name, start in (("qwen2", QWEN2_PATTERN), ("llama-bpe", LLAMA3_PATTERN)):
        if pattern.startswith(start):
            return name
    raise InputError(
        "tokenizer: llama.cpp's name for its way of cutting text is not known here"
        f" ({pattern[:60]!r})"
    )


def _weights(folder: Path) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  # not a dictionary
                yield name, opened.get_tensor(name)


def _side_by_side(weight: Any, heads: int) -> Any:
    """Rows of a query or key matrix: transformers puts rotary pairs half beside half, llama.cpp
    side by side.
    """
    rows, columns = weight.shape
    return (
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )
