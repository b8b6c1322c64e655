"""After the last step: the best checkpoint's weights in place, merged with proof, a model card,
the report.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.errors import InputError, Stopped, ended_by_a_signal
from shared.rendering import ChatRenderer
from trainer.artifacts.checkpoints import Checkpoint, whole_checkpoints
from trainer.artifacts.manifest import read_manifest, write_manifest
from trainer.config import TrainerConfig
from trainer.planning.launch import alone

OUTCOME = ("result", "merge")  # the manifest's keys that this module and the merge add
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
MODEL_FILES = ("*.safetensors*", "*config.json")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class MergeKilled(Stopped):
    """A signal ended the merge's process: on a machine short of memory the system's SIGKILL."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(
            f"{folder}: the merge was ended by {signal.Signals(number).name} (is memory short?); the"
            " adapter is in place, the same command goes on from there"
        )


def finalize(config: TrainerConfig, tokenizer: Any, say: Callable[[str], None]) -> int:
    """Leave a run's folder complete. Returns the exit code: 1 where the merged model is not the
    trained one.
    """
    with ended_by_a_signal(
        f"{config.run}: trained, not yet merged and reported; the same command goes on from there"
    ):
        return _finalize(config, tokenizer, say)


def _finalize(config: TrainerConfig, tokenizer: Any, say: Callable[[str], None]) -> int:
    folder = Path(config.run)
    best = best_checkpoint(folder)
    (folder / "report.html").unlink(missing_ok=True)  # written last: `is_finished` looks for it
    weights = _place_weights(config, best, tokenizer)
    manifest = read_manifest(folder) or {}
    manifest["result"] = {
        "best_step": best.step,
        **best.state["best"],
        "tokens": best.state["tokens"],
    }
    write_manifest(folder, manifest)
    say(f"{weights}: weights of step {best.step}")
    exit_code = 0
    if config.method != "full" and config.train.merge:
        # A process of its own: Unsloth has changed the libraries in this one, and its memory is to
        # be free again.
        exit_code = _call([sys.executable, "-m", "trainer", "merge", str(folder), "--with-parent"])
        if exit_code < 0:
            raise MergeKilled(folder, -exit_code)
    from trainer.artifacts.model_card import write_card
    from trainer.artifacts.report import write_report

    write_card(folder)
    write_report(folder)
    say(f"{folder / 'report.html'}: curves, answers, data")
    return exit_code


def _place_weights(config: TrainerConfig, best: Checkpoint, tokenizer: Any) -> Path:
    """The best checkpoint's weights and the tokenizer in `adapter/`, or `merged/` of a full
    fine-tune; that folder.
    """
    run = Path(config.run)
    if config.method != "full":
        adapter = run / "adapter"
        copy_weights(best, adapter, ADAPTER_FILES)
        tokenizer.save_pretrained(adapter)
        return adapter
    from transformers import GenerationConfig

    from trainer.artifacts.merge import as_measured

    merged_folder = run / "merged"
    copy_weights(best, merged_folder, MODEL_FILES)
    chat = ChatRenderer.of(tokenizer, config.system)
    generation = as_measured(GenerationConfig.from_pretrained(merged_folder), tokenizer, chat)
    generation.save_pretrained(merged_folder)
    tokenizer.save_pretrained(merged_folder)
    return merged_folder


def _call(command: Sequence[str]) -> int:
    """Run a program to its end, or to ours: Ctrl-C is for this process, which ends the other
    one. Its stdin is never written to: it closes with this process (`end_with_parent`).
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the child keeps them blocked
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, env=alone(os.environ))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        return child.wait()
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def end_with_parent() -> None:
    """In the child: die as soon as the parent is gone. A killed run cannot end its merge, and the
    next run would have it write into the same folder.
    """

    def watch() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def is_finished(config: TrainerConfig) -> bool:
    """Whether `finalize` has left this run's folder complete, the proof of the merged model
    included.
    """
    folder = Path(config.run)
    manifest = read_manifest(folder) or {}
    has_proof = manifest.get("merge", {}).get("holds") is True
    needed = ["report.html"]
    if config.method == "full":
        needed.append("merged")
    else:
        needed.append("adapter")
        if config.train.merge:
            if not has_proof:
                return False
            needed.append("merged")
    return "result" in manifest and all((folder / name).exists() for name in needed)


def best_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint that the generation eval chose, else the last one. Errors: `InputError`
    where there is none.
    """
    whole, _ = whole_checkpoints(folder / "checkpoints")
    if not whole:
        raise InputError(f"{folder}: no whole checkpoint: train first")
    best_step = whole[-1].state["best"].get("step")
    return next((c for c in whole if c.step == best_step), whole[-1])


def copy_weights(checkpoint: Checkpoint, destination: Path, patterns: Sequence[str]) -> None:
    """Put the model's files of a checkpoint in place, whole or not at all."""
    fresh = destination.with_name(destination.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for pattern in patterns:
        for file in checkpoint.path.glob(pattern):
            shutil.copy2(file, fresh / file.name)
    shutil.rmtree(destination, ignore_errors=True)
    fresh.rename(destination)
