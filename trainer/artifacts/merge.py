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
from shared.inference.generation_config import NEUTRAL, decoding, neutral
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
        return (
            self.mean_logit_difference <= LOGIT_TOLERANCE
            and self.same_answers + self.undecided == self.prompts
        )

    def line(self) -> str:
        return (
            f"{self.same_answers} of {self.prompts} greedy answers the same"
            + (f", {self.undecided} part at a tie" if self.undecided else "")
            + f"; logits differ by {self.mean_logit_difference:.4f} of their spread on average"
        )


def merge(run: Path, say: Callable[[str], None]) -> int:
    """`adapter/` and the base model to `merged/`, proved. Raises `MergeRefused` (exit 1) where
    the proof fails.
    """
    config = run_config(run)
    if config.method == "full":
        raise InputError(f"{run}: a full fine-tune has no adapter; its model is {run / 'merged'}")
    if not (run / "adapter" / "adapter_config.json").exists():
        raise InputError(f"{run}: no adapter/: let `python -m trainer run` end first")
    import torch

    from trainer.layers.backends import load_adapted, load_to_answer, load_tokenizer

    tokenizer = load_tokenizer(str(run / "adapter"))
    trained = load_adapted(config.model, run / "adapter")
    prompts = probe_prompts(run, ChatRenderer.of(tokenizer, config.system))
    before = observe(trained, tokenizer, prompts)

    fresh = run / "merged.new"
    shutil.rmtree(fresh, ignore_errors=True)
    trained.float()  # the product is added in float32 and rounded once
    merged = trained.merge_and_unload(safe_merge=True).to(torch.bfloat16)
    chat = ChatRenderer.of(tokenizer, config.system)
    merged.generation_config = as_measured(merged.generation_config, tokenizer, chat)
    merged.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    del trained, merged

    again = load_to_answer(fresh)
    proof = compare(before, observe(again, tokenizer, prompts))
    _record(run, proof)
    if not proof.holds:
        shutil.rmtree(fresh)
        raise MergeRefused(
            f"{run}: the merged model is not the trained one: {proof.line()}; merged/ is not"
            " written"
        )
    shutil.rmtree(run / "merged", ignore_errors=True)
    fresh.rename(run / "merged")
    say(f"{run / 'merged'}: proved: {proof.line()}")
    return 0


@dataclass(frozen=True, slots=True)
class Observed:
    """A greedy answer and the logits that led to it."""

    tokens: list[int]
    logits: Any  # [len(tokens), V] float32


def observe(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[Observed]:
    """The greedy answers to all prompts, in one batch padded on the left: the same way for both
    models.
    """
    import torch

    rows = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    width = max(map(len, rows))
    pad = tokenizer.pad_token_id or 0
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    real = torch.tensor(
        [[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device
    )
    asked = {"max_new_tokens": NEW_TOKENS, "pad_token_id": pad}
    wanted = {"output_logits": True, "return_dict_in_generate": True}
    with torch.no_grad(), decoding(model, **asked, **wanted) as greedy:
        out = model.generate(input_ids=ids, attention_mask=real, generation_config=greedy)
    logits = torch.stack(
        [step.float().cpu() for step in out.logits], dim=1
    )  # [prompts, new tokens, V]
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    answers = []
    for said, row in zip(out.sequences[:, width:].tolist(), logits, strict=True):
        length = next((n for n, token in enumerate(said, 1) if token in ends), len(said))
        answers.append(Observed(said[:length], row[:length]))
    return answers


def compare(trained: Sequence[Observed], merged: Sequence[Observed]) -> Proof:
    """Logits are compared as far as the answers are the same, since later ones follow from
    different texts.
    """
    same, undecided, differences = 0, 0, []
    for one, other in zip(trained, merged, strict=True):
        common = 0
        while (
            common < min(len(one.tokens), len(other.tokens))
            and one.tokens[common] == other.tokens[common]
        ):
            common += 1
        rows = min(common + 1, len(one.logits), len(other.logits))
        gap = (one.logits[:rows] - other.logits[:rows]).abs().mean(-1) / one.logits[:rows].std(-1)
        differences += gap.tolist()
        if one.tokens == other.tokens:
            same += 1
        elif common < len(one.logits):
            best = one.logits[common].topk(2).values
            undecided += bool((best[0] - best[1]) / one.logits[common].std() <= LOGIT_TOLERANCE)
    return Proof(
        len(trained), same, undecided, sum(differences) / len(differences), max(differences)
    )


def probe_prompts(run: Path, chat: ChatRenderer) -> list[str]:
    """20 prompts: the run's own probe problems, then plain sums where there are too few."""
    asked: list[str] = []
    path = run / "probe.jsonl"
    if first := read_lines(path)[:1]:
        asked = [answer["problem"] for answer in first[0]["answers"]]
    asked += [f"What is {7 * i + 3} + {5 * i + 4}?" for i in range(PROMPTS)]
    return [chat.prompt([{"role": "user", "content": text}]) for text in asked[:PROMPTS]]


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


def as_measured(known: Any, tokenizer: Any, chat: ChatRenderer) -> Any:
    """The `GenerationConfig` of a folder that we write, from the base's. Sets the tokenizer's end
    token as well.

    Whoever loads the model stops at the token that it was taught to end with, and decodes as it was
    measured: the base's penalties and sampling are left behind
    (`shared.inference.generation_config`), since probe and evaluation were without them.
    """
    from trainer.data.examples import end_token_id

    end = end_token_id(tokenizer, chat)
    ends = known.eos_token_id
    others = ends if isinstance(ends, list) else [] if ends is None else [ends]
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    return neutral(
        known, **(NEUTRAL | {"eos_token_id": [end, *(token for token in others if token != end)]})
    )


def _record(run: Path, proof: Proof) -> None:
    if manifest := read_manifest(run):
        write_manifest(run, manifest | {"merge": {**asdict(proof), "holds": proof.holds}})
