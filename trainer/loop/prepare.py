"""Everything before the model's weights are loaded: check, choose the data, plan. What can be refused
is refused here, cheapest first.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import InputError
from shared.inference.context_length import context_length
from shared.rendering import ChatRenderer
from trainer.artifacts.checkpoints import whole_checkpoints
from trainer.artifacts.manifest import DATA_KEY, read_manifest, template_date
from trainer.config import TrainerConfig
from trainer.data.data_order import run_order
from trainer.data.selection import Selection, check_corpora, select
from trainer.data.student_tokenizer import load_student_tokenizer
from trainer.data.token_table import Column
from trainer.data.tokenizing import Say, silence
from trainer.layers.backends import (
    Backend,
    check_model,
    load_config,
    open_backend,
)
from trainer.layers.recurrent_state import carries_state
from trainer.loop.trackers import check_trackers
from trainer.planning.hardware import Card, find_card
from trainer.planning.launch import Launch, agree, check_launch, idle_cards, take_card
from trainer.planning.learning_rate import LearningRate, choose_learning_rate
from trainer.planning.lengths import length_lines
from trainer.planning.plan import Plan, few_steps, make_plan
from trainer.planning.shape import Shape

TOKENS = "tokens"  # in a run's folder
DIGEST_OF_DIGESTS = "d:"  # how digests begin that are made from those of the rows


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before the model's weights are loaded."""

    config: TrainerConfig
    backend: Backend
    tokenizer: Any
    chat: ChatRenderer
    shape: Shape
    selection: Selection
    data_order: Column  # [n] int64: indices into the examples, for the whole run
    card: Card
    plan: Plan
    rate: LearningRate
    launch: Launch
    positions: int  # that the model knows; 0: it does not say

    @property
    def data_digest(self) -> str:
        """Names the data of every step: examples with their tokens, in order."""
        manifest = read_manifest(Path(self.config.run))
        if manifest and not str(manifest["identity"].get(DATA_KEY)).startswith(DIGEST_OF_DIGESTS):
            return self._digest_of_tokens()  # as the run that began with it
        train = self.selection.train
        digest = hashlib.sha256(train.table.column("digest")[train.rows].tobytes())
        digest.update(self.data_order.tobytes())
        return DIGEST_OF_DIGESTS + digest.hexdigest()[:16]

    def _digest_of_tokens(self) -> str:
        """What `data_digest` was before tokens were kept in files: every one of them is read."""
        digest = hashlib.sha256()
        for example in self.selection.train:
            digest.update(example.id.encode() + example.ids.tobytes())
        digest.update(json.dumps(self.data_order.tolist()).encode())
        return digest.hexdigest()[:16]

    def plan_lines(self) -> list[str]:
        """What `plan` prints: `lines`, and what other lengths would keep and take."""
        train = self.selection.train
        plan_for = partial(
            make_plan,
            shape=self.shape,
            card=self.card,
            world=self.plan.cards,
            backend=self.backend.name,
            padded=self.plan.setting.padded,
        )
        share = len(train) / max(1, len(train) + len(self.selection.held_out))
        return self.lines() + length_lines(
            self.config, self.selection.lengths_of_all, share, self.positions, plan_for
        )

    def lines(self) -> list[str]:
        """What a run says before it begins."""
        lines = [self._model_line(), *self.selection.lines()]
        system_text = self.chat.default_system if self.config.system is None else ""
        if system_text:
            lines.append(
                f"system text: the chat template inserts {system_text!r}; training and chat agree"
            )
        if self.config.rope_scaling:
            kind, length = self.config.rope_scaling
            lines.append(
                f"context: RoPE scaled by {kind} where the model knows fewer than {length:,}"
                " positions; saved with it"
            )
        lines.append(f"learning rate: {self.rate.value:g} ({self.rate.source})")
        lines += self.plan.lines()
        if self.rate.warning:
            lines.append(f"warning: {self.rate.warning}")
        notes = (
            self._without_generation_eval(),
            few_steps(self.config, self.plan.steps, len(self.selection.train)),
            idle_cards(self.plan.cards),
        )
        return lines + [note for note in notes if note]

    def as_dict(self) -> dict[str, Any]:
        """What `plan --json` prints: memory in GiB, time in seconds."""
        return {
            "model": self.config.model,
            "parameters": self.shape.parameters,
            "method": self.config.method,
            "backend": self.backend.name,
            "card": self.card.name,
            "cards": self.plan.cards,
            "examples": len(self.selection.train),
            "learning_rate": self.rate.value,
            "plan": asdict(self.plan),
            "memory_gib": self.plan.total_gib,
            "seconds": self.plan.seconds,
            "text": self.plan_lines(),
        }

    def _without_generation_eval(self) -> str:
        if not self.plan.setting.sharded or not self.config.probe.problems:
            return ""
        return (
            "note: weights are sharded: no generation eval while it trains ([probe]); the held-out"
            " loss alone is told, and the last checkpoint is the one that is kept"
        )

    def _model_line(self) -> str:
        cards = f"{self.plan.cards} x " if self.plan.cards > 1 else ""
        return (
            f"model: {self.config.model}, {self.shape.parameters / 1e6:,.0f} million parameters,"
            f" {self.config.method}, backend {self.backend.name} on {cards}{self.card.name}"
        )


