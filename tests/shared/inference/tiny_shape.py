"""The shape of the tiny models that the decoders are tried on."""

STOP = 7
VOCABULARY = 96
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "eos_token_id": STOP,
    "pad_token_id": 0,
    "bos_token_id": None,
}
