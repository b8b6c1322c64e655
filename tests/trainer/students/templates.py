"""Chat templates of the supported students. Those that the installed trl carries are read from it,
letter for letter; the others are written here by their conventions, without their tools.
"""

from importlib.util import find_spec
from pathlib import Path


def shipped(name: str) -> str:
    """A template of the installed trl; "" in an environment without it (the evaluation's)."""
    spec = find_spec("trl")
    if spec is None:
        return ""
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "chat_templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


# Inserts the request for a box where the conversation has no system message.
QWEN2_5_MATH = """\
{%- if messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>system\\nPlease reason step by step, and put your final answer within \\\\boxed{}.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role != 'system' %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] +"
    " '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# A date and the mode of thinking in the system turn; {% generation %} around the answer; an empty
# thought in the generation prompt where thinking is switched off.
SMOLLM3 = """\
{%- if enable_thinking is not defined %}{%- set enable_thinking = true %}{%- endif %}
{%- set reasoning_mode = "/think" if enable_thinking else "/no_think" %}
{%- set custom_instructions = "" %}
{%- if messages[0].role == "system" %}
{%- set system_message = messages[0].content %}
{%- if "/no_think" in system_message %}{%- set reasoning_mode = "/no_think" %}
{%- elif "/think" in system_message %}{%- set reasoning_mode = "/think" %}{%- endif %}
{%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() %}
{%- endif %}
{{- "<|im_start|>system\\n" }}
{{- "## Metadata\\n\\n" }}
{{- "Knowledge Cutoff Date: June 2025\\n" }}
{%- set today = strftime_now("%d %B %Y") %}
{{- "Today Date: " ~ today ~ "\\n" }}
{{- "Reasoning Mode: " + reasoning_mode + "\\n\\n" }}
{{- "## Custom Instructions\\n\\n" }}
{%- if custom_instructions %}
{{- custom_instructions + "\\n\\n" }}
{%- elif reasoning_mode == "/think" %}
{{- "You are a helpful AI assistant named SmolLM, trained by Hugging Face. Your role as an assistant \
involves thoroughly exploring questions through a systematic thinking process.\\n\\n" }}
{%- else %}
{{- "You are a helpful AI assistant named SmolLM, trained by Hugging Face.\\n\\n" }}
{%- endif %}
{{- "<|im_end|>\\n" }}
{%- for message in messages %}
{%- set content = message.content if message.content is string else "" %}
{%- if message.role == "user" %}
{{- "<|im_start|>" + message.role + "\\n" + content + "<|im_end|>\\n" }}
{%- elif message.role == "assistant" %}
{% generation %}
{%- if reasoning_mode == "/think" %}
{{- "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
{%- else %}
{{- "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
{%- endif %}
{% endgeneration %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{%- if reasoning_mode == "/think" %}
{{- "<|im_start|>assistant\\n" }}
{%- else %}
{{- "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" }}
{%- endif %}
{%- endif %}"""

# The end of text after the last turn of all, and no line breaks between the turns.
PHI4_MINI = (
    "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and"
    " message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] +"
    " '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' +"
    " message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)

# Roles are plain text; one token is the beginning and the end of a text.
OLMO2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}"
    "{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}"
    "{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}"
    "{% else %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)

# A date in the system turn; `thinking` asks for thoughts between the usual tags.
GRANITE = """\
{%- if messages[0]['role'] == 'system' %}
{%- set system_message = messages[0]['content'] %}
{%- set loop_messages = messages[1:] %}
{%- else %}
{%- set system_message = "Knowledge Cutoff Date: April 2024.\\nToday's Date: " + strftime_now('%B %d, %Y') + \
".\\nYou are Granite, developed by IBM." %}
{%- if thinking %}
{%- set system_message = system_message + " You are a helpful AI assistant.\\nRespond to every user query in a \
comprehensive and detailed way. You can write down your thoughts and reasoning process before responding. Write your \
thoughts between <think></think> and your response between <response></response> for each user query." %}
{%- else %}
{%- set system_message = system_message + " You are a helpful AI assistant." %}
{%- endif %}
{%- set loop_messages = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- for message in loop_messages %}
{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
{%- if loop.last and add_generation_prompt %}
{{- '<|start_of_role|>assistant' }}
{%- if controls %}{{- ' ' + controls | tojson() }}{%- endif %}
{{- '<|end_of_role|>' }}
{%- endif %}
{%- endfor %}"""
