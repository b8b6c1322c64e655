"""What a lane's calls are like, from those that ended: what the next one is expected to take. Pure."""

from collections import deque

from shared.records import Usage

GUESSED_TOKENS = 4000  # of a call; R1 takes less for school problems, more for contests
GUESSED_SECONDS = 120.0
LEAST_SHARE = 0.02  # of a mean: that of the newest call, once there are 50
DURATIONS = 200  # of the latest calls
PERCENTILE = 0.95


class Expectation:
    """Tokens (for reservations) and durations (for windows)."""

    def __init__(self) -> None:
        self.prompt_tokens = 0.0
        self.completion_tokens = 0.0
        self.cached_tokens = 0.0  # of the prompt's
        self.calls = 0
        self._durations: deque[float] = deque(maxlen=DURATIONS)
        self._seconds_p95: float | None = None

    def add(self, usage: Usage, seconds: float) -> None:
        """A call ended well."""
        self.calls += 1
        share = max(1 / self.calls, LEAST_SHARE)  # a mean at first, then one that follows
        self.prompt_tokens += share * (usage.prompt_tokens - self.prompt_tokens)
        self.completion_tokens += share * (usage.completion_tokens - self.completion_tokens)
        self.cached_tokens += share * (usage.cached_tokens - self.cached_tokens)
        self._durations.append(seconds)
        self._seconds_p95 = None

    @property
    def tokens(self) -> int:
        """Of one call, prompt and completion."""
        return int(self.prompt_tokens + self.completion_tokens) if self.calls else GUESSED_TOKENS

    @property
    def seconds_p95(self) -> float:
        """The 95th percentile of the latest calls' durations."""
        if not self._durations:
            return GUESSED_SECONDS
        if self._seconds_p95 is None:
            index = int(PERCENTILE * (len(self._durations) - 1))
            self._seconds_p95 = sorted(self._durations)[index]
        return self._seconds_p95
