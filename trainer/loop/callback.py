"""What happens between steps: metrics, progress, held-out loss, generation eval, best checkpoint, a
requested stop.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.artifacts.checkpoints import Checkpoint, drop_old
from trainer.config import TrainerConfig
from trainer.data.examples import Example
from trainer.loop.generation_eval import GenerationEval, ready_to_generate
from trainer.loop.held_out_loss import held_out_loss
from trainer.loop.metrics_log import GENERATION_EVALS, METRICS, MetricsLog, Throughput
from trainer.loop.stop_signal import StopSignal
from trainer.planning.hardware import Card, used_gib
from trainer.planning.launch import Launch
from trainer.planning.plan import Plan


@dataclass(slots=True)
class RunState:
    """The part of a run's state that is ours and goes into every checkpoint."""

    losses: list[float] = field(default_factory=list)  # of the steps since the last line of metrics
    tokens: int = 0  # trained on in all
    best: dict[str, float] = field(default_factory=dict)  # step, right, held_out_loss


class TrainingCallback(TrainerCallback):  # type: ignore[misc]
    """Called around each optimiser step. Owns the metrics' files and the choice of the best
    checkpoint.
    """

    def __init__(
        self,
        config: TrainerConfig,
        plan: Plan,
        card: Card,
        held_out: Sequence[Example],
        generation_eval: GenerationEval,
        backend: str,
        stop_signal: StopSignal,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._plan = plan
        self._card = card
        self._held_out = held_out
        self._generation_eval = generation_eval
        self._backend = backend
        self._stop_signal = stop_signal
        self._say = say
        self._log = MetricsLog(Path(config.run), writes=Launch.here().first)
        self._state = RunState()
        self._throughput = Throughput()
        self._pending_losses: list[Tensor] = []  # [] each, on the device, not waited for yet
        self._step_start = 0.0  # seconds
        self._held_out_loss = float("nan")
        self.stopped = False
        self.trainer: Any = None  # set once it exists: it is built with this callback

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this run."""
        self._read_losses()
        return asdict(self._state)

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Take up the state of a checkpoint."""
        self._state = RunState(**checkpoint.state)
        self._log.drop_after(checkpoint.step)

    def saved(self, checkpoint: Checkpoint) -> None:
        """A checkpoint is whole: older ones beyond the limit go."""
        limit = self._config.train.save_total_limit
        drop_old(checkpoint.path.parent, limit, checkpoint.best_step)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Measure the student before its first step."""
        if state.global_step == 0:
            self._measure_held_out(step=0)
            self._evaluate_generation(step=0)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock of a step."""
        self._step_start = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Count the step, do what is due after it, say what the Trainer is to do."""
        self._count_step()
        step = state.global_step
        final = step >= state.max_steps
        if final or step % self._config.train.logging_steps == 0:
            self._log_training(state)
        if final or step % self._config.train.save_steps == 0:
            self._measure_held_out(step)
        if final or step % self._config.probe.every_steps == 0:
            right = self._evaluate_generation(step)
            if right is not None and self._is_best(step, right):
                control.should_save = True
        if final:
            control.should_save = True
        if self._stop_agreed():
            self.stopped = True
            control.should_save = True
            control.should_training_stop = True
        return control

    def _count_step(self) -> None:
        result = self.trainer.result
        self._pending_losses.append(result.loss)
        self._state.tokens += result.tokens
        self._throughput.add_step(result.tokens, time.perf_counter() - self._step_start)

    def _read_losses(self) -> None:
        """Wait for the GPU and take the losses of the steps since the last time."""
        if not self._pending_losses:
            return
        start = time.perf_counter()
        self._state.losses += torch.stack(self._pending_losses).tolist()
        self._pending_losses = []
        self._throughput.add_wait(time.perf_counter() - start)

    def _stop_agreed(self) -> bool:
        """Whether the run is to end after this step, in all processes or none."""
        stop_count = self.trainer.result.stop_count
        if stop_count is None:
            return self._stop_signal.requested
        # The one time in a step that several processes wait for their GPUs; the optimiser's
        # kernels are under way by now.
        start = time.perf_counter()
        is_agreed = bool(stop_count.item() > 0)
        self._throughput.add_wait(time.perf_counter() - start)
        return is_agreed

    def _evaluate_generation(self, step: int) -> float | None:
        """The share of the fixed problems answered right, as the first process found it: cards may
        differ in a last digit, and a checkpoint is made by all or none. None without problems.
        """
        if not len(self._generation_eval):
            return None
        self._read_losses()
        with ready_to_generate(self.trainer.model, self._backend), self.trainer.precision():
            result = self._generation_eval.ask(self.trainer.model, step)
        self._say(result.line())
        self._log.append(GENERATION_EVALS, result.record())
        summary = {f"probe_{name}": value for name, value in result.summary.items()}
        self._log_metrics({"step": step, **summary})
        return self._of_first_process(result.share("right"))

    def _of_first_process(self, value: float) -> float:
        args = self.trainer.args
        if args.world_size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=args.device)
        torch.distributed.broadcast(tensor, src=0)
        return float(tensor)

    def _is_best(self, step: int, right: float) -> bool:
        """More right answers, or as many at a later step: among few problems a tie is no reason
        to go back.
        """
        if right < self._state.best.get("right", -1.0):
            return False
        self._state.best = {"step": step, "right": right, "held_out_loss": self._held_out_loss}
        return True

    def _measure_held_out(self, step: int) -> None:
        if not self._held_out:
            return
        self._read_losses()
        self._held_out_loss = held_out_loss(self.trainer, self._held_out)
        self._log_metrics({"step": step, "held_out_loss": self._held_out_loss})
        self._say(f"held-out loss at step {step}: {self._held_out_loss:.4f}")

    def _log_training(self, state: TrainerState) -> None:
        self._read_losses()
        record = self._training_record(state.global_step)
        self._log.append(METRICS, record | {"time": round(time.time(), 1)})
        self._track(record)
        self._state.losses = []
        self._say(self._progress_line(record, state.max_steps))

    def _training_record(self, step: int) -> dict[str, Any]:
        train = self._config.train
        losses = self._state.losses
        speed = self._throughput.tokens_per_second
        epochs_share = min(1.0, step * train.batch / len(self.trainer.train_dataset))
        record = {
            "step": step,
            "epoch": round(epochs_share * train.epochs, 4),
            "loss": sum(losses) / len(losses),
            "learning_rate": self.trainer.lr_scheduler.get_last_lr()[0],
            "tokens": self._state.tokens,
            "tokens_per_second": round(speed, 1),
            "memory_gib": round(used_gib(self._card), 3),
        }
        if self._card.peak_tflops:
            tflops = self._plan.flops_per_token * speed / 1e12 / self._plan.cards
            record["share_of_matrix_peak"] = round(tflops / self._card.peak_tflops, 4)
        return record

    def _progress_line(self, record: dict[str, Any], max_steps: int) -> str:
        step = record["step"]
        remaining = round((max_steps - step) * self._throughput.seconds_per_step)
        minutes, seconds = divmod(remaining, 60)
        line = (
            f"step {step}/{max_steps}  loss {record['loss']:.4f}"
            f"  {record['tokens_per_second']:,.0f} tokens/s  {record['memory_gib']:.1f} GiB"
        )
        if "share_of_matrix_peak" in record:
            line += f"  {record['share_of_matrix_peak']:.0%} of peak"
        return f"{line}  left {minutes}:{seconds:02d}"

    def _log_metrics(self, record: dict[str, Any]) -> None:
        self._log.append(METRICS, record)
        self._track(record)

    def _track(self, record: dict[str, Any]) -> None:
        """Hand a record to the trackers."""
        values = {name: value for name, value in record.items() if name not in ("step", "epoch")}
        self.trainer.log(values)
