"""Are the kernels that run on a GPU right? `python benchmarks/trainer_gpu.py --only kernels`."""

from collections.abc import Sequence
from typing import Any


def check_kernels(tiny: dict[str, int], batch: Sequence[Any]) -> dict[str, Any]:
    """The variable-length flash kernel and the chunked loss against plain float32 attention and
    cross-entropy.

    `tiny`: a model's shape, `batch`: examples for it. {} where there is no GPU.
    """
    import torch

    from trainer.layers.linear_cross_entropy import linear_cross_entropy
    from trainer.layers.packed_attention import packed_attention

    if not torch.cuda.is_available():
        return {}
    torch.manual_seed(0)
    sizes = (300, 17, 1, 711)
    shapes = ((1, 12, sum(sizes), 128), (1, 2, sum(sizes), 128), (1, 2, sum(sizes), 128))
    half = [torch.randn(s, device="cuda", dtype=torch.bfloat16, requires_grad=True) for s in shapes]
    full = [t.detach().float().requires_grad_() for t in half]
    starts = torch.tensor([0, 300, 317, 318, 1029, 1029, 1029], device="cuda", dtype=torch.int32)
    out, _ = packed_attention(None, *half, None, cu_seq_lens_q=starts, max_length_q=4096)
    ref, _ = packed_attention(None, *full, None, cu_seq_lens_q=starts)
    slope = torch.randn_like(ref)
    out.backward(slope.to(out.dtype))
    ref.backward(slope)
    errors = [float((out - ref).norm() / ref.norm())]
    errors += [
        float((a.grad - b.grad).norm() / b.grad.norm()) for a, b in zip(half, full, strict=True)
    ]
    hidden = torch.randn(700, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(5000, 256, device="cuda", dtype=torch.bfloat16) * 0.05
    targets = torch.randint(5000, (700,), device="cuda")
    linear_cross_entropy(hidden, weight, targets, 256).backward()
    plain_hidden = hidden.detach().float().requires_grad_()
    torch.nn.functional.cross_entropy(
        plain_hidden @ weight.float().T, targets, reduction="sum"
    ).backward()
    assert hidden.grad is not None
    assert plain_hidden.grad is not None
    errors.append(float((hidden.grad - plain_hidden.grad).norm() / plain_hidden.grad.norm()))
    assert max(errors) < 1e-2, errors
    print("kernels", errors)
    errors += _fused_errors(tiny, batch)
    assert max(errors) < 3e-2, errors
    from trainer.planning.hardware import matrix_peak

    return {"relative_errors": errors, "matrix_peak_tflops": matrix_peak("cuda:0", "bf16")}


def _fused_errors(tiny: dict[str, int], examples: Sequence[Any]) -> list[float]:
    """A small model's loss and adapter gradients: PEFT's layers and fused ones in bfloat16
    against float32.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from trainer.layers.fused_lora import fuse
    from trainer.layers.loss import loss_sum
    from trainer.layers.packed_attention import ATTENTION, register_attention
    from trainer.layers.packing import pack_examples

    register_attention()
    shape = {**tiny, "hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 1024}
    batch = pack_examples(examples).to(torch.device("cuda"))
    found = []
    for dtype, fused in ((torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)):
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(Qwen2Config(**shape, tie_word_embeddings=True)).to("cuda")
        model.set_attn_implementation(ATTENTION)
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, lora)
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16).to(dtype)
        if fused:
            fuse(model, gpu=True)
        model.train()
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = loss_sum(model, batch)
        loss.backward()
        slopes = torch.cat(
            [p.grad.float().flatten() for p in model.parameters() if p.grad is not None]
        )
        found.append((float(loss), slopes))
    (loss, slopes), *others = found
    return [
        error
        for other, slope in others
        for error in (abs(other - loss) / loss, float((slope - slopes).norm() / slopes.norm()))
    ]
