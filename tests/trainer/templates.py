"""Chat templates that behave as the ones in the field do, written for these tests."""

# Qwen2.5: inserts a system text of its own where the conversation has none.
QWEN = """\
{%- if messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>system\\nYou are a test model, created by nobody.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message['role'] != 'system' %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# Plain ChatML (SmolLM2's shape without its default).
CHATML = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# R1-Distill: opens the thinking in the generation prompt and deletes it from every assistant turn
# it shows.
R1_DISTILL = """\
{{- '<bos>' }}
{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}{%- endif %}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{- '<User>' + message['content'] }}{%- endif %}
{%- if message['role'] == 'assistant' %}
{{- '<Assistant>' + message['content'].split('</think>')[-1] + '<end>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<Assistant><think>\\n' }}{%- endif %}"""

# Gemma: refuses system messages.
NO_SYSTEM = """\
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{%- endif %}
{%- for message in messages %}
{{- '<start>' + message['role'] + '\\n' + message['content'] + '<stop>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start>assistant\\n' }}{%- endif %}"""
