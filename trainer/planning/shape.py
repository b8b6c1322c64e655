"""A model's dimensions, as far as a plan needs them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder's dimensions, from its configuration."""

    layers: int
    hidden: int
    inner: int  # of the MLP
    queries: int  # heads x head dimension
    keys: int  # key-value heads x head dimension
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Any) -> "Shape":
        """From a transformers configuration of Llama's or Qwen's kind."""
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        return cls(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads * head,
            kv_heads * head,
            config.vocab_size,
            bool(config.tie_word_embeddings),
        )

    @property
    def layer_weights(self) -> int:
        """Weights of the linear maps of one layer."""
        return self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.inner)

    @property
    def head(self) -> int:
        """Weights of the output head."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Weights of the whole model, norms and biases left out."""
        return self.layers * self.layer_weights + self.head * (1 if self.tied else 2)

    def adapters(self, r: int) -> int:
        """LoRA weights of rank r on every linear map."""
        each = 4 * self.hidden + 2 * self.queries + 2 * self.keys + 3 * (self.hidden + self.inner)
        return self.layers * r * each
