"""What is sent to a teacher and what a student is trained on: prompt presets and the training
view.
"""

from dataclasses import dataclass

from shared import thinking
from shared.records import Message

# What R1's authors advise for mathematics, in the user's turn (DeepSeek-R1 README, "Usage
# Recommendations").
BOXED_REQUEST = "Please reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True, slots=True)
class PromptPreset:
    """A system prompt ("" sends none) and a template for the user's turn, in which `{problem}`
    is put in last.
    """

    system_prompt: str
    prompt: str


PRESETS = {
    # No system prompt, no examples, the boxed request in the user's turn.
    "r1": PromptPreset(
        "", "{problem}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    ),
    # The distillation tutorial, in substance: a system prompt that asks for the tags, the boxed
    # request in the user's turn. Its template is a raw string, whose \n goes out as two characters;
    # here it is a line break.
    "tutorial": PromptPreset(
        "A conversation between User and Assistant. The User asks a question and the Assistant"
        " solves it. The Assistant first thinks about the reasoning in its mind, then gives the"
        " User the answer. The reasoning stands between <think> and </think>, the answer between"
        " <answer> and </answer>: <think> reasoning here </think> <answer> answer here </answer>",
        "{problem}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    ),
}


def fill(template: str, problem: str) -> str:
    """The template with `{{` and `}}` made single braces and `{problem}` put in last, its own
    braces untouched.
    """
    parts = template.split("{problem}")
    return problem.join(part.replace("{{", "{").replace("}}", "}") for part in parts)


def messages_for(problem: str, system_prompt: str, prompt: str) -> list[Message]:
    """The messages that ask `problem`; an empty system prompt sends no system message."""
    user = {"role": "user", "content": fill(prompt, problem)}
    if system_prompt:
        return [{"role": "system", "content": system_prompt}, user]
    return [user]


def training_messages(
    problem_turn: str,
    reasoning: str,
    response: str,
) -> list[Message]:
    """The training view of a trace (`problem_turn`: content of the user's message): what
    `export x.jsonl` writes.
    """
    return [
        {"role": "user", "content": problem_turn},
        {"role": "assistant", "content": thinking.join(reasoning, response)},
    ]
