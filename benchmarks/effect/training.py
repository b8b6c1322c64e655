"""The training loop and the greedy answers, for many adapters at once or for one fully trained
model.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.effect.adapters import ManyAdamW, attach
from benchmarks.effect.corpora import Corpus, Question, turn
from shared.records import Message
from shared.rendering import ChatRenderer

WARMUP = 0.03  # share of the steps, as in the trainer


@dataclass(frozen=True, slots=True)
class Setting:
    """One training. Settings of one group differ in these values and are trained side by side."""

    name: str
    corpus: Corpus
    learning_rate: float = 1e-3
    rank: int = 16
    alpha: float = 32.0
    epochs: float = 1.0
    steps: int = 0  # where not 0, instead of epochs
    batch: int = 16
    seed: int = 0
    method: str = "lora"  # lora | full | none


@dataclass(frozen=True, slots=True)
class Row:
    """One example as token ids; the loss covers `ids[prompt:]`."""

    ids: list[int]
    prompt: int


class Codec:
    """Text to token ids and back with one tokenizer, rendered as the trainer renders."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self._chat = tokenizer, ChatRenderer.of(tokenizer)
        self.end = self._ids(self._chat.end)[0]

    def row(self, messages: list[Message]) -> Row:
        pair = self._chat.example(messages)
        prompt = self._ids(pair.prompt)
        return Row(prompt + self._ids(pair.completion), len(prompt))

    def prompt(self, question: str) -> list[int]:
        return self._ids(self._chat.prompt(turn(question)))

    def text(self, ids: list[int]) -> tuple[str, bool]:
        """(the answer, whether it came to its end)."""
        finished = self.end in ids
        kept = ids[: ids.index(self.end)] if finished else ids
        return self.tokenizer.decode(kept), finished

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def steps_of(setting: Setting, rows: int) -> int:
    if setting.method == "none":
        return 0
    return setting.steps or max(1, round(setting.epochs * rows / setting.batch))


