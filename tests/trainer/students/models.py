"""A tiny model of every supported student: its architecture with random weights, its conventions,
its chat template; small enough that the whole table trains in a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.trainer.corpora import trace
from tests.trainer.students import templates

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")
LLAMA3 = (
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|end_of_text|>",
)
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
GEMMA = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
GEMMA_SHAPE = {
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
    "sliding_window": 16,  # shorter than every example
    "layer_types": ["sliding_attention", "full_attention"],
}
# As Phi-4-mini's: rotary on three quarters of a head, other frequencies above the original length.
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.75,
    "original_max_position_embeddings": 128,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "long_factor": [1.0, 2.0, 3.0, 5.0, 9.0, 17.0],
}


@dataclass(frozen=True, slots=True)
class Student:
    """What of a model of the field is kept in its tiny likeness."""

    name: str  # as the table in the documents has it
    model_type: str
    template: str
    special: Sequence[str]
    eos: str
    bos: str | None = None
    pad: str | None = None
    tied: bool = True
    shape: dict[str, Any] = field(default_factory=dict)
    # of the part that sees: then the text's configuration is nested, as its repository has it
    vision: dict[str, Any] = field(default_factory=dict)


STUDENTS = (
    Student("Qwen2.5", "qwen2", templates.shipped("qwen2_5"), CHATML, "<|im_end|>"),
    Student("Qwen2.5-Math", "qwen2", templates.QWEN2_5_MATH, CHATML, "<|im_end|>"),
    Student(
        "Qwen3", "qwen3", templates.shipped("qwen3"), CHATML, "<|im_end|>", shape={"head_dim": 16}
    ),
    Student(
        "Qwen3.5",
        "qwen3_5",
        templates.shipped("qwen3_5_nothink"),
        CHATML,
        "<|im_end|>",
        shape={
            "layer_types": ["linear_attention", "full_attention"],
            "head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
        },
        vision={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 16,
        },
    ),
    Student(
        "DeepSeek-R1-Distill-Qwen",
        "qwen2",
        templates.shipped("deepseek_r1_distill"),
        DEEPSEEK,
        "<｜end▁of▁sentence｜>",
        "<｜begin▁of▁sentence｜>",
        tied=False,
    ),
    Student(
        "DeepSeek-R1-Distill-Llama",
        "llama",
        templates.shipped("deepseek_r1_distill"),
        DEEPSEEK,
        "<｜end▁of▁sentence｜>",
        "<｜begin▁of▁sentence｜>",
        tied=False,
        shape={"rope_parameters": LLAMA3_ROPE | {"factor": 8.0}},
    ),
    Student(
        "Llama-3.2",
        "llama",
        templates.shipped("llama3_2"),
        LLAMA3,
        "<|eot_id|>",
        "<|begin_of_text|>",
        shape={"head_dim": 16, "rope_parameters": LLAMA3_ROPE},
    ),
    Student(
        "Gemma-3",
        "gemma3_text",
        templates.shipped("gemma3"),
        GEMMA,
        "<eos>",
        "<bos>",
        "<pad>",
        shape=GEMMA_SHAPE,
    ),
    Student(
        "Gemma-3 (4B and larger)",
        "gemma3",
        templates.shipped("gemma3"),
        GEMMA,
        "<eos>",
        "<bos>",
        "<pad>",
        shape=GEMMA_SHAPE,
        vision={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
    ),
    Student("SmolLM2", "llama", templates.SMOLLM2, CHATML, "<|im_end|>"),
    Student(
        "SmolLM3",
        "smollm3",
        templates.SMOLLM3,
        CHATML,
        "<|im_end|>",
        shape={"no_rope_layers": [1, 0]},
    ),
    Student(
        "Phi-4-mini",
        "phi3",
        templates.PHI4_MINI,
        ("<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
        "<|endoftext|>",
        "<|endoftext|>",
        shape={
            "rope_parameters": LONG_ROPE,
            "original_max_position_embeddings": 128,
            "sliding_window": 262144,
        },
    ),
    Student(
        "OLMo-2",
        "olmo2",
        templates.OLMO2,
        ("<|endoftext|>", "<|pad|>"),
        "<|endoftext|>",
        "<|endoftext|>",
        "<|pad|>",
        tied=False,
    ),
    Student(
        "Granite",
        "granite",
        templates.GRANITE,
        ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"),
        "<|end_of_text|>",
        "<|end_of_text|>",
        shape={
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.0625,
        },
    ),
)


def tokenizer(student: Student) -> Any:
    """A byte-level BPE tokenizer with the student's special tokens and template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = [f"{t.problem} <think> {t.reasoning} </think> {t.response}" for t in _traces()]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(student.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=student.eos,
        pad_token=student.pad or student.eos,
        bos_token=student.bos,
    )
    made.chat_template = student.template
    return made


def model(student: Student, vocabulary: int) -> Any:
    """Random weights in float32, the same on every call; large ones, so that each layer is heard."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    config = _config(student, vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if student.vision:
            made = AutoModelForImageTextToText.from_config(config)
        else:
            made = AutoModelForCausalLM.from_config(config)
    # As published weights are: numbers that bfloat16 holds.
    return made.to(torch.bfloat16).float()


def save(student: Student, folder: Path) -> Path:
    """A model folder as a hub would give it."""
    tokens = tokenizer(student)
    tokens.save_pretrained(folder)
    model(student, len(tokens)).save_pretrained(folder)
    return folder


def _config(student: Student, vocabulary: int) -> Any:
    from transformers import CONFIG_MAPPING

    special = list(student.special)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.1,
        "tie_word_embeddings": student.tied,
        "eos_token_id": special.index(student.eos),
        "bos_token_id": special.index(student.bos) if student.bos else None,
        "pad_token_id": special.index(student.pad or student.eos),
        **student.shape,
    }
    if not student.vision:
        return CONFIG_MAPPING[student.model_type](**shape)
    return CONFIG_MAPPING[student.model_type](
        text_config=shape, vision_config=student.vision, tie_word_embeddings=student.tied
    )


def _traces() -> list[Any]:
    return [trace(number) for number in range(100)]
