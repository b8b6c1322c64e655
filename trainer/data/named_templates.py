"""Chat templates by name, for base models that have none: `data.template = "qwen"`.

Each is written by the convention of its family, for text alone. What ends a turn must be one token
of the model's own tokenizer, which `shared.inference.stop_tokens` checks.
"""

_TURNS = """\
{%- for message in messages %}
{%- if message['role'] != 'system' %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

NAMED_TEMPLATES = {
    # Qwen2.5's, with the system text that it inserts by itself
    "qwen": """\
{%- if messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
"""
    + _TURNS,
    # the same turns, and no system text of its own
    "chatml": """\
{%- if messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- endif %}
"""
    + _TURNS,
    # Llama-3's, without the date that 3.1 and later insert
    "llama3": """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}""",
    # for any tokenizer: roles in words, the end of text ends a turn
    "plain": """\
{{- bos_token if bos_token and bos_token != eos_token else '' }}
{%- for message in messages %}
{%- if message['role'] == 'system' %}
{{- message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' %}
{{- 'User: ' + message['content'] + '\\n\\n' }}
{%- else %}
{{- 'Assistant: ' + message['content'] + eos_token + '\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'Assistant: ' }}{%- endif %}""",
}
