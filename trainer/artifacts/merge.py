"""Adapter and base made one 16-bit model, and the proof that it is the model that was trained.

Merged weights came out wrong in several releases of several libraries, and nothing looks wrong
until someone asks the model. So the merged folder is loaded again from the disk and both models
answer 20 prompts: logits close at each token, greedy answers the same up to where the trained model
itself was undecided. Otherwise the folder is taken away again.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.config import validate
from shared.errors import InputError, Stopped
from shared.inference.generation_config import NEUTRAL, neutral
from shared.inference.stop_tokens import as_list, end_of_turn_id, stop_token_ids
from shared.rendering import ChatRenderer
from trainer.artifacts.manifest import read_manifest, write_manifest
from trainer.artifacts.metrics import read_lines
from trainer.config import TrainerConfig

PROMPTS = 20
NEW_TOKENS = 32
# What 16-bit weights may change: the adapter's product is rounded once into a weight (relative 2^-9
# in bfloat16), so logits move by a few hundredths of their spread at most; a missed layer or a
# wrong scale moves them by over a tenth.
LOGIT_TOLERANCE = 0.05
CARD_SHARE = 0.8  # of a card's free memory that a model's weights may fill while it answers


class MergeRefused(Stopped):
    """The merged model does not answer as the trained one does."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Trained against merged model. Differences of logits are relative to their standard
    deviation.
    """

    prompts: int
    same_answers: int
    # answers that part where the trained model's two best tokens were closer than the tolerance
    undecided: int
    mean_logit_difference: float
    worst_logit_difference: float

    @property
    def holds(self) -> bool:
        """Whether the merged model is the trained one, as far as 16 bits allow."""
        return (
            self.mean_logit_difference <= LOGIT_TOLERANCE
            and self.same_answers + self.undecided == self.prompts
        )

    def line(self) -> str:
        """The proof as the end of a sentence for the user."""
        return (
            f"{self.same_answers} of {self.prompts} greedy answers the same"
            + (f", {self.undecided} part at a tie" if self.undecided else "")
            + f"; logits differ by {self.mean_logit_difference:.4f} of their spread on average"
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """A greedy answer and the logits that led to it."""

    tokens: list[int]  # the stop token as well
    logits: Any  # [len(tokens), vocabulary] float32, on the CPU


def merge(run: Path, say: Callable[[str], None]) -> int:
    """`adapter/` and the base model to `merged/`, proved. Raises `MergeRefused` (exit 1) where
    the proof fails.
    """
    config = run_config(run)
    if config.method == "full":
        raise InputError(f"{run}: a full fine-tune has no adapter; its model is {run / 'merged'}")
    if not (run / "adapter" / "adapter_config.json").exists():
        raise InputError(f"{run}: no adapter/: let `python -m trainer run` end first")
    from shared.inference.loading import load_model, load_tokenizer
    from trainer.layers.backends import load_adapted

    tokenizer = load_tokenizer(run / "adapter")
    chat = ChatRenderer.of(tokenizer, config.system)
    place = _place(config.model)
    adapter_model = load_adapted(config.model, run / "adapter", config.rope_scaling, *place)
    prompts = eval_prompts(run, chat)
    # Both models end at the same tokens, though their folders name different ones.
    stop_ids = stop_token_ids(tokenizer, chat, adapter_model)
    before = observe(adapter_model, tokenizer, prompts, stop_ids)

    new_folder = run / "merged.new"
    shutil.rmtree(new_folder, ignore_errors=True)
    _write_merged(adapter_model, tokenizer, chat, new_folder)
    del adapter_model

    merged_model = load_model(new_folder, *place)
    proof = compare(before, observe(merged_model, tokenizer, prompts, stop_ids))
    _record(run, proof)
    if not proof.holds:
        shutil.rmtree(new_folder)
        raise MergeRefused(
            f"{run}: the merged model is not the trained one: {proof.line()}; merged/ is not"
            " written"
        )
    shutil.rmtree(run / "merged", ignore_errors=True)
    new_folder.rename(run / "merged")
    say(f"{run / 'merged'}: proved: {proof.line()}")
    return 0


def _place(model: str) -> tuple[Any, Any]:
    """(device, dtype) where a model can be merged: this machine's usual ones, or, where the card
    cannot hold it, the processor in bfloat16, since its float32 might not fit the host either.
    """
    import torch

    from shared.inference.loading import default_device
    from trainer.layers.backends import load_config
    from trainer.planning.shape import Shape

    device = default_device()
    if device.type != "cuda":
        return device, None
    free_bytes, _ = torch.cuda.mem_get_info()
    if 2 * Shape.of(load_config(model)).parameters <= CARD_SHARE * free_bytes:
        return device, None
    return torch.device("cpu"), torch.bfloat16


def _write_merged(adapter_model: Any, tokenizer: Any, chat: ChatRenderer, folder: Path) -> None:
    """The adapter merged into its base, with the tokenizer. `adapter_model` is used up by it."""
    import torch
    from peft.tuners.lora import LoraLayer

    # The product is added in float32 and rounded once, a layer at a time: of a large student no
    # more than one layer is in float32.
    layers: list[Any] = [m for m in adapter_model.modules() if isinstance(m, LoraLayer)]
    for layer in layers:
        layer.float()
        layer.merge(safe_merge=True)
        layer.to(torch.bfloat16)
    merged_model = adapter_model.unload().to(torch.bfloat16)
    merged_model.generation_config = as_measured(merged_model.generation_config, tokenizer, chat)
    merged_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def observe(
    model: Any, tokenizer: Any, prompts: Sequence[str], stop_ids: tuple[int, ...]
) -> list[Observed]:
    """The greedy answers to rendered prompts, of `NEW_TOKENS` at most, the same way for any
    model.
    """
    import torch

    from shared.inference.generation import generate
    from shared.inference.loading import prompt_token_ids
    from shared.inference.requests import Prompt, Sampling

    tokens: list[list[int]] = [[] for _ in prompts]
    logits: list[list[Any]] = [[] for _ in prompts]  # each [vocabulary]

    def keep(indices: Any, step_tokens: Any, step_logits: Any) -> None:
        rows = step_logits.to("cpu", torch.float32, copy=True)  # [n, vocabulary]
        for index, token, row in zip(indices.tolist(), step_tokens.tolist(), rows, strict=True):
            tokens[index].append(token)
            logits[index].append(row)

    token_prompts = [Prompt(prompt_token_ids(tokenizer, prompt), NEW_TOKENS) for prompt in prompts]
    generate(model, token_prompts, Sampling(stop_ids=stop_ids), on_step=keep)
    return [
        Observed(answer, torch.stack(answer_logits))
        for answer, answer_logits in zip(tokens, logits, strict=True)
    ]


def compare(trained: Sequence[Observed], merged: Sequence[Observed]) -> Proof:
    """Logits are compared as far as the answers are the same, since later ones follow from
    different texts.
    """
    same_answers = 0
    ties = 0
    differences: list[float] = []
    for before, after in zip(trained, merged, strict=True):
        common = _common_length(before.tokens, after.tokens)
        rows = min(common + 1, len(before.logits), len(after.logits))
        distance = (before.logits[:rows] - after.logits[:rows]).abs().mean(-1)  # [rows]
        differences += (distance / before.logits[:rows].std(-1)).tolist()
        if before.tokens == after.tokens:
            same_answers += 1
        elif common < len(before.logits) and _is_tie(before.logits[common]):
            ties += 1
    mean = sum(differences) / len(differences)
    return Proof(len(trained), same_answers, ties, mean, max(differences))


def _common_length(one: Sequence[int], another: Sequence[int]) -> int:
    """How many tokens two answers have in common from their start."""
    pairs = enumerate(zip(one, another, strict=False))
    differing = (position for position, (a, b) in pairs if a != b)
    return next(differing, min(len(one), len(another)))


def _is_tie(logits: Any) -> bool:
    """Whether the two likeliest tokens of logits [vocabulary] are within the tolerance."""
    likeliest, runner_up = logits.topk(2).values
    return bool((likeliest - runner_up) / logits.std() <= LOGIT_TOLERANCE)


def eval_prompts(run: Path, chat: ChatRenderer) -> list[str]:
    """20 prompts: the run's own eval problems, then plain sums where there are too few."""
    questions: list[str] = []
    for probe in read_lines(run / "probe.jsonl")[:1]:
        questions += [answer["problem"] for answer in probe["answers"]]
    questions += [f"What is {7 * i + 3} + {5 * i + 4}?" for i in range(PROMPTS)]
    return [chat.prompt([{"role": "user", "content": text}]) for text in questions[:PROMPTS]]


def run_config(run: Path) -> TrainerConfig:
    """The configuration that a run's folder was made with."""
    path = run / "config.json"
    if not path.exists():
        raise InputError(
            f"{run}: not a run's folder (no config.json): give the `run` of a training"
            " configuration"
        )
    try:
        tree = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"{path}: damaged ({error}): run the training again, which writes it anew"
        ) from None
    return validate(TrainerConfig, tree, str(path))


def as_measured(base: Any, tokenizer: Any, chat: ChatRenderer) -> Any:
    """The `GenerationConfig` of a folder that we write, from the `base`'s. Sets the tokenizer's end
    token as well.

    Whoever loads the model stops at the token that it was taught to end with, and decodes as it was
    measured: the base's penalties and sampling are left behind
    (`shared.inference.generation_config`), since generation eval and evaluation were without them.
    """
    end = end_of_turn_id(tokenizer, chat)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    base_ends = [token for token in as_list(base.eos_token_id) if token != end]
    return neutral(base, **(NEUTRAL | {"eos_token_id": [end, *base_ends]}))


def _record(run: Path, proof: Proof) -> None:
    manifest = read_manifest(run)
    if manifest:
        write_manifest(run, manifest | {"merge": {**asdict(proof), "holds": proof.holds}})
