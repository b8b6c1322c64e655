"""A tiny random model of the Qwen2 architecture with its own tokenizer, made on the spot:
nothing comes from a hub.
"""

from pathlib import Path
from typing import Any

from tests.trainer.corpora import trace
from tests.trainer.templates import QWEN

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tokenizer(template: str | None = QWEN, end: str = "<|im_end|>") -> Any:
    """A byte-level BPE tokenizer; as in SmolLM2, its pad token IS its end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = [
        f"{t.messages[0]['content']} <think> {t.reasoning} </think> {t.response}"
        for t in map(trace, range(200))
    ]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    new_tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=end, pad_token=end, bos_token=None
    )
    new_tokenizer.chat_template = template
    return new_tokenizer


def model(
    layers: int = 2, hidden: int = 64, heads: int = 4, kv_heads: int = 2, vocabulary: int = 512
) -> Any:
    """A random Qwen2 causal language model in fp32, the same on every call."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen2ForCausalLM(config)


def save_model(folder: Path, template: str | None = QWEN, **shape: Any) -> Path:
    """A model folder as a hub would give it."""
    tokens = tokenizer()
    tokens.chat_template = template
    tokens.save_pretrained(folder)
    model(vocabulary=len(tokens), **shape).save_pretrained(folder)
    return folder
