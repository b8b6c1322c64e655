"""One training run, from top to bottom: check, choose the data, plan, check the memory, train, keep
the best.

The same command on the same folder goes on where the last one stopped.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import CannotWrite, InputError, ended_by_a_signal
from shared.file_writing import write_atomically
from shared.folder_lock import FolderLock
from shared.inference.loading import load_tokenizer
from shared.rendering import ChatRenderer
from trainer.artifacts.checkpoints import Checkpoint, whole_checkpoints
from trainer.artifacts.finalize import OUTCOME, finalize, is_finished
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
    open_backend,
)
from trainer.layers.recurrent_state import carries_state, sees_neighbours
from trainer.loop.metrics_log import NAMES as METRICS_NAMES
from trainer.loop.trackers import check_trackers, set_environment
from trainer.planning.hardware import Card, find_card
from trainer.planning.launch import Launch, agree, check_launch, idle_cards, leave, take_card
from trainer.planning.learning_rate import LearningRate, choose_learning_rate
from trainer.planning.plan import Plan, Shape, context_length, few_steps, make_plan

if TYPE_CHECKING:  # they import the big libraries, in their order: see `prepare`
    from trainer.loop.callback import TrainingCallback
    from trainer.loop.generation_eval import Prober
    from trainer.loop.step import StepTrainer
    from trainer.loop.stop_signal import StopSignal

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
    data_order: list[int]
    card: Card
    plan: Plan
    rate: LearningRate
    launch: Launch

    @property
    def data_digest(self) -> str:
        """Names the data of every step: examples with their tokens, in order."""
        digest = hashlib.sha256()
        for example in self.selection.train:
            digest.update(example.id.encode() + example.ids.tobytes())
        digest.update(json.dumps(self.data_order).encode())
        return digest.hexdigest()[:16]

    def lines(self) -> list[str]:
        """What `plan` prints, and a run before it begins."""
        lines = [self._model_line(), *self.selection.lines()]
        inserted = self.chat.default_system if self.config.system is None else ""
        if inserted:
            lines.append(
                f"system text: the chat template inserts {inserted!r}; training and chat agree"
            )
        lines.append(f"learning rate: {self.rate.value:g} ({self.rate.source})")
        lines += self.plan.lines()
        if self.rate.warning:
            lines.append(f"warning: {self.rate.warning}")
        notes = (
            few_steps(self.config, self.plan.steps, len(self.selection.train)),
            idle_cards(self.launch),
        )
        return lines + [note for note in notes if note]

    def _model_line(self) -> str:
        cards = f"{self.launch.world} x " if self.launch.world > 1 else ""
        return (
            f"model: {self.config.model}, {self.shape.parameters / 1e6:,.0f} million parameters,"
            f" {self.config.method}, backend {self.backend.name} on {cards}{self.card.name}"
        )


def prepare(config: TrainerConfig, card: Card | None = None) -> Prepared:
    """Everything that can be refused is refused here, cheapest first. `card`: plan for this one
    instead of ours. Errors: `InputError`.
    """
    launch = check_launch(config.train.batch)
    check_corpora(config.corpora)
    check_model(config.model)
    check_trackers(config)
    take_card(launch)
    # The first import of the big libraries: Unsloth, where used, before all others.
    backend = open_backend(config)
    tokenizer = load_tokenizer(config.model)
    manifest = _manifest_to_go_on(config)
    today = template_date(manifest) if manifest else None
    chat = ChatRenderer.of(tokenizer, config.system, f"model {config.model}", today)
    model_config = load_config(config.model)
    _check_length(config, model_config)
    shards = _shards_of(config, manifest) if manifest else None
    selection = select(config, tokenizer, chat, shards)
    card = _with_precision_of_before(config, agree(card or find_card(), launch))
    data_order = _data_order(config, selection)
    shape = Shape.of(model_config)
    lengths = [len(selection.train[i]) for i in data_order]
    padded = carries_state(model_config)
    plan = make_plan(config, shape, lengths, card, launch.world, backend.name, padded)
    rate = choose_learning_rate(config.train.learning_rate, config.method, shape.parameters)
    return Prepared(
        config, backend, tokenizer, chat, shape, selection, data_order, card, plan, rate, launch
    )


def _check_length(config: TrainerConfig, model_config: Any) -> None:
    """Refuse rows longer than the model's positions or its attention window."""
    max_length = config.train.max_length
    positions = context_length(model_config)
    if positions and max_length > positions:
        raise InputError(
            f"train.max_length {max_length}: above the {positions:,} positions that"
            f" {config.model} knows (max_position_embeddings): set train.max_length = {positions},"
            " which leaves longer traces out, or extend the model with rope_scaling in its"
            " config.json"
        )
    window = getattr(model_config, "sliding_window", None)
    if not getattr(model_config, "use_sliding_window", True):
        window = None
    if window and max_length > window:
        raise InputError(
            f"train.max_length {max_length}: above the model's attention window of {window}"
        )


def _data_order(config: TrainerConfig, selection: Selection) -> list[int]:
    corpus_sizes = Counter(example.corpus for example in selection.train)
    sizes = [corpus_sizes[i] for i in range(len(config.corpora))]
    order = run_order(sizes, config.weights, config.train.epochs, config.train.seed)
    if not order:
        raise InputError(
            f"train.epochs {config.train.epochs:g}: not one of {sum(sizes):,} examples: give more"
        )
    return order


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
                model, prepared = _load_and_check_memory(prepared, say)
            trained = _train(prepared, model, checkpoint, say)
            leave()
            del model  # its memory is to be free for the merge
        if trained and first_process:
            return finalize(config, prepared.tokenizer, say)
        return 0


