"""What happens between steps: metrics, progress, held-out loss, probe, best checkpoint, a stop
that was asked for.
"""

import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shared.errors import die_of_a_second
from shared.shards import write_atomically
from trainer.artifacts.checkpoints import Checkpoint, drop_old
from trainer.artifacts.metrics import read_lines
from trainer.config import TrainerConfig
from trainer.data.data_order import micro_batches
from trainer.data.examples import Example
from trainer.layers.packing import lay_apart, lay_flat, loss_sum
from trainer.loop.generation_eval import Prober, ready_to_generate
from trainer.planning.hardware import GIB, Card
from trainer.planning.launch import Launch
from trainer.planning.plan import Plan


@dataclass(slots=True)
class Memory:
    """The part of a run's state that is ours and goes into every checkpoint."""

    losses: list[float] = field(default_factory=list)  # of the steps since the last line of metrics
    tokens: int = 0  # trained on in all
    best: dict[str, float] = field(default_factory=dict)  # step, right, held_out_loss


class StopAsked:
    """One SIGTERM or SIGINT asks for a stop after the running step; a second one kills as usual."""

    def __init__(self) -> None:
        self.asked = ""
        self._first_at = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: Any) -> None:
        if self.asked:
            die_of_a_second(number, self._first_at)
            return
        self.asked, self._first_at = signal.Signals(number).name, time.monotonic()
        if Launch.here().first:  # told at once: a probe and a step may take a minute
            os.write(
                2,
                f"{self.asked}: the run stops after this step and is saved; once more ends it now\n".encode(),
            )


