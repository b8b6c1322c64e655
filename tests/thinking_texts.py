"""Texts with thinking tags that programs once read differently, and the one right reading."""

from typing import NamedTuple


class TaggedText(NamedTuple):
    """A generated text that ended by itself, asked what 2 + 2 is; `verdict` on it, gold 4."""

    text: str
    reasoning: str
    response: str
    spoken: str | None  # outside every thinking; None: a thinking never ends
    verdict: str


TAGGED_TEXTS = {
    "tags with their line breaks": TaggedText(
        "<think>\na\n</think>\n\n\\boxed{4}", "a", "\\boxed{4}", "\\boxed{4}", "correct"
    ),
    "tags alone": TaggedText(
        "<think>a</think>\\boxed{4}", "a", "\\boxed{4}", "\\boxed{4}", "correct"
    ),
    "opened in the prompt": TaggedText(
        "a\n</think>\n\\boxed{4}", "a", "\\boxed{4}", "\\boxed{4}", "correct"
    ),
    "more line breaks than the tags own": TaggedText(
        "<think>\n\n a \n\n</think>\n\n\n \\boxed{4}\n",
        "\n a \n",
        "\n \\boxed{4}\n",
        "\n \\boxed{4}\n",
        "correct",
    ),
    "no tag": TaggedText(
        "It is \\boxed{4}.", "", "It is \\boxed{4}.", "It is \\boxed{4}.", "correct"
    ),
    "nothing": TaggedText("", "", "", "", "no_answer"),
    "nothing but thinking": TaggedText(
        "<think>\\boxed{4}</think>", "\\boxed{4}", "", "", "no_answer"
    ),
    "an empty thinking": TaggedText(
        "<think>\n\n</think>\n\n\\boxed{4}", "", "\\boxed{4}", "\\boxed{4}", "correct"
    ),
    "words before the thinking": TaggedText(
        "Sure. <think>\na\n</think>\n\n\\boxed{4}",
        "a",
        "Sure. \\boxed{4}",
        "Sure. \\boxed{4}",
        "correct",
    ),
    "white space before the thinking": TaggedText(
        " \n<think>\na\n</think>\n\n\\boxed{4}", "a", "\\boxed{4}", " \n\\boxed{4}", "correct"
    ),
    "an answer before the thinking": TaggedText(
        "\\boxed{4} <think>\na\n</think>\n\nYes.",
        "a",
        "\\boxed{4} Yes.",
        "\\boxed{4} Yes.",
        "correct",
    ),
    "never closed": TaggedText("<think>\na \\boxed{4}", "a \\boxed{4}", "", None, "truncated"),
    "never closed, after words": TaggedText(
        "\\boxed{4} <think>\na", "", "\\boxed{4} <think>\na", None, "truncated"
    ),
    "opened within the thinking once more": TaggedText(
        "<think>a<think>b\n</think>\n\n\\boxed{4}",
        "a<think>b",
        "\\boxed{4}",
        "\\boxed{4}",
        "correct",
    ),
    "closed twice": TaggedText(
        "<think>a</think>\\boxed{3}</think>\\boxed{4}",
        "a",
        "\\boxed{3}</think>\\boxed{4}",
        "\\boxed{4}",
        "correct",
    ),
    "closed twice, the answer between": TaggedText(
        "<think>a</think>\\boxed{4}</think>b", "a", "\\boxed{4}</think>b", "b", "no_answer"
    ),
    "two thinkings": TaggedText(
        "<think>a</think>\\boxed{3}<think>b</think>\\boxed{4}",
        "a",
        "\\boxed{3}<think>b</think>\\boxed{4}",
        "\\boxed{3}\\boxed{4}",
        "correct",
    ),
    "two thinkings, the answer between": TaggedText(
        "<think>a</think>\\boxed{4}<think>b</think>\n\nYes.",
        "a",
        "\\boxed{4}<think>b</think>\n\nYes.",
        "\\boxed{4}Yes.",
        "correct",
    ),
    "a second thinking never closed": TaggedText(
        "<think>a</think>\\boxed{4}<think>b",
        "a",
        "\\boxed{4}<think>b",
        None,
        "truncated",
    ),
    "opened in the prompt, and never closed later": TaggedText(
        "a</think>\\boxed{4}<think>b", "a", "\\boxed{4}<think>b", None, "truncated"
    ),
}
