"""TRL's SFTTrainer with one thing made ours: what happens inside an optimiser step.

The dataloader hands over whole optimiser steps (`batch` examples each), never micro-batches.
`training_step` cuts them, so an old micro-batch cannot come back with a checkpoint, running out of
memory costs one retry of the same step, and the loss of a step does not depend on how it was cut:
sums divided by the step's loss tokens, over all processes.

The host never waits for the GPU here: losses stay tensors until someone writes them down, so that
the kernels of the next step are started while this one runs.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shared.errors import InputError
from trainer.artifacts.checkpoints import Checkpoint, mark_whole
from trainer.data.data_order import micro_batches, shares
from trainer.data.examples import Example
from trainer.layers.loss import loss_sum, set_checkpointing
from trainer.layers.packing import PackedBatch, pack_examples, pad_examples
from trainer.layers.sharding import is_sharded
from trainer.loop.gradient_sum import GradientSum
from trainer.loop.listed_parameters import ListedParameters
from trainer.planning.estimates import ANY

OUT_OF_MEMORY_IN_SHARDS = (
    "out of memory: weights are sharded, so no process can make its micro-batch smaller alone: set"
    " train.micro_batch = 1 or a lower train.memory_gib; the same command goes on from the last"
    " whole checkpoint"
)
COMPILED_MULTIPLE = 128  # tokens of a compiled micro-batch are rounded up to it


class Step(list[Example]):
    """The examples of one optimiser step."""


@dataclass(slots=True)
class MicroBatch:
    """How much of a step goes through the model at once."""

    rows: int
    tokens: int
    # activations of more tokens than this are computed again, of fewer kept; 0: as the model is
    recompute_above: int = 0
    padded: bool = False  # one example a row
    compiled: bool = False  # then shapes are rounded, so that few of them are met

    def halve(self, longest: int) -> bool:
        """Ask for half; False where one example at a time is already all there is.

        `longest`: tokens of the longest example of the step that did not fit.
        """
        if self.rows == 1 or self.tokens <= longest:
            return False
        if self.rows < ANY:
            self.rows = max(1, self.rows // 2)
        self.tokens = max(longest, self.tokens // 2)
        return True


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the last step did. Its tensors are on the training device, perhaps not computed yet."""

    loss: Tensor  # [] the step's mean a loss token, over all processes
    tokens: int  # of all processes
    # [] how many processes were asked to stop; None: this one is alone
    stop_count: Tensor | None = None


