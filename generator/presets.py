"""Providers as data: where they are, what they call R1 and its kin, what they allow. They age:
`checked` says how much.

    [[lane]]
    name = "deepseek"
    preset = "deepseek-off-peak"     # every key below may still be set by hand

A price of 0 is "not known here", never "free of charge"; prices are USD per million tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """Values for the keys of a `[[lane]]`."""

    checked: str  # when these values were last compared with the provider's documentation
    about: str
    lane: Mapping[str, Any]


# DeepSeek counts China's public holidays as off-peak (General Office of the State Council, list for
# 2026).
CHINESE_HOLIDAYS = tuple(
    f"2026-{month:02d}-{day:02d}"
    for month, first_day, last_day in (
        (1, 1, 3),
        (2, 15, 23),
        (4, 4, 6),
        (5, 1, 5),
        (6, 19, 21),
        (9, 25, 27),
        (10, 1, 7),
    )
    for day in range(first_day, last_day + 1)
)
_OFF_PEAK = (
    "mon-fri 00:00-09:00 Asia/Shanghai",
    "mon-fri 12:00-14:00 Asia/Shanghai",
    "mon-fri 18:00-24:00 Asia/Shanghai",
    "sat-sun 00:00-24:00 Asia/Shanghai",
)
_DEEPSEEK = {
    "base_url": "https://api.deepseek.com/v1",
    "api_key_env": "DEEPSEEK_API_KEY",
    "account": "deepseek",
    "extra_body": {"thinking": {"type": "enabled"}},  # its default; said, so that none changes it
    "require_reasoning": True,
}
_FLASH = {**_DEEPSEEK, "model": "deepseek-flash", "concurrency": 2500}
_PRO = {**_DEEPSEEK, "model": "deepseek-v4-pro", "concurrency": 500}
_ASIDE = {"windows": _OFF_PEAK, "holidays": CHINESE_HOLIDAYS}

PRESETS: Mapping[str, Preset] = {
    "modelscope": Preset(
        "2026-11-24",
        "ModelScope API-Inference: free of charge, 2,000 calls a day over all models, fewer for a"
        " large one. The number that is left comes with every reply and is obeyed.",
        {
            "base_url": "https://api-inference.modelscope.cn/v1",
            "require_reasoning": True,
            "model": "deepseek-ai/DeepSeek-R1-0528",
            "api_key_env": "MODELSCOPE_SDK_TOKEN",
            "concurrency": 16,
            "calls_per_day": 2000,
            "day_timezone": "Asia/Shanghai",
        },
    ),
    "deepseek": Preset(
        "2026-11-15",
        "DeepSeek flash at any hour, counted at the peak price. Concurrency is the account's; it"
        " thinks by default.",
        {**_FLASH, "price_in": 0.30, "price_cached": 0.006, "price_out": 1.20},
    ),
    "deepseek-off-peak": Preset(
        "2026-11-15",
        "DeepSeek flash at half price: nights, midday, weekends and China's public holidays.",
        {**_FLASH, **_ASIDE, "price_in": 0.15, "price_cached": 0.003, "price_out": 0.60},
    ),
    "deepseek-pro": Preset(
        "2026-11-15",
        "DeepSeek V4 Pro at any hour, counted at the peak price.",
        {**_PRO, "price_in": 1.32, "price_cached": 0.044, "price_out": 3.96},
    ),
    "deepseek-pro-off-peak": Preset(
        "2026-11-15",
        "DeepSeek V4 Pro at half price: nights, midday, weekends and China's public holidays.",
        {**_PRO, **_ASIDE, "price_in": 0.66, "price_cached": 0.022, "price_out": 1.98},
    ),
    "siliconflow": Preset(
        "2026-11-24",
        "SiliconFlow: requests and tokens a minute by account tier and model; these are the lowest"
        " tier's.",
        {
            "base_url": "https://api.siliconflow.cn/v1",
            "require_reasoning": True,
            "model": "deepseek-ai/DeepSeek-R1",
            "api_key_env": "SILICONFLOW_API_KEY",
            "requests_per_minute": 1000,
            "tokens_per_minute": 50_000,
        },
    ),
    "bailian": Preset(
        "2026-11-24",
        "Alibaba Cloud Model Studio (Bailian), Beijing: R1 thinks up to 32,768 tokens and answers"
        " up to 16,384. Limits are enforced by the second as well.",
        {
            "base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "require_reasoning": True,
            "model": "deepseek-r1",
            "api_key_env": "DASHSCOPE_API_KEY",
            "max_tokens": 16_384,
        },
    ),
    "bailian-batch": Preset(
        "2026-11-27",
        "Alibaba Cloud Model Studio (Bailian), Beijing, in files at half the price; only answered"
        ' lines are billed. `model = "batch-test-model"` with `batch.url = "/v1/chat/ds-test"`'
        " is free, thinks nothing and takes 100 lines"
        " (https://help.aliyun.com/en/model-studio/batch-interfaces-compatible-with-openai/).",
        {
            "base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "require_reasoning": True,
            "mode": "batch",
            "model": "deepseek-r1",
            "api_key_env": "DASHSCOPE_API_KEY",
            "max_tokens": 16_384,
            "batch": {"lines": 50_000, "megabytes": 500},
        },
    ),
    "siliconflow-batch": Preset(
        "2026-11-27",
        "SiliconFlow in files at half the price, outside its limits a minute; 24 to 336 hours"
        " (https://docs.siliconflow.cn/cn/userguide/guides/batch).",
        {
            "base_url": "https://api.siliconflow.cn/v1",
            "require_reasoning": True,
            "mode": "batch",
            "model": "deepseek-ai/DeepSeek-R1",
            "api_key_env": "SILICONFLOW_API_KEY",
            "batch": {"lines": 5_000, "megabytes": 1_000},
        },
    ),
    "together-batch": Preset(
        "2026-11-27",
        "Together in files at up to half the price, on some models; the 24 hours are its aim, no"
        " promise (https://docs.together.ai/docs/inference/batch/overview).",
        {
            "base_url": "https://api.together.xyz/v1",
            "require_reasoning": True,
            "mode": "batch",
            "model": "deepseek-ai/DeepSeek-R1",
            "api_key_env": "TOGETHER_API_KEY",
            "batch": {"lines": 50_000, "megabytes": 100, "purpose": "batch-api"},
        },
    ),
    "ppio-batch": Preset(
        "2026-11-27",
        "PPIO in files, within 48 hours; files are kept for 15 days"
        " (https://resource.ppio.com/docs/model/llm-batch-api).",
        {
            "base_url": "https://api.ppinfra.com/openai/v1",
            "require_reasoning": True,
            "mode": "batch",
            "model": "deepseek/deepseek-r1",
            "api_key_env": "PPIO_API_KEY",
            "batch": {"lines": 50_000, "megabytes": 100, "window_hours": 48},
        },
    ),
    "infini-batch": Preset(
        "2026-11-27",
        "Infini GenStudio in files; the account's limits a minute apply there too, and the provider"
        " keeps to them itself (https://docs.infini-ai.com/gen-studio/api/tutorial-batch.html).",
        {
            "base_url": "https://cloud.infini-ai.com/maas/v1",
            "require_reasoning": True,
            "mode": "batch",
            "model": "batch-deepseek-r1",
            "api_key_env": "INFINI_API_KEY",
            "batch": {"lines": 50_000, "megabytes": 200},
        },
    ),
    "bailian-hybrid": Preset(
        "2026-11-27",
        "Alibaba Cloud Model Studio (Bailian): a hybrid model, told to think (its page on deep"
        " thinking, https://www.alibabacloud.com/help/en/model-studio/deep-thinking).",
        {
            "base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "require_reasoning": True,
            "model": "deepseek-v3.2",
            "api_key_env": "DASHSCOPE_API_KEY",
            "extra_body": {"enable_thinking": True},
        },
    ),
    "siliconflow-hybrid": Preset(
        "2026-11-27",
        "SiliconFlow: a hybrid model, told to think; max_tokens does not count the thinking there"
        " (https://docs.siliconflow.cn/docs/api/chat-completions-post).",
        {
            "base_url": "https://api.siliconflow.cn/v1",
            "require_reasoning": True,
            "model": "deepseek-ai/DeepSeek-V4-Flash",
            "api_key_env": "SILICONFLOW_API_KEY",
            "extra_body": {"enable_thinking": True, "thinking_budget": 32_768},
            "requests_per_minute": 1000,
            "tokens_per_minute": 50_000,
        },
    ),
    "together": Preset(
        "2026-11-24",
        "Together: the thinking stands in <think> tags inside the content.",
        {
            "base_url": "https://api.together.xyz/v1",
            "require_reasoning": True,
            "model": "deepseek-ai/DeepSeek-R1",
            "api_key_env": "TOGETHER_API_KEY",
        },
    ),
    "openrouter": Preset(
        "2026-11-24",
        "OpenRouter: routes to several hosts; the price is the listed one, a host's may differ.",
        {
            "base_url": "https://openrouter.ai/api/v1",
            "require_reasoning": True,
            "model": "deepseek/deepseek-r1",
            "api_key_env": "OPENROUTER_API_KEY",
            "price_in": 0.70,
            "price_out": 2.50,
        },
    ),
    "vllm": Preset(
        "2026-11-24",
        "Your own vLLM: it queues instead of refusing; the right concurrency is found by the time"
        " to the first token.",
        {
            "base_url": "http://127.0.0.1:8000/v1",
            "model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
            "concurrency": 256,
        },
    ),
    "sglang": Preset(
        "2026-11-24",
        "Your own SGLang: as with vLLM.",
        {
            "base_url": "http://127.0.0.1:30000/v1",
            "model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
            "concurrency": 256,
        },
    ),
    "llama.cpp": Preset(
        "2026-11-24",
        "llama-server on this machine: as many at once as its --parallel.",
        {"base_url": "http://127.0.0.1:8080/v1", "model": "default", "concurrency": 4},
    ),
}


def fill(values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a `[[lane]]` with its preset's values where it has none of its own. Errors:
    `ValueError`.
    """
    name = values.get("preset") or ""
    if not name:
        return dict(values)
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"no preset {name!r}: there are {', '.join(PRESETS)}")
    lane = PRESETS[name].lane
    lane_values = {**lane, **values}
    if isinstance(values.get("batch"), Mapping):
        lane_values["batch"] = {**lane.get("batch", {}), **values["batch"]}
    return lane_values
