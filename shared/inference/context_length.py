"""How many positions a model knows, and more of them by RoPE scaling."""

from typing import Any

from shared.errors import InputError

EXTENDING = ("linear", "yarn")  # rope types whose factor multiplies max_position_embeddings


def context_length(config: Any) -> int:
    """Positions that a transformers configuration knows, its RoPE scaling included; 0 where it
    does not say.
    """
    positions = int(getattr(config, "max_position_embeddings", 0) or 0)
    rope = getattr(config, "rope_parameters", None) or {}
    original = int(rope.get("original_max_position_embeddings") or 0)
    factor = float(rope.get("factor") or 1.0)
    if rope.get("rope_type") in EXTENDING:
        return max(positions, round(factor * (original or positions)))
    # llama3's and longrope's already count it; dynamic's frequencies would be those of the longest
    # example of a batch.
    return positions


def extend_context(config: Any, kind: str, length: int, model: str) -> None:
    """Scale the RoPE of a transformers text configuration so that it knows `length` positions. In
    place, in the words of transformers, which vLLM reads as well.

    `kind`: one of EXTENDING. A model that knows as many already stays as it is. Errors:
    `InputError` for a model whose positions are no plain RoPE.
    """
    positions = context_length(config)
    if not positions or length <= positions:
        return
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if rope.get("rope_type", "none") != "default":
        raise InputError(
            f'train.rope_scaling = "{kind}": {model} has a RoPE of its own'
            f" ({rope.get('rope_type', 'by layer')}): set train.max_length = {positions}"
        )
    rope |= {"rope_type": kind, "factor": length / positions}
    if kind == "yarn":
        rope["original_max_position_embeddings"] = positions
    config.rope_parameters = rope