class Watch(TrainerCallback):  # type: ignore[misc]
    """Called after each optimiser step. Owns metrics.jsonl and the choice of the best
    checkpoint.
    """

    def __init__(
        self,
        config: TrainerConfig,
        plan: Plan,
        card: Card,
        held_out: Sequence[Example],
        prober: Prober,
        backend: str,
        stop: StopAsked,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._plan, self._card, self._backend = config, plan, card, backend
        self._held_out, self._prober, self._stop, self._say = list(held_out), prober, stop, say
        self._folder = Path(config.run)
        self.memory = Memory()
        self.stopped = False
        self.trainer: Any = None  # set once it exists: it is built with this callback
        self._recent: deque[tuple[int, float]] = deque(maxlen=50)  # (tokens, seconds) of steps
        self._held_out_loss = float("nan")

    def state(self) -> dict[str, Any]:
        return {
            "losses": self.memory.losses,
            "tokens": self.memory.tokens,
            "best": self.memory.best,
        }

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Take up the state of a checkpoint; lines of metrics after it are dropped, for they
        will be written again.
        """
        self.memory = Memory(**checkpoint.state)
        for name in ("metrics.jsonl", "probe.jsonl"):
            path = self._folder / name
            if path.exists():
                kept = [line for line in read_lines(path) if line["step"] <= checkpoint.step]
                write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def saved(self, checkpoint: Checkpoint) -> None:
        best = self.memory.best.get("step")
        drop_old(
            checkpoint.path.parent,
            self._config.train.save_total_limit,
            None if best is None else int(best),
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step == 0:
            self._look(state, first=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        work, step, last = (
            self.trainer.work,
            state.global_step,
            state.global_step >= state.max_steps,
        )
        self.memory.losses.append(work.loss)
        self.memory.tokens += work.tokens
        self._recent.append((work.tokens, work.seconds))
        if step % self._config.train.logging_steps == 0 or last:
            self._log_training(state)
        save, stop = self._agreed(self._look(state, last=last), bool(self._stop.asked))
        if save:
            control.should_save = True
        if stop:
            control.should_save = control.should_training_stop = self.stopped = True
        if last:
            control.should_save = True
        return control

    def _look(self, state: TrainerState, first: bool = False, last: bool = False) -> bool:
        """Held-out loss and probe where they are due. True if this step is the best so far."""
        step = state.global_step
        if first or last or step % self._config.train.save_steps == 0:
            self._measure_held_out(step)
        due = first or last or step % self._config.probe.every_steps == 0
        if not due or not len(self._prober):
            return False
        with ready_to_generate(self.trainer.model, self._backend), self.trainer.precision():
            result = self._prober.ask(self.trainer.model, step)
        self._say(result.line())
        self._append("probe.jsonl", result.record())
        self._note(
            {"step": step, **{f"probe_{name}": value for name, value in result.summary.items()}}
        )
        return not first and self._is_best(step, result.share("right"))

    def _is_best(self, step: int, right: float) -> bool:
        """More right answers, or as many at a later step: among few problems a tie is no reason
        to go back.
        """
        if right < self.memory.best.get("right", -1.0):
            return False
        self.memory.best = {"step": step, "right": right, "held_out_loss": self._held_out_loss}
        return True

    def _measure_held_out(self, step: int) -> None:
        if not self._held_out:
            return
        self._held_out_loss = held_out_loss(self.trainer, self._held_out)
        self._note({"step": step, "held_out_loss": self._held_out_loss})
        self._say(f"held-out loss at step {step}: {self._held_out_loss:.4f}")

    def _log_training(self, state: TrainerState) -> None:
        losses, step = self.memory.losses, state.global_step
        tokens, seconds = (sum(column) for column in zip(*self._recent, strict=True))
        speed = tokens / seconds
        share = min(
            1.0, step * self._config.train.batch / len(self.trainer.train_dataset)
        )  # of all epochs
        record = {
            "step": step,
            "epoch": round(share * self._config.train.epochs, 4),
            "loss": sum(losses) / len(losses),
            "learning_rate": self.trainer.lr_scheduler.get_last_lr()[0],
            "tokens": self.memory.tokens,
            "tokens_per_second": round(speed, 1),
            "memory_gib": round(memory_gib(self._card), 3),
        }
        if self._card.peak_tflops:
            reached = self._plan.flops_per_token * speed / 1e12 / self._plan.cards
            record["share_of_matrix_peak"] = round(reached / self._card.peak_tflops, 4)
        self._note(record | {"time": round(time.time(), 1)}, show=record)
        self.memory.losses = []
        left = (state.max_steps - step) * seconds / len(self._recent)
        minutes, seconds_left = divmod(round(left), 60)
        self._say(
            f"step {step}/{state.max_steps}  loss {record['loss']:.4f}  {speed:,.0f} tokens/s  "
            f"{record['memory_gib']:.1f} GiB"
            + (
                f"  {record['share_of_matrix_peak']:.0%} of peak"
                if "share_of_matrix_peak" in record
                else ""
            )
            + f"  left {minutes}:{seconds_left:02d}"
        )

    def _note(self, record: dict[str, Any], show: dict[str, Any] | None = None) -> None:
        self._append("metrics.jsonl", record)
        shown = {
            name: value for name, value in (show or record).items() if name not in ("step", "epoch")
        }
        self.trainer.log(shown)  # to the trackers

    def _append(self, name: str, record: dict[str, Any]) -> None:
        if self.trainer.args.process_index == 0:
            with (self._folder / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def _agreed(self, best: bool, asked: bool) -> tuple[bool, bool]:
        """Whether all processes save this step, and stop after it: as the first finds, and if any
        was asked to.

        Each of them answers the probe, and cards may differ in a last digit; a checkpoint is made
        by all or none.
        """
        args = self.trainer.args
        if args.world_size == 1:
            return best, asked
        flags = torch.tensor(
            [float(best and args.process_index == 0), float(asked)], device=args.device
        )
        torch.distributed.all_reduce(flags)
        return bool(flags[0] > 0), bool(flags[1] > 0)


def held_out_loss(trainer: Any, examples: Sequence[Example]) -> float:
    """Mean loss a token over the held-out examples, computed as training's is."""
    total, tokens = 0.0, 0
    model, micro = trainer.model, trainer.micro
    training = model.training
    model.eval()
    with torch.no_grad(), trainer.precision():
        lay = lay_apart if micro.apart else lay_flat
        for indices in micro_batches(
            [len(e) for e in examples], micro.rows, micro.tokens, micro.apart
        ):
            batch = lay([examples[i] for i in indices]).to(trainer.args.device)
            total += float(loss_sum(model, batch))
            tokens += len(batch.targets)
    model.train(training)
    return total / tokens


def memory_gib(card: Card) -> float:
    """The most that was allocated on the GPU, or this process's memory now."""
    if card.kind == "cuda":
        return float(torch.cuda.max_memory_allocated()) / GIB
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / GIB
