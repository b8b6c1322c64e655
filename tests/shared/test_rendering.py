"""One renderer for training, chat and evaluation: what it promises about prompts, system texts
and end tokens.
"""

from datetime import datetime

import pytest

from shared import thinking
from shared.errors import InputError
from shared.rendering import ChatRenderer
from shared.template_date import freeze_date, frozen_date, has_date
from tests.trainer.templates import CHATML, NO_SYSTEM, QWEN, R1_DISTILL

jinja2 = pytest.importorskip("jinja2", reason="not in the generator's environment")

TOKENS = {"eos_token": "<|im_end|>"}
USER = {"role": "user", "content": "2 + 2?"}
ANSWER = {"role": "assistant", "content": thinking.join("two and two", "It is \\boxed{4}.")}
DEFAULT = "You are a test model, created by nobody."


def test_a_template_that_inserts_its_own_system_text_is_found_out() -> None:
    assert ChatRenderer(QWEN, TOKENS).default_system == DEFAULT
    assert ChatRenderer(CHATML, TOKENS).default_system == ""
    assert ChatRenderer(R1_DISTILL, TOKENS).default_system == ""
    assert ChatRenderer(NO_SYSTEM, TOKENS).default_system == ""


def test_the_system_text_follows_the_policy_and_nothing_else() -> None:
    with_default = ChatRenderer(QWEN, TOKENS).prompt([USER])
    without_system = ChatRenderer(QWEN, TOKENS, system="").prompt([USER])
    own = ChatRenderer(QWEN, TOKENS, system="Be brief.").prompt([USER])
    assert DEFAULT in with_default
    assert DEFAULT not in without_system
    assert without_system.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user")
    assert DEFAULT not in own
    assert "Be brief." in own
    assert ChatRenderer(CHATML, TOKENS, system="").prompt([USER]) == ChatRenderer(
        CHATML, TOKENS
    ).prompt([USER])


def test_a_conversation_that_brings_its_own_system_message_keeps_it() -> None:
    brought = [{"role": "system", "content": "Mine."}, USER]
    prompt = ChatRenderer(QWEN, TOKENS, system="Policy.").prompt(brought)
    assert "Mine." in prompt
    assert "Policy." not in prompt


def test_what_is_learnt_continues_exactly_the_prompt_that_chat_shows() -> None:
    for template in (QWEN, CHATML, NO_SYSTEM, R1_DISTILL):
        chat = ChatRenderer(template, TOKENS)
        assert chat.example([USER, ANSWER]).prompt == chat.prompt([USER])


def test_the_completion_keeps_the_thinking_and_ends_with_the_end_of_turn() -> None:
    prompt, completion = ChatRenderer(QWEN, TOKENS).example([USER, ANSWER])
    assert completion == ANSWER["content"] + "<|im_end|>"
    assert prompt.endswith("<|im_start|>assistant\n")


def test_a_template_that_deletes_the_thinking_does_not_delete_ours_nor_open_it_twice() -> None:
    chat = ChatRenderer(R1_DISTILL, {})
    prompt, completion = chat.example([USER, ANSWER])
    assert prompt.endswith("<Assistant><think>\n")
    assert completion == "two and two\n</think>\n\nIt is \\boxed{4}.<end>"
    assert chat.answer(completion) == ANSWER["content"]


def test_earlier_turns_are_shown_without_their_thinking() -> None:
    prompt = ChatRenderer(QWEN, TOKENS).prompt([USER, ANSWER, {"role": "user", "content": "Sure?"}])
    assert "two and two" not in prompt
    assert "It is \\boxed{4}." in prompt


def test_equal_digests_mean_equal_template_and_policy() -> None:
    assert ChatRenderer(QWEN, TOKENS).digest == ChatRenderer(QWEN, TOKENS).digest
    different = {ChatRenderer(QWEN, TOKENS, s).digest for s in (None, "", "x")} | {
        ChatRenderer(CHATML, TOKENS).digest
    }
    assert len(different) == 4


def test_a_tokenizer_without_a_template_is_an_input_error_with_the_remedy() -> None:
    class Bare:
        chat_template = None
        special_tokens_map = TOKENS

    with pytest.raises(
        InputError, match=r"models/base: the tokenizer has no chat template: .*chat_template\.jinja"
    ):
        ChatRenderer.of(Bare(), place="models/base")


def test_a_broken_template_is_an_input_error() -> None:
    with pytest.raises(InputError, match="chat template"):
        ChatRenderer("{% for %}", TOKENS)