def prepare(
    config: TrainerConfig, card: Card | None = None, cards: int = 1, say: Say = silence
) -> Prepared:
    """Everything that can be refused is refused here, cheapest first. `card`: plan for this one
    instead of ours; `cards`: for so many of them, where this is no process of a launch. `say`:
    told how far the tokens are. Errors: `InputError`.
    """
    launch = check_launch(config.train.batch)
    world = max(launch.world, cards)
    check_corpora(config.corpora)
    check_model(config.model)
    check_trackers(config)
    take_card(launch)
    # The first import of the big libraries: Unsloth, where used, before all others.
    backend = open_backend(config, world)
    manifest = _manifest_to_go_on(config)
    today = template_date(manifest) if manifest else None
    tokenizer, chat = load_student_tokenizer(config, today)
    model_config = load_config(config.model, config.rope_scaling)
    _check_length(config, model_config)
    _check_rope_scaling(config, backend)
    shards = _shards_of(config, manifest) if manifest else None
    selection = select(config, tokenizer, chat, shards, _token_folder(config), say)
    card = _with_precision_of_before(config, agree(card or find_card(), launch))
    data_order = _data_order(config, selection)
    shape = Shape.of(model_config)
    lengths = selection.train.lengths[data_order].tolist()
    needs_padding = carries_state(model_config)
    plan = make_plan(config, shape, lengths, card, world, backend.name, needs_padding)
    rate = choose_learning_rate(config.train.learning_rate, config.method, shape.parameters)
    return Prepared(
        config,
        backend,
        tokenizer,
        chat,
        shape,
        selection,
        data_order,
        card,
        plan,
        rate,
        launch,
        context_length(model_config),
    )


def _check_length(config: TrainerConfig, model_config: Any) -> None:
    """Refuse rows longer than the model's positions."""
    max_length = config.train.max_length
    positions = context_length(model_config)
    if positions and max_length > positions:
        raise InputError(
            f"train.max_length {max_length}: above the {positions:,} positions that"
            f" {config.model} knows (max_position_embeddings): set train.max_length = {positions},"
            ' which leaves longer traces out, or extend the model with train.rope_scaling = "yarn"'
        )


def _check_rope_scaling(config: TrainerConfig, backend: Backend) -> None:
    if config.rope_scaling and backend.name == "unsloth":
        raise InputError(
            'train.rope_scaling: Unsloth scales RoPE in its own way: set backend = "trl"'
        )


def _token_folder(config: TrainerConfig) -> Path | None:
    """Where the tokens of a run are kept; None where its folder cannot be made, which a run refuses
    and a plan need not.
    """
    folder = Path(config.run) / TOKENS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def _data_order(config: TrainerConfig, selection: Selection) -> Column:
    sizes = np.bincount(selection.train.corpora, minlength=len(config.corpora)).tolist()
    order = run_order(sizes, config.weights, config.train.epochs, config.train.seed)
    if not order:
        raise InputError(
            f"train.epochs {config.train.epochs:g}: not one of {sum(sizes):,} examples: give more"
        )
    return np.array(order, dtype=np.int64)


def _manifest_to_go_on(config: TrainerConfig) -> dict[str, Any] | None:
    """The manifest of the run in this folder that is to go on; None for a new run."""
    folder = Path(config.run)
    manifest = read_manifest(folder)
    whole, _ = whole_checkpoints(folder / "checkpoints")
    return manifest if manifest and whole else None


def _shards_of(config: TrainerConfig, manifest: dict[str, Any]) -> set[tuple[str, str]] | None:
    """(corpus, shard) of each that a run began with; None where corpora go by other names:
    examples then decide.
    """
    shards = {(shard["corpus"], shard["name"]) for shard in manifest["data"]["shards"]}
    corpora = {corpus for corpus, _ in shards}
    return shards if corpora == set(config.corpora) else None


def _with_precision_of_before(config: TrainerConfig, card: Card) -> Card:
    """A run that goes on keeps its precision, whatever a processor measures today: its curve
    must not change.
    """
    folder = Path(config.run)
    manifest = read_manifest(folder)
    has_checkpoint = any((folder / "checkpoints").glob("checkpoint-*"))
    if manifest and card.kind == "cpu" and has_checkpoint:
        return replace(card, bf16=manifest["plan"]["dtype"] == "bf16")
    return card
