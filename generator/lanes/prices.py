"""What a call costs: the one formula, for what was used, what is expected and what is compared.
Pure.
"""

from generator.config import LaneConfig

PRICED_TOKENS = 1_000_000  # prices are in dollars per so many tokens
PROMPT_SHARE = 0.05  # of a reasoning model's tokens, before any call has ended


def price(
    lane: LaneConfig,
    prompt_tokens: float,
    completion_tokens: float,
    cached_tokens: float = 0.0,
) -> float:
    """Dollars. `cached_tokens`: those of the prompt that the server took from its cache."""
    cached_tokens = min(cached_tokens, prompt_tokens)
    fresh_tokens = prompt_tokens - cached_tokens
    cached_price = lane.price_cached or lane.price_in
    prompt = fresh_tokens * lane.price_in + cached_tokens * cached_price
    return (prompt + completion_tokens * lane.price_out) / PRICED_TOKENS


def usual_price(lane: LaneConfig, tokens: float = 1.0) -> float:
    """Dollars for a call of so many tokens, where no call has shown how they are shared out. One
    token's price compares lanes.
    """
    prompt_tokens = PROMPT_SHARE * tokens
    return price(lane, prompt_tokens, tokens - prompt_tokens)


def is_priced(lane: LaneConfig) -> bool:
    """Whether calls have a price; 0 is "not known here", not "free of charge"."""
    return bool(lane.price_in or lane.price_out)