def test_rendering_needs_neither_torch_nor_transformers() -> None:
    import subprocess
    import sys

    code = (
        "import sys, shared.rendering; sys.exit(any(m in sys.modules for m in ('torch',"
        " 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


DATED = "{{- strftime_now('%d %b %Y') }}" + CHATML
TAGGED = CHATML.replace(
    "{%- for message in messages %}\n", "{%- for message in messages %}{% generation %}"
).replace("{%- endfor %}", "{%- endgeneration %}{%- endfor %}")
NO_THINK = (
    CHATML
    + "{%- if add_generation_prompt and not (enable_thinking is defined and enable_thinking) %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
)
NEVER_THINK = (
    CHATML + "{%- if add_generation_prompt %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
)
# Phi's: each turn ends with <|end|>, the last of all with the end of text as well.
PHI = (
    "{%- for m in messages %}{{- '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- else %}{{- eos_token }}{%- endif %}"
)


@pytest.mark.parametrize("template", [NO_THINK, NEVER_THINK])
def test_a_prompt_that_closes_the_thinking_does_not_teach_to_think_twice(template: str) -> None:
    example = ChatRenderer(template, {}).example([USER, ANSWER])
    assert (example.prompt + example.completion).count("<think>") == 1
    assert example == ChatRenderer(CHATML, {}).example([USER, ANSWER])


def test_the_date_in_a_template_is_the_given_day_and_today_otherwise() -> None:
    day = datetime(2026, 1, 2)
    assert ChatRenderer(DATED, {}, today=day).prompt([USER]).startswith("02 Jan 2026")
    assert ChatRenderer(DATED, {}).prompt([USER]).startswith(datetime.now().strftime("%d %b %Y"))


def test_a_date_written_into_a_template_stays_and_names_the_same_prompts() -> None:
    day = datetime(2026, 1, 2)
    frozen = ChatRenderer(DATED, {}, today=day).template
    later = ChatRenderer(frozen, {}, today=datetime(2027, 3, 4))
    assert later.prompt([USER]) == ChatRenderer(DATED, {}, today=day).prompt([USER])
    assert later.digest == ChatRenderer(DATED, {}, today=day).digest
    assert later.digest != ChatRenderer(DATED, {}, today=datetime(2026, 1, 3)).digest
    assert frozen_date(frozen) == day
    assert freeze_date(frozen, datetime(2027, 3, 4)) == frozen


@pytest.mark.parametrize("template", [QWEN, CHATML, R1_DISTILL, NO_SYSTEM])
def test_a_template_without_a_date_is_not_touched(template: str) -> None:
    assert ChatRenderer(template, TOKENS).template == template
    assert frozen_date(template) is None
    assert not has_date(template)


def test_a_server_without_a_clock_shows_the_frozen_date_as_well() -> None:
    template = (
        '{%- if strftime_now is defined %}{%- set day = strftime_now("%d %b %Y") %}{%- else %}'
        '{%- set day = "26 Jul 2024" %}{%- endif %}{{- day }}'
    )
    frozen = freeze_date(template, datetime(2026, 1, 2))
    assert jinja2.Template(frozen).render() == "02 Jan 2026"


def test_transformers_generation_tag_marks_and_changes_no_text() -> None:
    assert "{% generation %}" in TAGGED
    assert ChatRenderer(TAGGED, {}).example([USER, ANSWER]) == ChatRenderer(CHATML, {}).example(
        [USER, ANSWER]
    )


def test_the_end_of_a_turn_is_not_the_end_of_the_whole_text_after_it() -> None:
    chat = ChatRenderer(PHI, {"eos_token": "<|endoftext|>"})
    assert chat.end == "<|end|>"
    assert chat.example([USER, ANSWER]).completion.endswith("\\boxed{4}.<|end|>")
    assert ChatRenderer(CHATML, {"eos_token": "<|im_end|>"}).end == "<|im_end|>"


def test_what_a_user_says_of_thinking_goes_before_our_asking_for_it() -> None:
    template = CHATML.replace(
        "{{- '<|im_start|>assistant\\n' }}",
        "{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is false %}"
        "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}",
    )
    renderer = ChatRenderer(template, TOKENS)
    silent = ChatRenderer(template, TOKENS, arguments={"enable_thinking": False})
    assert not renderer.prompt([USER]).endswith("</think>\n\n")
    assert silent.prompt([USER]).endswith("<think>\n\n</think>\n\n")
    assert renderer.digest != silent.digest
    same = ChatRenderer(template, TOKENS, arguments={})
    assert same.digest == renderer.digest
