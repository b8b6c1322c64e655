"""Whether a lane's model thinks at all. Pure.

A hybrid model that was not told to think answers at once, and its traces teach a student not to think. Nothing of the
protocol shows it: the answers are whole, many are right. So the first answers of a lane are looked at.
"""

from dataclasses import dataclass

FIRST_ANSWERS = 3  # so many in a row without a thought, and none with one

REMEDY = (
    "the model does not think: tell it to (`lane.extra_body = { enable_thinking = true }`, "
    "`{ chat_template_kwargs = { enable_thinking = true } }` or as its provider's page says), "
    "or take answers without reasoning (`lane.require_reasoning = false`)"
)


@dataclass(slots=True)
class ReasoningCheck:
    """The first whole answers of one lane. One with reasoning settles it for good."""

    without_reasoning: int = 0
    settled: bool = False
    warning: str = ""  # what a user should know while the lane works

    def answered(self, reasoning: str) -> bool:
        """Note a whole answer; true once, when the lane has shown that it does not think."""
        if self.settled:
            return False
        if reasoning.strip():
            self.settled = True
            return False
        self.without_reasoning += 1
        if self.without_reasoning < FIRST_ANSWERS:
            return False
        self.settled = True
        self.warning = REMEDY
        return True