def rate_at(setting: Setting, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero, as in the trainer. `step` counts from 0."""
    warm = max(1, round(WARMUP * steps))
    if step < warm:
        return setting.learning_rate * (step + 1) / warm
    return (
        setting.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    )


def batches(rows: Sequence[Row], setting: Setting) -> Iterator[list[Row]]:
    """Batches without end: each epoch in an order of its own, each batch sorted by length."""
    rng = random.Random(f"order:{setting.seed}")
    order: list[Row] = []
    while True:
        while len(order) < setting.batch:
            order += rng.sample(rows, len(rows))
        yield sorted(order[: setting.batch], key=lambda row: len(row.ids))
        order = order[setting.batch :]


def train_many(
    model: Any, settings: Sequence[Setting], rows: Sequence[Sequence[Row]], pad: int, budget: int
) -> tuple[Any, list[float]]:
    """Train one adapter a setting on a frozen `model`; settings come by falling step counts, with
    one batch size.

    `budget` is the most tokens in one forward pass. Returns the model with its adapters and each
    setting's mean loss over its last tenth of steps.
    """
    shape = attach(
        model, [s.rank for s in settings], [s.alpha for s in settings], [s.seed for s in settings]
    )
    counts = [steps_of(setting, len(own)) for setting, own in zip(settings, rows, strict=True)]
    optimiser = ManyAdamW(model)
    streams = [batches(own, setting) for own, setting in zip(rows, settings, strict=True)]
    losses: list[list[float]] = [[] for _ in settings]
    for step in range(max(counts, default=0)):
        active = sum(step < count for count in counts)
        shape.active = active
        drawn = [next(stream) for stream in streams[:active]]
        total = torch.zeros(active, device=model.device)
        for micro in micro_batches(drawn, budget):
            total += _backward(model, micro, drawn, pad)
        optimiser.step(
            [rate_at(s, step, c) for s, c in zip(settings[:active], counts, strict=False)]
        )
        for number, loss in enumerate(total.tolist()):
            losses[number].append(loss)
    shape.active = len(settings)
    model.requires_grad_(False)
    return model, [
        sum(own[-(len(own) // 10 or 1) :]) / (len(own) // 10 or 1) if own else 0.0 for own in losses
    ]


def train_full(
    model: Any, setting: Setting, rows: Sequence[Row], pad: int, budget: int
) -> tuple[Any, list[float]]:
    """Train all weights in float32 with bfloat16 products; returns the model in its first
    precision.
    """
    kind, model = model.dtype, model.float()
    steps, stream = steps_of(setting, len(rows)), batches(rows, setting)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    losses = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate_at(setting, step, steps)
        drawn = [next(stream)]
        loss = torch.zeros(1, device=model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
            for micro in micro_batches(drawn, budget):
                loss += _backward(model, micro, drawn, pad)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    model.requires_grad_(False)
    last = losses[-(len(losses) // 10 or 1) :]
    return model.to(kind), [sum(last) / len(last)]


def micro_batches(drawn: Sequence[list[Row]], budget: int) -> Iterator[list[list[Row]]]:
    """The step's rows in parts that fit, the same number of rows of each adapter in each part."""
    count = max(1, budget // (len(drawn) * max(len(rows[-1].ids) for rows in drawn)))
    for start in range(0, len(drawn[0]), count):
        yield [rows[start : start + count] for rows in drawn]


def _backward(model: Any, micro: list[list[Row]], drawn: Sequence[list[Row]], pad: int) -> Tensor:
    """Add the gradients of one part: each adapter's loss is the mean over its whole step's
    learnt tokens.
    """
    flat = [row for rows in micro for row in rows]
    length = max(len(row.ids) for row in flat)
    # Padding stands on the right, where a causal model's real tokens never look: no attention mask
    # is needed.
    ids = torch.tensor(
        [row.ids + [pad] * (length - len(row.ids)) for row in flat], device=model.device
    )
    learnt = torch.zeros(ids.shape, dtype=torch.bool)
    for number, row in enumerate(flat):
        learnt[number, row.prompt - 1 : len(row.ids) - 1] = True
    learnt = learnt.to(ids.device)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[learnt]
    targets = ids.roll(-1, dims=1)[learnt]
    loss = functional.cross_entropy(model.lm_head(hidden).float(), targets, reduction="none")
    owners = (
        torch.arange(len(micro), device=ids.device).repeat_interleave(len(micro[0])).view(-1, 1)
    )
    owners = owners.expand(ids.shape)[learnt]
    sizes = torch.tensor(
        [sum(len(row.ids) - row.prompt for row in rows) for rows in drawn], device=ids.device
    )
    losses = torch.zeros(len(micro), device=ids.device).index_add(0, owners, loss) / sizes
    losses.sum().backward()  # type: ignore[no-untyped-call]  # torch annotates it so
    return losses.detach()


@torch.inference_mode()
def answer(
    model: Any,
    codec: Codec,
    questions: Sequence[Question],
    adapters: int,
    new_tokens: int,
    at_once: int,
) -> list[list[tuple[str, bool]]]:
    """Greedy answers of each adapter (1 for a plain model) to each question: (text, came to its
    end).
    """
    answers: list[list[tuple[str, bool]]] = [[] for _ in range(adapters)]
    prompts = [codec.prompt(question.text) for question in questions]
    count = max(1, at_once // adapters)
    for start in range(0, len(prompts), count):
        part = prompts[start : start + count]
        length = max(map(len, part))
        ids = torch.tensor(
            [[codec.end] * (length - len(prompt)) + prompt for prompt in part], device=model.device
        )
        mask = torch.tensor(
            [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in part],
            device=model.device,
        )
        new = model.generate(
            input_ids=ids.repeat(adapters, 1),
            attention_mask=mask.repeat(adapters, 1),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=codec.end,
            pad_token_id=codec.end,
        )[:, length:].tolist()
        for number in range(adapters):
            answers[number] += [
                codec.text(ids) for ids in new[number * len(part) : (number + 1) * len(part)]
            ]
    return answers
