"""Whether our layers say of a student what transformers says, in the precision of a GPU."""

from typing import Any

from benchmarks.trainer_workload import SHAPES, examples, random_model

EXAMPLES = 6
# Two layers of the real widths; weights large enough that attention is heard in the loss.
CHANGES = {"num_hidden_layers": 2, "initializer_range": 0.05}
WINDOWED = {"layer_types": ["sliding_attention", "full_attention"]}
NO_ROPE = {"no_rope_layers": [1, 0]}


def check_student(shape: str, device: str) -> dict[str, Any]:
    """Loss and adapters' gradients: transformers in float32 row by row, transformers in bfloat16 row
    by row, ours in bfloat16 packed. Relative differences to the first, of both.

    Both have their weights in bfloat16, as in training: with float32 weights under autocast the
    residual stream keeps its digits, and a random model's gradients are ten times nearer.
    """
    import torch

    changes: dict[str, Any] = dict(CHANGES)
    if "sliding_window" in SHAPES[shape]:
        changes |= WINDOWED
    if SHAPES[shape]["model_type"] == "smollm3":
        changes |= NO_ROPE
    data = examples(EXAMPLES, shape)
    model = random_model(shape, **changes)
    exact = _measured(_adapted(model), data, False, "fp32", device)
    if device == "cuda":
        model = model.to(torch.bfloat16)
    theirs = _measured(_adapted(model), data, False, "bf16", device)
    adapted = _adapted(model)
    ours = _measured(adapted, data, True, "bf16" if device == "cuda" else "fp32", device)
    return {
        "loss": exact[0],
        "loss_transformers_bf16": abs(theirs[0] - exact[0]) / exact[0],
        "loss_ours": abs(ours[0] - exact[0]) / exact[0],
        "gradient_transformers_bf16": _distance(theirs[1], exact[1]),
        "gradient_ours": _distance(ours[1], exact[1]),
        "longest": max(map(len, data)),
    }


def _adapted(model: Any) -> Any:
    """The model with the same adapters each time, both halves away from zero."""
    import copy

    import torch
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(copy.deepcopy(model), lora)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in sorted(adapted.named_parameters()):
            if "lora_" in name:
                parameter.data = parameter.data.float()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return adapted


def _measured(
    model: Any, data: list[Any], packed: bool, dtype: str, device: str
) -> tuple[float, Any]:
    """(loss, all gradients of the adapters as one vector)."""
    import torch

    from trainer.layers.fused_lora import fuse
    from trainer.layers.long_rope import rotate_by_own_length
    from trainer.layers.loss import loss_sum
    from trainer.layers.packed_attention import ATTENTION, register_attention
    from trainer.layers.packing import pack_examples

    total = 0.0
    with torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16"):
        if packed:
            register_attention()
            model.set_attn_implementation(ATTENTION)
            rotate_by_own_length(model)
            fuse(model, gpu=device == "cuda")
            loss = loss_sum(model, pack_examples(data).to(torch.device(device)))
            loss.backward()
            total = loss.item()
        for example in [] if packed else data:
            ids = torch.tensor([list(example.ids)], device=device)
            logits = model(input_ids=ids, use_cache=False).logits[0, example.prompt_length - 1 : -1]
            targets = ids[0, example.prompt_length :]
            loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
            loss.backward()
            total += loss.item()
    gradients = [
        parameter.grad.float().flatten()
        for _, parameter in sorted(model.named_parameters())
        if parameter.grad is not None
    ]
    return total, torch.cat(gradients)


def _distance(gradient: Any, exact: Any) -> float:
    return float((gradient - exact).norm() / exact.norm())
