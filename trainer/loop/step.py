"""TRL's SFTTrainer with one thing made ours: what happens inside an optimiser step.

The dataloader hands over whole optimiser steps (`batch` examples each), never micro-batches.
`training_step` cuts them, so an old micro-batch cannot come back with a checkpoint, running out of
memory costs one retry of the same step, and the loss of a step does not depend on how it was cut:
sums divided by the step's tokens, over all processes.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from trainer.artifacts.checkpoints import Checkpoint, mark_whole
from trainer.config import TrainerConfig
from trainer.data.data_order import micro_batches, shares
from trainer.data.examples import Example
from trainer.layers.packing import lay_apart, lay_flat, loss_sum, recompute


class Step(list[Example]):
    """The examples of one optimiser step."""


@dataclass(slots=True)
class MicroBatch:
    """How much of a step goes through the model at once."""

    rows: int
    tokens: int
    keep: int = (
        0  # up to so many tokens activations are kept; a larger micro-batch computes them again
    )
    apart: bool = False  # one example a row
    compiled: bool = False  # then shapes are rounded, so that few of them are met

    def halve(self, longest: int) -> bool:
        """Ask for half; False where one example at a time is already all there is."""
        if self.rows == 1 or self.tokens <= longest:
            return False
        self.rows = max(1, self.rows // 2) if self.rows < 1 << 20 else self.rows
        self.tokens = max(longest, self.tokens // 2)
        return True


@dataclass(slots=True)
class Work:
    """What the last step did, for progress and metrics."""

    loss: float = 0.0
    tokens: int = 0
    learnt: int = 0
    seconds: float = 0.0


class StepTrainer(SFTTrainer):  # type: ignore[misc]
    """Optimiser, schedule, checkpoints and trackers are TRL's; the step is ours."""

    model: Any
    args: Any

    def __init__(
        self,
        *,
        examples: Sequence[Example],
        order: Sequence[int],
        micro: MicroBatch,
        longest: int,
        autocast: bool,
        state: Callable[[], dict[str, Any]],
        saved: Callable[[Checkpoint], None],
        say: Callable[[str], None],
        **given: Any,
    ) -> None:
        from datasets import Dataset

        self.micro, self._longest, self._autocast = micro, longest, autocast
        self._state, self._saved, self._say = state, saved, say
        self.work = Work()
        super().__init__(
            train_dataset=Dataset.from_dict({"index": list(order)}),
            data_collator=lambda rows: {"step": Step(examples[row["index"]] for row in rows)},
            **given,
        )

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """One whole optimiser step: every micro-batch forward and backward. Returns the step's
        mean loss a token.
        """
        model.train()
        step: Step = inputs["step"]
        learnt = _learnt(step)
        mine = Step(
            step[i]
            for i in shares([len(e) for e in step], self.args.world_size)[self.args.process_index]
        )
        while True:
            began = time.perf_counter()
            try:
                loss = self._forward_backward(mine, learnt)
                break
            except torch.OutOfMemoryError:
                longest = max(map(len, mine))
                if not self.micro.halve(longest):
                    raise
            # Outside the except block: its traceback holds the tensors that did not fit.
            self.model.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            self._say(
                f"out of memory: micro-batch now {self.micro.tokens:,} tokens; the step is done"
                " again"
            )
        loss = self._sum_over_processes(loss)
        self._finish_gradients()
        self.work = Work(float(loss), sum(map(len, step)), learnt, time.perf_counter() - began)
        return loss

    def _forward_backward(self, step: Step, learnt: int) -> Tensor:
        """This process's share of the step's mean loss over `learnt` tokens; gradients are left
        in the parameters.
        """
        total = torch.zeros((), device=self.args.device)
        micro = self.micro
        for indices in micro_batches([len(e) for e in step], micro.rows, micro.tokens, micro.apart):
            rows = [step[i] for i in indices]
            multiple = 128 if micro.compiled else 1
            if micro.apart:
                batch = lay_apart(rows, multiple)
            else:
                batch = lay_flat(
                    rows, self._longest, multiple, segments=len(step) + 1 if micro.compiled else 0
                )
            batch = batch.to(self.args.device)
            if micro.keep:
                recompute(self.model, batch.ids.numel() > micro.keep)
            with self.precision():
                loss = loss_sum(self.model, batch) / learnt
            loss.backward()
            total += loss.detach()
        return total

    def precision(self) -> AbstractContextManager[Any]:
        return (
            torch.autocast(self.args.device.type, torch.bfloat16)
            if self._autocast
            else nullcontext()
        )

    def _finish_gradients(self) -> None:
        # The model's own forward is never called, so DistributedDataParallel stays idle; summing
        # once a step is all that several processes need, since each loss was already divided by the
        # tokens of all of them.
        if self.args.world_size > 1:
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)
                    torch.distributed.all_reduce(parameter.grad)

    def _sum_over_processes(self, value: Tensor) -> Tensor:
        if self.args.world_size > 1:
            torch.distributed.all_reduce(value)
        return value

    def get_train_dataloader(self) -> Any:
        """Whole steps in order, the same ones in every process: each takes its share of each
        (`order.shares`).

        Dealt by the libraries instead, the last step of a run would be filled up with examples from
        its beginning.
        """
        steps: Any = self.train_dataset
        return torch.utils.data.DataLoader(
            steps, batch_size=self.args.per_device_train_batch_size, collate_fn=self.data_collator
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.world_size > 1:  # each process writes its random state there
            torch.distributed.barrier()
        if self.args.should_save:
            path = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            self._saved(mark_whole(path, self._state()))

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted here: `plan` knows the model's shape, and the metrics say what share of
        the peak was reached.
        """
        return 0


def training_arguments(
    config: TrainerConfig, rate: float, device: str, steps: int = 0
) -> SFTConfig:
    """TRL's arguments. What it would do to the data is switched off: examples are made, checked and
    cut by us.

    `steps`: as planned, never more than the data has, which the Trainer would begin again; 0: as
    configured.
    """
    train = config.train
    arguments = SFTConfig(
        output_dir=str(Path(config.run) / "checkpoints"),
        # of all processes together (`get_train_dataloader`)
        per_device_train_batch_size=train.batch,
        gradient_accumulation_steps=1,
        num_train_epochs=1,  # the order of the data spans all epochs
        max_steps=steps or train.max_steps or -1,
        learning_rate=rate,
        lr_scheduler_type=(
            "constant_with_warmup" if train.schedule == "constant" else train.schedule
        ),
        warmup_steps=train.warmup,  # below 1: a share of the steps
        weight_decay=train.weight_decay,
        adam_beta2=train.adam_beta2,
        max_grad_norm=train.max_grad_norm,
        optim="adamw_torch_fused" if device != "mps" else "adamw_torch",
        bf16=False,  # precision is set around the loss alone (`StepTrainer.precision`)
        fp16=False,
        gradient_checkpointing=False,  # the backend has set it on the model
        max_length=None,
        packing=False,
        padding_free=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        logging_strategy="no",  # `watch` logs, so that a resumed run logs the same lines
        save_strategy="steps",
        save_steps=train.save_steps,
        save_total_limit=None,  # `checkpoints.drop_old` knows which are whole
        eval_strategy="no",
        report_to=list(config.track.to),
        run_name=Path(config.run).name,
        project=config.track.project,  # trackio's
        seed=train.seed,
        use_cpu=device == "cpu",
        log_level_replica="error",
        disable_tqdm=True,
        loss_type="nll",
        average_tokens_across_devices=False,
    )
    arguments._n_gpu = min(
        arguments.n_gpu, 1
    )  # one process a GPU (accelerate launch); never DataParallel by stealth
    return arguments


def _learnt(step: Sequence[Example]) -> int:
    return sum(len(example) - example.prompt_length for example in step)
