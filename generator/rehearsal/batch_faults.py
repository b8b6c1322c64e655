"""What goes wrong with batches on purpose.

--batch-faults slow=0.1,expired=0.1,partial=0.2,failed=0.05,vanished=0.05,scrambled=0.2,lost_reply=0.1
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import InputError

BATCH_KINDS = {
    "slow": "the batch takes four times as long",
    "expired": "its window ends before its lines are done",
    "partial": "one line of five fails",
    "failed": "it fails as a whole, before a line is done",
    "vanished": "it is gone when half of it is done",
    "scrambled": "its output is out of order, with lines doubled, missing and malformed",
    "lost_reply": (
        "an upload or a batch is taken and the connection dropped; combines with every other kind"
    ),
}


@dataclass(frozen=True, slots=True)
class BatchFaults:
    """Rates between 0 and 1 by kind; all but `lost_reply` add up to 1 at most."""

    rates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, spec: str) -> "BatchFaults":
        """Errors: `InputError` that names the kind and lists the known ones."""
        rates: dict[str, float] = {}
        for item in filter(None, (part.strip() for part in spec.split(","))):
            kind, _, value = item.partition("=")
            if kind not in BATCH_KINDS:
                known_kinds = ", ".join(BATCH_KINDS)
                raise InputError(f"--batch-faults {item}: unknown kind; known are {known_kinds}")
            try:
                rates[kind] = float(value)
            except ValueError:
                raise InputError(
                    f"--batch-faults {item}: write {kind}=RATE, as in {kind}=0.05"
                ) from None
            if not 0 <= rates[kind] <= 1:
                raise InputError(f"--batch-faults {item}: a rate is between 0 and 1")
        total = sum(rate for kind, rate in rates.items() if kind != "lost_reply")
        if total > 1:
            raise InputError(f"--batch-faults {spec}: rates add up to {total:g}")
        return cls(rates)

    def draw(self, rng: random.Random) -> str:
        """What happens to the next batch: a kind, or ""."""
        throw = rng.random()
        for kind, rate in self.rates.items():
            if kind == "lost_reply":
                continue
            if throw < rate:
                return kind
            throw -= rate
        return ""


def spoiled(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """The lines out of order, one of ten doubled, one of twenty missing or cut short, and some
    that belong to nobody.
    """
    result = [b'{"custom_id": "somebody-elses", "response": {}}', b"no JSON at all", b"[]"]
    for line in lines:
        throw = rng.random()
        if throw < 0.05:
            continue
        result.append(line[: len(line) // 2] if throw < 0.1 else line)
        if throw > 0.9:
            result.append(line)
    rng.shuffle(result)
    return result