class StepTrainer(ListedParameters):  # type: ignore[misc]
    """Optimiser, schedule, checkpoints and trackers are TRL's; the step is ours."""

    result: StepResult

    def __init__(
        self,
        *,
        examples: Sequence[Example],
        data_order: Any,  # [n] int64: indices into `examples`
        micro: MicroBatch,
        longest: int,
        autocast: bool,
        full: bool = False,
        state: Callable[[], dict[str, Any]],
        saved: Callable[[Checkpoint], None],
        say: Callable[[str], None],
        stop_requested: Callable[[], bool] = lambda: False,
        **trainer_arguments: Any,
    ) -> None:
        from datasets import Dataset

        self.micro = micro
        self._longest = longest
        self._autocast = autocast
        self._state = state
        self._saved = saved
        self._say = say
        self._stop_requested = stop_requested
        model = trainer_arguments["model"]
        self.sharded = is_sharded(model)
        self.trains_shards = self.sharded and full
        # PEFT wraps a model that was loaded to be asked: the wrapper says that it trains, its
        # layers do not, and would neither compute activations again nor drop anything out.
        model.train()
        # Left as it is: DistributedDataParallel would copy every gradient for a forward that is
        # never called.
        model._is_accelerate_prepared = True
        super().__init__(
            train_dataset=Dataset.from_dict({"index": data_order}),
            data_collator=lambda rows: {"step": Step(examples[row["index"]] for row in rows)},
            **trainer_arguments,
        )

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """One whole optimiser step: every micro-batch forward and backward. Returns the step's
        mean loss a token, [].
        """
        if not self.model.training:  # asked first: it walks every module
            model.train()
        step: Step = inputs["step"]
        num_loss_tokens = sum(len(example) - example.prompt_length for example in step)
        loss = self._forward_backward_as_it_fits(step, num_loss_tokens)
        stop_count = None
        if self.args.world_size > 1:
            loss, stop_count = self._sum_over_processes(loss)
        self.result = StepResult(loss, sum(map(len, step)), stop_count)
        return loss

    def _forward_backward_as_it_fits(self, step: Step, num_loss_tokens: int) -> Tensor:
        """The same, again with smaller micro-batches where the memory does not suffice."""
        while True:
            batches, num_fillers = self._cut(step)
            try:
                loss = self._forward_backward(batches, num_loss_tokens)
                self._run_fillers(step, num_fillers)
                return loss
            except torch.OutOfMemoryError:
                if self.sharded:
                    raise InputError(OUT_OF_MEMORY_IN_SHARDS) from None
                longest = max(len(example) for batch in batches for example in batch)
                if not self.micro.halve(longest):
                    raise
            # Outside the except block: its traceback holds the tensors that did not fit.
            self.drop_gradients()
            torch.cuda.empty_cache()
            self._say(
                f"out of memory: micro-batch now {self.micro.tokens:,} tokens; the step is done"
                " again"
            )

    def _cut(self, step: Step) -> tuple[list[list[Example]], int]:
        """This process's micro-batches of a step, and how many more another process has: with
        sharded weights all run the layers equally often.
        """
        micro = self.micro
        shares_of_all = shares([len(example) for example in step], self.args.world_size)
        rank = self.args.process_index
        counts = []
        own_batches: list[list[Example]] = []
        for process, indices in enumerate(shares_of_all):
            if process != rank and not self.sharded:
                continue
            share = [step[i] for i in indices]
            lengths = [len(example) for example in share]
            cut = micro_batches(lengths, micro.rows, micro.tokens, micro.padded)
            counts.append(len(cut))
            if process == rank:
                own_batches = [[share[i] for i in batch] for batch in cut]
        return own_batches, max(counts) - len(own_batches)

    def _forward_backward(
        self, batches: Sequence[Sequence[Example]], num_loss_tokens: int
    ) -> Tensor:
        """This process's share of the step's mean loss over `num_loss_tokens` tokens, []; gradients
        are left in the parameters.
        """
        total = torch.zeros((), device=self.args.device)
        micro = self.micro
        num_examples = sum(map(len, batches))
        for examples in batches:
            batch = self._batch(examples, num_examples + 1).to(self.args.device)
            if micro.recompute_above:
                num_tokens = batch.input_ids.numel()
                set_checkpointing(self.model, num_tokens > micro.recompute_above)
            with self.precision():
                loss = loss_sum(self.model, batch) / num_loss_tokens
            loss.backward()
            total += loss.detach()
        return total

    def _run_fillers(self, step: Step, count: int) -> None:
        """Micro-batches whose loss counts nothing, where other processes have more of them."""
        for _ in range(count):
            batch = self._batch([min(step, key=len)], 2).to(self.args.device)
            with self.precision():
                loss = loss_sum(self.model, batch) * 0.0
            loss.backward()

    def _batch(self, examples: Sequence[Example], most_segments: int) -> PackedBatch:
        is_compiled = self.micro.compiled
        multiple = COMPILED_MULTIPLE if is_compiled else 1
        if self.micro.padded:
            return pad_examples(examples, multiple)
        segments = most_segments if is_compiled else 0
        return pack_examples(examples, self._longest, multiple, segments)

    def precision(self) -> AbstractContextManager[Any]:
        """The context in which a loss is computed: autocast to bfloat16, or nothing."""
        if not self._autocast:
            return nullcontext()
        return torch.autocast(self.args.device.type, torch.bfloat16)

    def _sum_over_processes(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients, loss and requests to stop of all processes in one collective. Returns the
        step's loss and the number of requests, [] each.

        The model's own forward is never called, so DistributedDataParallel stays idle; summing once
        a step is all that several processes need, since each loss was already divided by the loss
        tokens of all of them.
        """
        # Filled on the device: copied from the host, a number would make the host wait.
        stop = torch.full_like(loss, float(self._stop_requested()))
        sums = self._gradient_sum.all_reduce(torch.stack((loss, stop)))  # [2]
        return sums[0], sums[1]

    @cached_property
    def _gradient_sum(self) -> GradientSum:
        # FSDP has summed what it shards.
        return GradientSum([] if self.trains_shards else self.trained_parameters)

    def get_train_dataloader(self) -> Any:
        """Whole steps in order, the same ones in every process: each takes its share of each
        (`data_order.shares`).

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
        if self.args.world_size > 1:  # none leaves before it is whole
            torch.distributed.barrier()

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted here: `plan` knows the model's shape, and the metrics say what share of
        the peak was reached.
        """
        return 0
