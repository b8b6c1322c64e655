"""transformers' continuous batching, as the evaluation's benchmark runs it."""

import time
from pathlib import Path

import torch


def continuous(
    folder: Path, texts: list[str], lengths: list[int], device: str
) -> tuple[float, int]:
    """(seconds, tokens) of transformers' continuous batching, what `generate_batch` runs, for
    answers of these lengths to `texts`. Loading and its warm-up are not counted.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.generation.continuous_batching.utils import WorkloadHints

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    never = len(tokenizer) + 1  # a token that is never chosen ends no answer before its limit
    greedy = GenerationConfig(do_sample=False, max_new_tokens=max(lengths), eos_token_id=never)
    hints = WorkloadHints(max(map(len, prompts)), max(lengths), len(prompts))
    made: list[int] = []
    with (
        torch.no_grad(),
        model.continuous_batching_context_manager(greedy, workload_hints=hints) as manager,
    ):
        began = time.perf_counter()
        for prompt, length in zip(prompts, lengths, strict=True):
            manager.add_request(prompt, max_new_tokens=length)
        while len(made) < len(lengths):
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                made.append(len(result.generated_tokens))
            elif result is None and not manager.is_running():
                raise SystemExit("transformers' continuous batching ended by itself")
        seconds = time.perf_counter() - began
    assert sorted(made) == sorted(lengths), "transformers' continuous batching left the schedule"
    return seconds, sum(lengths)