def _train(prepared: Prepared, model: Any, checkpoint: Checkpoint | None, say: Say) -> bool:
    """The optimiser steps. False if a signal ended them early."""
    from trainer.loop.callback import TrainingCallback
    from trainer.loop.stop_signal import StopSignal

    stop_signal = StopSignal()
    callback = TrainingCallback(
        prepared.config,
        prepared.plan,
        prepared.card,
        prepared.selection.held_out,
        _generation_eval(prepared),
        prepared.backend.name,
        stop_signal,
        say,
    )
    set_environment(prepared.config)
    trainer = _step_trainer(prepared, model, callback, stop_signal, say)
    callback.trainer = trainer
    if checkpoint:
        callback.go_on_from(checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    # After the last step as well: what follows it takes minutes.
    if callback.stopped or stop_signal.requested:
        say(
            f"stopped at step {trainer.state.global_step} and saved; the same command goes on from"
            " there"
        )
        return False
    return True


def _generation_eval(prepared: Prepared) -> "Prober":
    from trainer.loop.generation_eval import Prober, answer_limit

    config = prepared.config
    selection = prepared.selection
    limit = answer_limit(config.probe.max_new_tokens, selection.train, config.train.max_length)
    questions = selection.questions[: config.probe.problems]
    backend = prepared.backend.name
    return Prober(questions, prepared.tokenizer, prepared.chat, limit, backend)


def _step_trainer(
    prepared: Prepared,
    model: Any,
    callback: "TrainingCallback",
    stop_signal: "StopSignal",
    say: Say,
) -> "StepTrainer":
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from trainer.loop.step import MicroBatch, StepTrainer, training_arguments

    plan = prepared.plan
    setting = plan.setting
    arguments = training_arguments(
        prepared.config, prepared.rate.value, prepared.card.kind, plan.steps
    )
    trainer = StepTrainer(
        examples=prepared.selection.train,
        data_order=prepared.data_order,
        micro=MicroBatch(
            setting.rows, setting.tokens, padded=setting.padded, compiled=plan.compile
        ),
        longest=max(map(len, prepared.selection.train)),
        autocast=plan.dtype == "bf16",
        state=callback.state,
        saved=callback.saved,
        say=say,
        stop_requested=lambda: stop_signal.requested,
        model=model,
        args=arguments,
        processing_class=prepared.tokenizer,
        callbacks=[callback],
    )
    # Progress is told in our own lines.
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def _load_and_check_memory(prepared: Prepared, say: Say) -> tuple[Any, Prepared]:
    """The model on its device, and the plan as two real steps on the longest micro-batch left
    it.
    """
    import torch

    from trainer.planning.memory_check import check_memory

    plan = prepared.plan
    card = prepared.card
    setup = Setup(plan.dtype, plan.setting.checkpointing, plan.compile, card.device)
    model = prepared.backend.load_model(prepared.config, setup)
    if not plan.setting.padded and sees_neighbours(model, torch.device(card.device), plan.dtype):
        say(
            "layers of this model carry a state from one example into the next: one example a row,"
            " padded"
        )
        plan = replace(plan, setting=replace(plan.setting, padded=True))
    setting, line = check_memory(model, prepared.selection.train, plan, card, prepared.config)
    say(line)
    return model, replace(prepared, plan=replace(plan, setting=setting))


def _where_to_go_on(prepared: Prepared, folder: Path, say: Say) -> Checkpoint | None:
    """The newest whole checkpoint of this very run, or None for a new one, whose manifest is
    then written.
    """
    config = prepared.config
    whole, torn = whole_checkpoints(folder / "checkpoints")
    manifest = read_manifest(folder)
    if manifest and whole:
        current = identity(config, prepared.chat, prepared.data_digest)
        before = manifest["identity"]
        changed_keys = [key for key, value in current.items() if before.get(key) != value]
        if changed_keys:
            raise InputError(
                f"{folder}: holds a run that differs in {', '.join(changed_keys)}: give another"
                " `run` folder, or remove this one to begin again"
            )
    for line in torn:
        say(line)
    newest = whole[-1] if whole else None
    if prepared.launch.first:
        if newest is None:
            for name in METRICS_NAMES:
                (folder / name).unlink(missing_ok=True)
        write_atomically(folder / "config.json", config.model_dump_json(indent=1).encode())
        _write_manifest(prepared, folder, manifest, newest)
    if newest:
        say(f"going on from step {newest.step}")
    return newest


def _write_manifest(
    prepared: Prepared, folder: Path, before: dict[str, Any] | None, newest: Checkpoint | None
) -> None:
    """The manifest of this call; of a run whose steps are all made, with what came of it, which is
    still there.
    """
    manifest = describe_run(
        prepared.config,
        prepared.selection,
        prepared.chat,
        prepared.card,
        prepared.plan,
        prepared.rate,
        prepared.backend.name,
        prepared.data_digest,
    )
    if before and newest and newest.step >= prepared.plan.steps:
        manifest |= {key: before[key] for key in OUTCOME if key in before}
    write_manifest(folder, manifest)


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


def _silence(_: str) -> None:
    return
