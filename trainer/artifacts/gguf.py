"""`export gguf`: the merged model as one file for llama.cpp and its kin, and the proof that it is
the model.

The file is written with llama.cpp's own package `gguf`: its tensor names, its quantisation. Then it
is read again by something else than what wrote it: transformers' GGUF reader always, llama.cpp
itself where the package `xllamacpp` is installed. Greedy answers and logits must agree with the
merged model's, or the file is taken away again.
"""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.inference.stop_tokens import stop_token_ids
from shared.rendering import ChatRenderer
from trainer.artifacts.gguf_writer import ROPE_FACTORS, write_gguf
from trainer.artifacts.manifest import read_manifest, write_manifest
from trainer.artifacts.merge import (
    MergeRefused,
    Proof,
    compare,
    eval_prompts,
    observe,
    run_config,
)

Say = Callable[[str], None]
# of the spread of the logits: 8-bit weights move them, a wrong tensor moves them by far more
Q8_TOLERANCE = 0.1
FREQUENCY_TOLERANCE = 1e-5  # float32's own, a few times over


def export_gguf(run: Path, kind: str, say: Say) -> int:
    """`merged/` to `model-KIND.gguf` in the run's folder. Raises `MergeRefused` (exit 1) where
    the proof fails.
    """
    merged_folder = run / "merged"
    config = run_config(run)
    if not (merged_folder / "config.json").exists():
        raise InputError(f"{run}: no merged/: run `python -m trainer merge {run}` first")
    from shared.inference.loading import load_tokenizer

    tokenizer = load_tokenizer(str(merged_folder))
    chat = ChatRenderer.of(tokenizer, config.system)
    path = run / f"model-{kind}.gguf"
    fresh = run / f"model-{kind}.gguf.new"
    write_gguf(merged_folder, tokenizer, chat, fresh, kind)
    proof = read_again(run, fresh, tokenizer, chat)
    llama_cpp = None
    if importlib.util.find_spec("xllamacpp"):
        answers = _ask_llama_cpp(fresh, proof.prompts, tokenizer)
        llama_cpp = {"same_answers": proof.count_same(answers), "prompts": len(answers)}
    manifest = read_manifest(run)
    if manifest:
        outcome = {"file": path.name, **asdict(proof.result), "llama_cpp": llama_cpp}
        write_manifest(run, manifest | {"gguf": outcome})
    if not _is_the_model(proof.result, llama_cpp, kind):
        fresh.unlink()
        llama_cpp_line = f"; llama.cpp: {llama_cpp}" if llama_cpp else ""
        raise MergeRefused(
            f"{run}: the GGUF file is not the merged model: {proof.result.line()}{llama_cpp_line}"
        )
    fresh.rename(path)
    megabytes = path.stat().st_size / 1e6
    say(f"{path}: {megabytes:,.0f} MB; read again by transformers: {proof.result.line()}")
    if llama_cpp:
        say(
            f"llama.cpp: {llama_cpp['same_answers']} of {llama_cpp['prompts']} greedy answers the"
            " same"
        )
    else:
        say("llama.cpp itself was not asked: `pip install xllamacpp` adds it to the proof")
    return 0


def _is_the_model(result: Proof, llama_cpp: dict[str, int] | None, kind: str) -> bool:
    # 8-bit weights may turn an answer at a near tie and all that follows, so answers are counted
    # and logits decide.
    if kind == "q8_0":
        same = result.mean_logit_difference <= Q8_TOLERANCE
    else:
        same = result.holds
    if llama_cpp and llama_cpp["same_answers"] * 2 < llama_cpp["prompts"]:
        return False
    return same


class SecondReading:
    """What the file answered when transformers read it, beside the merged model's answers."""

    def __init__(
        self, prompts: list[str], answers: list[list[int]], result: Proof, tokenizer: Any
    ) -> None:
        self.prompts = prompts
        self._answers = answers
        self._tokenizer = tokenizer
        self.result = result

    def count_same(self, llama_cpp_answers: list[list[int]]) -> int:
        """Answers (token ids) that are the same; llama.cpp leaves the end token out, so one token
        may be missing at the end.
        """
        same = 0
        for answer, llama_cpp_answer in zip(self._answers, llama_cpp_answers, strict=True):
            if any(
                len(llama_cpp_answer) >= len(tokens) - 1
                and tokens[: len(llama_cpp_answer)] == llama_cpp_answer
                for tokens in (answer, self._retokenized(answer))
            ):
                same += 1
        return same

    def _retokenized(self, answer: list[int]) -> list[int]:
        """As it comes back from a release of llama.cpp's that gives text alone: without special
        tokens, and with bytes that are no text replaced.
        """
        text = self._tokenizer.decode(answer, skip_special_tokens=True)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def read_again(run: Path, path: Path, tokenizer: Any, chat: ChatRenderer) -> SecondReading:
    """The file at `path`, read by transformers, beside the run's merged model: 20 prompts,
    answers and logits.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    prompts = eval_prompts(run, chat)
    merged_model = AutoModelForCausalLM.from_pretrained(run / "merged", dtype=torch.float32).eval()
    stop_ids = stop_token_ids(tokenizer, chat, merged_model)
    before = observe(merged_model, tokenizer, prompts, stop_ids)
    _check_frequencies(path, merged_model)
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    # The reader does not know the factors of Llama-3's RoPE, which were compared above.
    config.rope_parameters = merged_model.config.rope_parameters
    from_gguf = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype=torch.float32
    )
    after = observe(from_gguf.eval(), tokenizer, prompts, stop_ids)
    answers = [observation.tokens for observation in before]
    return SecondReading(prompts, answers, compare(before, after), tokenizer)


def _check_frequencies(path: Path, merged: Any) -> None:
    """Raises `MergeRefused` where a file's rotary frequencies are not transformers' own."""
    import gguf
    import numpy as np

    reader: Any = gguf.GGUFReader(path)
    architecture = reader.get_field("general.architecture").contents()
    base = reader.get_field(f"{architecture}.rope.freq_base").contents()
    own = merged.model.rotary_emb.inv_freq.numpy()  # [head / 2]
    frequencies = base ** -(np.arange(len(own)) / len(own))
    for tensor in reader.tensors:
        if tensor.name == ROPE_FACTORS:
            frequencies = frequencies / tensor.data
    difference = float(np.abs(frequencies / own - 1).max())
    if difference > FREQUENCY_TOLERANCE:
        raise MergeRefused(
            f"{path.name}: its rotary frequencies differ from the merged model's by"
            f" {difference:.2g} of their size"
        )


def _ask_llama_cpp(path: Path, prompts: list[str], tokenizer: Any) -> list[list[int]]:
    """Greedy answers of llama.cpp, asked with the prompts' text: its tokenizer is on trial as
    well.
    """
    import xllamacpp

    from trainer.artifacts.merge import NEW_TOKENS

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 2048
    params.n_parallel = 1
    params.verbosity = 0
    params.n_gpu_layers = 0
    params.warmup = False
    server = xllamacpp.Server(params)
    answers = []
    for prompt in prompts:
        request = {
            "prompt": prompt,
            "n_predict": NEW_TOKENS,
            "temperature": 0.0,
            "return_tokens": True,
            "seed": 0,
        }
        reply = server.handle_completions(request)
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
