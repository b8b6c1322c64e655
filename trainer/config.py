"""The trainer's configuration: every key with its default and what it means."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from shared.benchmarks.names import WHAT_A_NAME_IS
from shared.config import Config, OwnFolderText, PathText

Method = Literal["lora", "qlora", "full"]
Tracker = Literal["swanlab", "trackio", "tensorboard", "wandb"]
Auto = Literal["auto"]
Weight = Annotated[float, Field(le=1e9)]


class Data(Config):
    """[data]: what is learnt from, and what is not."""

    exclude: tuple[PathText, ...] = Field(
        (),
        description=f"problems that judge the model: {WHAT_A_NAME_IS}",
    )
    max_per_problem: int = Field(
        4, ge=0, le=10**9, description="traces of one problem at most; 0: no cap"
    )
    system: str = Field(
        "template",
        description='"template": what the chat template does by itself; "": silence; or a text',
    )
    unverifiable: Literal["learn", "leave-out"] = Field(
        "learn",
        description=(
            "traces without a gold answer that a corpus keeps on purpose (import"
            " --keep-unverifiable, sampling.keep_unverifiable)"
        ),
    )
    unboxed: Literal["add-box", "leave-out"] = Field(
        "add-box",
        description=(
            "verified responses without a box after their thinking: add-box ends them with the"
            " verified \\boxed{}"
        ),
    )
    template: Literal["", "chatml", "qwen", "llama3", "plain"] = Field(
        "",
        description=(
            "chat template by name, for a base model without one: chatml, qwen, llama3, plain (for"
            ' any tokenizer); "": the model\'s own'
        ),
    )


class Lora(Config):
    """[lora]: the adapters."""

    r: int = Field(16, ge=1, le=65_536, description="rank")
    alpha: int = Field(32, ge=1, le=10**6, description="scale = alpha / r")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="of an adapter's input; above 0 the faster layers stay unused"
    )
    target: str | tuple[str, ...] = Field(
        "all-linear", description='"all-linear" (no output head) or module names'
    )


class Train(Config):
    """[train]: optimiser, lengths, checkpoints."""

    max_length: int = Field(
        4096, ge=8, le=10**8, description="tokens; longer traces are left out, never cut"
    )
    rope_scaling: Literal["none", "yarn", "linear"] = Field(
        "none",
        description="how a model learns a max_length above its max_position_embeddings",
    )
    epochs: float = Field(1, gt=0, le=10_000, description="passes over the examples")
    max_steps: int = Field(
        0, ge=0, le=10**9, description="stop after so many optimiser steps; 0: epochs alone"
    )
    batch: int = Field(
        16, ge=1, le=10**6, description="examples an optimiser step, whatever the micro-batch"
    )
    micro_batch: Auto | Annotated[int, Field(ge=1, le=10**6)] = Field(
        "auto", description="examples at once, or auto: what fits"
    )
    learning_rate: Auto | Annotated[float, Field(gt=0, le=10)] = Field(
        "auto", description="peak, or auto: by method and size"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="after the warm-up"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps")
    weight_decay: float = Field(0.0, ge=0, le=100, description="AdamW's")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's decay of squared gradients")
    max_grad_norm: float = Field(
        1.0, ge=0, le=1e12, description="gradients are clipped to this; 0: never"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description=(
            "auto: bf16 where the card has it or the processor is measured to be faster, else fp32"
        ),
    )
    checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="recompute activations to save memory"
    )
    fsdp: Literal["auto", "on", "off"] = Field(
        "auto",
        description=(
            "several cards: weights in shards over them (FSDP2); auto: of a full fine-tune that one"
            " card cannot hold"
        ),
    )
    compile: bool = Field(
        False,
        description="compile the layers (trl backend on a GPU; minutes before the first step)",
    )
    memory_gib: float = Field(
        0.0, ge=0, le=1e6, description="use no more of the card than this; 0: what is free"
    )
    save_steps: int = Field(
        100, ge=1, le=10**9, description="steps between checkpoints and held-out losses"
    )
    save_total_limit: int = Field(
        10, ge=1, le=10**6, description="checkpoints kept; the best one stays"
    )
    logging_steps: int = Field(
        5, ge=1, le=10**9, description="steps between lines of metrics.jsonl"
    )
    merge: bool = Field(True, description="merge the adapter when done, with proof")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="data order, adapter initialisation")
    holdout: float = Field(
        0.02, ge=0, lt=1, description="share of the problems, not the rows, held out"
    )


class Probe(Config):
    """[probe]: the generation eval, a few fixed problems answered while the model trains."""

    problems: int = Field(
        32, ge=0, le=10**6, description="fixed held-out problems answered while training; 0: none"
    )
    every_steps: int = Field(
        100, ge=1, le=10**9, description="and once before the first step, once at the end"
    )
    max_new_tokens: int = Field(
        0, ge=0, le=10**8, description="0: by the lengths of the traces, at most max_length"
    )


class Track(Config):
    """[track]: trackers beside metrics.jsonl."""

    to: tuple[Tracker, ...] = Field(
        (), description="swanlab, trackio, tensorboard, wandb; each needs its package"
    )
    project: str = Field("stillhouse", description="the trackers' project")
    offline: bool = Field(False, description="SwanLab and wandb without their clouds")


class TrainerConfig(Config):
    """A training run: its top-level keys and tables."""

    run: OwnFolderText = Field(
        min_length=1, description="the run's folder; the same folder again goes on where it stopped"
    )
    model: PathText = Field(description="hub name or folder of an instruct model")
    corpora: tuple[PathText, ...] = Field(
        min_length=1, description="corpus folders; only sealed shards are read"
    )
    weights: tuple[Weight, ...] = Field(
        (), description="share of each corpus in an epoch; empty: as they come"
    )
    method: Method = Field(
        "lora", description="lora | qlora (4-bit base, needs an NVIDIA GPU) | full"
    )
    backend: Literal["auto", "unsloth", "trl"] = Field(
        "auto",
        description=(
            "auto: trl with our faster layers; with 4-bit weights unsloth, where it is installed"
        ),
    )
    data: Data = Data()
    lora: Lora = Lora()
    train: Train = Train()
    probe: Probe = Probe()
    track: Track = Track()

    @field_validator("weights")
    @classmethod
    def _positive(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if any(weight <= 0 for weight in weights):
            raise ValueError("weights must be above 0; leave a corpus out of corpora instead")
        return weights

    @model_validator(mode="after")
    def _one_weight_a_corpus(self) -> "TrainerConfig":
        if self.weights and len(self.weights) != len(self.corpora):
            raise ValueError(
                f"weights: {len(self.weights)} of them for {len(self.corpora)} corpora; give one"
                " each"
            )
        return self

    @property
    def rope_scaling(self) -> tuple[str, int] | None:
        """(kind, positions) where the model's context is to be extended."""
        if self.train.rope_scaling == "none":
            return None
        return self.train.rope_scaling, self.train.max_length

    @property
    def system(self) -> str | None:
        """The renderer's policy: None leaves the system text to the chat template."""
        return None if self.data.system == "template" else self.data.system
