"""One training run, from top to bottom: check, choose the data, plan, rehearse, train, keep the
best.

The same command on the same folder goes on where the last one stopped.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.errors import CannotWrite, InputError, ended_by_a_signal
from shared.folder_lock import FolderLock
from shared.rendering import ChatRenderer
from shared.shards import write_atomically
from trainer.artifacts.checkpoints import Checkpoint, whole_checkpoints
from trainer.artifacts.finalize import OUTCOME, finish, is_finished
from trainer.artifacts.manifest import (
    describe_run,
    identity,
    read_manifest,
    template_date,
    write_manifest,
)
from trainer.config import TrainerConfig
from trainer.data.data_order import run_order
from trainer.data.selection import Selection, check_corpora, select
from trainer.disk_errors import full_disk_told
from trainer.layers.backends import (
    Backend,
    Setup,
    check_model,
    load_config,
    load_tokenizer,
    open_backend,
)
from trainer.layers.recurrent_state import carries_state, sees_neighbours
from trainer.loop.trackers import check_trackers, set_environment
from trainer.planning.hardware import Card, find_card
from trainer.planning.launch import Launch, agree, check_launch, idle_cards, leave, take_card
from trainer.planning.learning_rate import LearningRate, choose_learning_rate
from trainer.planning.plan import Plan, Shape, context_length, few_steps, make_plan

Say = Callable[[str], None]

NO_STEP = "no step was made by this call; the same command goes on where the run stands"


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before the model's weights are loaded."""

    config: TrainerConfig
    backend: Backend
    tokenizer: Any
    chat: ChatRenderer
    shape: Shape
    selection: Selection
    order: list[int]
    card: Card
    plan: Plan
    rate: LearningRate
    launch: Launch

    @property
    def order_digest(self) -> str:
        """Names the data of every step: examples with their tokens, in order."""
        digest = hashlib.sha256()
        for example in self.selection.train:
            digest.update(example.id.encode() + example.ids.tobytes())
        digest.update(json.dumps(self.order).encode())
        return digest.hexdigest()[:16]

    def lines(self) -> list[str]:
        warning = [f"warning: {self.rate.warning}"] if self.rate.warning else []
        few = few_steps(self.config, self.plan.steps, len(self.selection.train))
        idle = idle_cards(self.launch)
        cards = f"{self.launch.world} x " if self.launch.world > 1 else ""
        inserted = self.chat.default_system if self.config.system is None else ""
        return [
            (
                f"model: {self.config.model}, {self.shape.parameters / 1e6:,.0f} million"
                f" parameters, {self.config.method}, backend {self.backend.name} on"
                f" {cards}{self.card.name}"
            ),
            *self.selection.lines(),
            *(
                [f"system text: the chat template inserts {inserted!r}; training and chat agree"]
                if inserted
                else []
            ),
            f"learning rate: {self.rate.value:g} ({self.rate.source})",
            *self.plan.lines(),
            *warning,
            *([few] if few else []),
            *([idle] if idle else []),
        ]


