"""One training run, from top to bottom: prepare, check the memory, train, keep the best.

The same command on the same folder goes on where the last one stopped.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import CannotWrite, InputError, ended_by_a_signal
from shared.file_writing import write_atomically
from shared.folder_lock import FolderLock
from trainer.artifacts.checkpoints import Checkpoint, drop_old, whole_checkpoints
from trainer.artifacts.finalize import OUTCOME, finalize, is_finished
from trainer.artifacts.manifest import describe_run, identity, read_manifest, write_manifest
from trainer.config import TrainerConfig
from trainer.data.tokenizing import silence
from trainer.disk_errors import full_disk_in_one_line
from trainer.layers.backends import Setup
from trainer.layers.recurrent_state import sees_neighbours
from trainer.loop.metrics_log import NAMES as METRICS_NAMES
from trainer.loop.prepare import Prepared, prepare
from trainer.loop.trackers import set_environment
from trainer.planning.hardware import limit_memory
from trainer.planning.launch import Launch, leave

if TYPE_CHECKING:  # they import the big libraries, in their order: see `prepare`
    from trainer.loop.callback import TrainingCallback
    from trainer.loop.generation_eval import GenerationEval
    from trainer.loop.step import StepTrainer
    from trainer.loop.stop_signal import StopSignal

Say = Callable[[str], None]

NO_STEP = "no step was made by this call; the same command goes on where the run stands"


def run(config: TrainerConfig, say: Say) -> int:
    """Train as `config` says. Returns the exit code: 0 when done, and when stopped in order by
    a signal.
    """
    folder = Path(config.run)
    first_process = Launch.here().first
    say_progress = say  # of what one process does for all, whichever it is
    if not first_process:
        say = silence
    with _held_by_the_first(folder, first_process), full_disk_in_one_line(folder):
        with ended_by_a_signal(NO_STEP):
            prepared = prepare(config, say=say_progress)
            for line in prepared.lines():
                say(line)
            checkpoint = _where_to_go_on(prepared, folder, say)
        # All steps made: the Trainer, resumed, would make one more before it looks at its count.
        all_steps_made = checkpoint is not None and checkpoint.step >= prepared.plan.steps
        if all_steps_made and is_finished(config):
            say(f"{folder}: nothing is left to do; remove the folder to train again")
            return 0
        if not all_steps_made:
            with ended_by_a_signal(NO_STEP):
                model, prepared = _load_and_check_memory(prepared, checkpoint, say)
            all_steps_made = _train(prepared, model, checkpoint, say)
            leave()
            del model  # its memory is to be free for the merge
        if all_steps_made and first_process:
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
    with _hostile_pickles_refused(folder=checkpoint.path if checkpoint else None):
        trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    # After the last step as well: what follows it takes minutes.
    if callback.stopped or stop_signal.requested:
        say(
            f"stopped at step {trainer.state.global_step} and saved; the same command goes on from"
            " there"
        )
        return False
    return True


@contextmanager
def _hostile_pickles_refused(folder: Path | None) -> Iterator[None]:
    """The state of an optimiser is a pickle. transformers reads it with `weights_only`, which
    raises at whatever is more than numbers: a checkpoint that somebody else made, or made over.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        if folder is None:
            raise
        cause = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder}: its state is no plain numbers and is not read ({cause}): a checkpoint of"
            " somebody else's? Remove it, and the run goes on from the one before"
        ) from None


def _generation_eval(prepared: Prepared) -> "GenerationEval":
    from trainer.loop.generation_eval import GenerationEval, answer_limit

    config = prepared.config
    selection = prepared.selection
    train = selection.train
    answer_lengths = (train.lengths - train.prompt_lengths).tolist()
    limit = answer_limit(config.probe.max_new_tokens, answer_lengths, config.train.max_length)
    questions = selection.questions[: config.probe.problems]
    if prepared.plan.setting.sharded:
        # Each token would gather every layer, and cards that differ in one answer's length would
        # wait for one another for ever. `Prepared.lines` says so.
        questions = []
    backend = prepared.backend.name
    return GenerationEval(questions, prepared.tokenizer, prepared.chat, limit, backend)


def _step_trainer(
    prepared: Prepared,
    model: Any,
    callback: "TrainingCallback",
    stop_signal: "StopSignal",
    say: Say,
) -> "StepTrainer":
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from trainer.loop.step import MicroBatch, StepTrainer
    from trainer.loop.training_arguments import training_arguments

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
        longest=int(prepared.selection.train.lengths.max()),
        autocast=plan.dtype == "bf16",
        full=prepared.config.method == "full",
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


def _load_and_check_memory(
    prepared: Prepared, checkpoint: Checkpoint | None, say: Say
) -> tuple[Any, Prepared]:
    """The model on its device, and the plan as two real steps on the longest micro-batch left
    it.
    """
    import torch

    from trainer.planning.memory_check import check_memory

    plan = prepared.plan
    card = prepared.card
    setting = plan.setting
    full = prepared.config.method == "full"
    setup = Setup(
        plan.dtype,
        setting.checkpointing,
        plan.compile and not setting.sharded,
        card.device,
        setting.sharded,
        checkpoint.path if checkpoint and setting.sharded and full else None,
    )
    limit_memory(prepared.config.train.memory_gib, card)
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
            # Those that a kill, between a checkpoint and this very call, left beyond the limit.
            drop_old(newest.path.parent, config.train.save_total_limit, newest.best_step)
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