def prepare(config: TrainerConfig, card: Card | None = None) -> Prepared:
    """Everything that can be refused is refused here, cheapest first. `card`: plan for this one
    instead of ours.
    """
    launch = check_launch(config.train.batch)
    check_corpora(config.corpora)
    check_model(config.model)
    check_trackers(config)
    take_card(launch)
    backend = open_backend(
        config
    )  # the first import of the big libraries: Unsloth, where used, before all others
    tokenizer = load_tokenizer(config.model)
    begun = _begun(config)
    chat = ChatRenderer.of(
        tokenizer, config.system, f"model {config.model}", template_date(begun) if begun else None
    )
    model_config = load_config(config.model)
    shape = Shape.of(model_config)
    longest = context_length(model_config)
    if longest and config.train.max_length > longest:
        raise InputError(
            f"train.max_length {config.train.max_length}: above the {longest:,} positions that"
            f" {config.model} knows (max_position_embeddings): set train.max_length = {longest},"
            " which leaves longer traces out, or extend the model with rope_scaling in its"
            " config.json"
        )
    window = getattr(model_config, "sliding_window", None)
    if (
        window
        and getattr(model_config, "use_sliding_window", True)
        and config.train.max_length > window
    ):
        raise InputError(
            f"train.max_length {config.train.max_length}: above the model's attention window of"
            f" {window}"
        )
    selection = select(config, tokenizer, chat, _shards_of(config, begun) if begun else None)
    card = _as_begun(config, agree(card or find_card(), launch))
    counts = [sum(e.corpus == i for e in selection.train) for i in range(len(config.corpora))]
    order = run_order(counts, config.weights, config.train.epochs, config.train.seed)
    if not order:
        raise InputError(
            f"train.epochs {config.train.epochs:g}: not one of {sum(counts):,} examples: give more"
        )
    lengths, apart = [len(selection.train[i]) for i in order], carries_state(model_config)
    plan = make_plan(config, shape, lengths, card, launch.world, backend.name, apart)
    rate = choose_learning_rate(config.train.learning_rate, config.method, shape.parameters)
    return Prepared(
        config, backend, tokenizer, chat, shape, selection, order, card, plan, rate, launch
    )


def _begun(config: TrainerConfig) -> dict[str, Any] | None:
    """The manifest of the run in this folder that is to go on; None for a new run."""
    folder = Path(config.run)
    manifest = read_manifest(folder)
    return manifest if manifest and whole_checkpoints(folder / "checkpoints")[0] else None


def _shards_of(config: TrainerConfig, manifest: dict[str, Any]) -> set[tuple[str, str]] | None:
    """(corpus, shard) of each that a run began with; None where corpora go by other names:
    examples then decide.
    """
    begun = {(shard["corpus"], shard["name"]) for shard in manifest["data"]["shards"]}
    return begun if {corpus for corpus, _ in begun} == set(config.corpora) else None


def _as_begun(config: TrainerConfig, card: Card) -> Card:
    """A run that goes on keeps its precision, whatever a processor measures today: its curve
    must not change.
    """
    before = read_manifest(Path(config.run))
    if (
        before
        and card.kind == "cpu"
        and any((Path(config.run) / "checkpoints").glob("checkpoint-*"))
    ):
        return replace(card, bf16=before["plan"]["dtype"] == "bf16")
    return card


def run(config: TrainerConfig, say: Say) -> int:
    """Train as `config` says. Returns the exit code: 0 when done, and when stopped in order by
    a signal.
    """
    folder = Path(config.run)
    first_process = Launch.here().first
    if not first_process:
        say = _silence
    with _held_by_the_first(folder, first_process), full_disk_told(folder):
        with ended_by_a_signal(NO_STEP):
            prepared = prepare(config)
            for line in prepared.lines():
                say(line)
            checkpoint = _where_to_go_on(prepared, folder, say)
        # All steps made: the Trainer, resumed, would make one more before it looks at its count.
        trained = checkpoint is not None and checkpoint.step >= prepared.plan.steps
        if trained and is_finished(config):
            say(f"{folder}: nothing is left to do; remove the folder to train again")
            return 0
        if not trained:
            with ended_by_a_signal(NO_STEP):
                model, prepared = _load_and_rehearse(prepared, say)
            trained = _train(prepared, model, checkpoint, say)
            leave()
            del model  # its memory is to be free for the merge
        return (
            finish(config, prepared.backend.name, prepared.tokenizer, say)
            if trained and first_process
            else 0
        )


def _train(prepared: Prepared, model: Any, checkpoint: Checkpoint | None, say: Say) -> bool:
    """The optimiser steps. False if a signal ended them early."""
    from trainer.loop.callback import StopAsked, Watch
    from trainer.loop.generation_eval import Prober, answer_limit
    from trainer.loop.step import MicroBatch, StepTrainer, training_arguments

    config, plan, selection = prepared.config, prepared.plan, prepared.selection
    limit = answer_limit(config.probe.max_new_tokens, selection.train, config.train.max_length)
    prober = Prober(
        selection.questions[: config.probe.problems], prepared.tokenizer, prepared.chat, limit
    )
    stop = StopAsked()
    watch = Watch(
        config, plan, prepared.card, selection.held_out, prober, prepared.backend.name, stop, say
    )
    set_environment(config)
    trainer = StepTrainer(
        examples=selection.train,
        order=prepared.order,
        micro=MicroBatch(
            plan.setting.rows,
            plan.setting.tokens,
            plan.setting.keep,
            plan.setting.apart,
            compiled=plan.compile,
        ),
        longest=max(map(len, selection.train)),
        autocast=plan.dtype == "bf16",
        state=watch.state,
        saved=watch.saved,
        say=say,
        model=model,
        args=training_arguments(config, prepared.rate.value, prepared.card.kind, plan.steps),
        processing_class=prepared.tokenizer,
        callbacks=[watch],
    )
    _only_our_lines(trainer)
    watch.trainer = trainer
    if checkpoint:
        watch.go_on_from(checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    if watch.stopped or stop.asked:  # after the last step as well: what follows it takes minutes
        say(
            f"stopped at step {trainer.state.global_step} and saved; the same command goes on from"
            " there"
        )
        return False
    return True


def _load_and_rehearse(prepared: Prepared, say: Say) -> tuple[Any, Prepared]:
    """The model on its device, and the plan as two real steps on the longest micro-batch left
    it.
    """
    import torch

    from trainer.planning.memory_check import rehearse

    plan = prepared.plan
    setup = Setup(plan.dtype, plan.setting.checkpointing, plan.compile, prepared.card.device)
    model = prepared.backend.load_model(prepared.config, setup)
    if not plan.setting.apart and sees_neighbours(
        model, torch.device(prepared.card.device), plan.dtype
    ):
        say(
            "layers of this model carry a state from one example into the next: one example a row,"
            " padded"
        )
        plan = replace(plan, setting=replace(plan.setting, apart=True))
    setting, line = rehearse(model, prepared.selection.train, plan, prepared.card, prepared.config)
    say(line)
    return model, replace(prepared, plan=replace(plan, setting=setting))


def _where_to_go_on(prepared: Prepared, folder: Path, say: Say) -> Checkpoint | None:
    """The newest whole checkpoint of this very run, or None for a new one, whose manifest is
    then written.
    """
    config, now = prepared.config, identity(prepared.config, prepared.chat, prepared.order_digest)
    whole, torn = whole_checkpoints(folder / "checkpoints")
    before = read_manifest(folder)
    if before and whole:
        changed = [key for key, value in now.items() if before["identity"].get(key) != value]
        if changed:
            raise InputError(
                f"{folder}: holds a run that differs in {', '.join(changed)}: give another `run`"
                " folder, or remove this one to begin again"
            )
    for line in torn:
        say(line)
    if prepared.launch.first:
        if not whole:
            for name in ("metrics.jsonl", "probe.jsonl"):
                (folder / name).unlink(missing_ok=True)
        write_atomically(folder / "config.json", config.model_dump_json(indent=1).encode())
        manifest = describe_run(
            config,
            prepared.selection,
            prepared.chat,
            prepared.card,
            prepared.plan,
            prepared.rate,
            prepared.backend.name,
            prepared.order_digest,
        )
        if (
            before and whole and whole[-1].step >= prepared.plan.steps
        ):  # what came of it is still there
            manifest |= {key: before[key] for key in OUTCOME if key in before}
        write_manifest(folder, manifest)
    if not whole:
        return None
    say(f"going on from step {whole[-1].step}")
    return whole[-1]


@contextmanager
def _held_by_the_first(folder: Path, first_process: bool) -> Iterator[None]:
    """Make the run's folder; the first of several processes holds it for all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"run = {str(folder)!r}: {error.strerror}: give a folder that can be made"
        ) from None
    except OSError as error:
        raise CannotWrite(
            f"{folder}: {error.strerror}: correct `run` or the folder's permissions"
        ) from None
    with FolderLock(folder, key="run") if first_process else nullcontext():
        yield


def _only_our_lines(trainer: Any) -> None:
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)


def _silence(_: str) -> None:
    return
