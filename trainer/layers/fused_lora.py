"""The layers of a LoRA model in fewer passes over memory: the sums of PEFT and transformers, in
fewer kernels.

What slows a LoRA step down is not its large products but what lies between them. For y = W x + s B
A x PEFT writes four tensors of y's size, and autograd adds up two of x's. Here the adapter rides in
the large products themselves (T tokens, s = alpha / r, M' the transpose of M):

    gate, up     [x | s x A'] [W | B]'       one product for base and adapter; both projections share [x | s x A']
    down         its gradient likewise: [dy | dy B] [W ; s A]
    q, k, v, o   y = (s x A') B';  y += x W' the large product adds into the small one

Shapes: x [T, in], W [out, in], A [r, in], B [out, r]. In the code a gradient to a tensor is named
grad_ and the tensor; `x_a` is x through A, the r numbers of each token.

The adapter never comes last, as it does in PEFT: a young one is smaller than half of what bfloat16
can tell apart at y's size, so a rounded x W' would swallow it. After the first update of a 7B
student nine tenths of down's adapter went that way, and three quarters of the others'
(docs/experiments/trainer.md). A product that adds to the adapter's share rounds once, at the end.

For that, the frozen weights of gate, up and down live in a slightly wider matrix that has room for
the adapter. What the optimiser moves stays where PEFT keeps it, in float32; before each forward
pass it is copied to where it is used.

On an NVIDIA GPU with Liger's kernels installed, RMSNorm, SiLU x up and the rotary embedding take
one kernel each. Nothing here is needed to be right: without it the same loss comes out, slower
(tests/trainer/layers/test_fused_lora.py).
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.layers.liger import use_liger
from trainer.layers.lora_adapters import Adapter, AdapterCopies, is_plain_lora, matmul

Gated = Callable[[Tensor, Tensor], Tensor]


MLP = ("gate_proj", "up_proj", "down_proj")


SILU = ("SiLU", "SiLUActivation")


def fuse(model: Any, *, gpu: bool) -> None:
    """Give the layers of `model` (with or without adapters) their shorter way. In place; saved
    weights do not change.

    Layers that are not what is expected (4-bit weights, dropout, DoRA, another activation) keep
    their own way.
    """
    liger = gpu and has_liger()
    gated_product: Gated = _silu_mul
    if liger:
        from liger_kernel.ops import LigerSiLUMulFunction

        gated_product = LigerSiLUMulFunction.apply
    lora_layers = [module for module in model.modules() if is_plain_lora(module)]
    mlps = [module for module in model.modules() if _is_gated_mlp(module)]
    mlp_layers = {id(getattr(mlp, name)) for mlp in mlps for name in MLP}
    linears = [_Linear(module) for module in lora_layers if id(module) not in mlp_layers]
    adapters = [linear.adapter for linear in linears]
    for mlp in mlps:
        adapters += _Mlp(mlp, gated_product).adapters
    _refresh_before_forward(model, adapters)
    use_gpu_kernels(model, gpu=gpu)


def fuse_linear_maps(model: Any) -> None:
    """Give each LoRA layer of `model` its shorter way on its own, the MLP's as well: nothing
    is kept of a frozen weight, which may be a shard (`trainer.layers.sharding`). In place.
    """
    lora_layers = [module for module in model.modules() if is_plain_lora(module)]
    _refresh_before_forward(model, [_Linear(module).adapter for module in lora_layers])


def _refresh_before_forward(model: Any, adapters: list[Adapter]) -> None:
    if not adapters:
        return
    copies = AdapterCopies(adapters)
    model.get_base_model().get_decoder().register_forward_pre_hook(lambda *_: copies.refresh())


def use_gpu_kernels(model: Any, *, gpu: bool) -> None:
    """Liger's norms and rotations on a GPU, where installed. In place."""
    if gpu and has_liger():
        use_liger(model)


def has_liger() -> bool:
    """Whether Liger's kernels are installed."""
    return all(importlib.util.find_spec(name) for name in ("liger_kernel", "triton"))


class _Linear:
    """A LoRA layer on its own: q, k, v, o; of a sharded model all of them."""

    def __init__(self, module: Any) -> None:
        self.adapter = Adapter.of(module)
        self.module = module
        module.forward = self

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        adapter = self.adapter
        base = adapter.base
        if args or kwargs or adapter.is_bypassed(x):
            plain_out: Tensor = type(self.module).forward(self.module, x, *args, **kwargs)
            return plain_out
        tokens = x.reshape(-1, x.shape[-1]).to(base.weight.dtype)  # [T, in]
        out: Tensor = _LoraLinear.apply(tokens, base, adapter, *adapter.masters)  # [T, out]
        return out.view(*x.shape[:-1], -1)


class _LoraLinear(torch.autograd.Function):  # type: ignore[misc]
    """[T, in] -> [T, out]: s (x A') B' + x W' + bias, in this order."""

    @staticmethod
    def forward(context: Any, x: Tensor, base: Any, adapter: Adapter, *_: Tensor) -> Tensor:
        x_a = x @ adapter.a.T  # [T, r], scaled: `adapter.a` is s A
        out = (x_a @ adapter.b.T).addmm_(x, base.weight.T)
        if base.bias is not None:
            out += base.bias  # larger than a young adapter, so not before the product either
        context.save_for_backward(x, x_a)
        context.base = base
        context.adapter = adapter
        return out

    @staticmethod
    def backward(
        context: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, None, None, Tensor, Tensor]:
        (grad_output,) = grad_outputs  # [T, out]
        x, x_a = context.saved_tensors
        adapter = context.adapter
        grad_x_a = grad_output @ adapter.b  # [T, r]
        grad_x = None
        if context.needs_input_grad[0]:
            grad_x = (grad_output @ context.base.weight).addmm_(grad_x_a, adapter.a)  # [T, in]
        a, b = adapter.masters
        grad_a = matmul(grad_x_a.T, x, a.dtype).mul_(adapter.scale)  # [r, in]
        grad_b = matmul(grad_output.T, x_a, b.dtype)  # [out, r]
        return grad_x, None, None, grad_a, grad_b


class _Mlp:
    """down(act(gate(x)) * up(x)) with an adapter on each of the three.

    The wide matrices of gate and up have room for both adapters, though each uses its own half and
    has zeros in the other: so one [x | s x A_gate' | s x A_up'] serves both.
    """

    def __init__(self, module: Any, gated: Gated) -> None:
        self.module = module
        self.gated = gated
        gate, up, down = (getattr(module, name) for name in MLP)
        gate_rank, up_rank, down_rank = (_rank(layer) for layer in (gate, up, down))
        self.inputs = gate.base_layer.weight.shape[1]
        self.rank = gate_rank
        self.wide_gate = _widen(gate.base_layer.weight, gate_rank + up_rank)
        self.wide_up = _widen(up.base_layer.weight, gate_rank + up_rank)
        self.tall_down = _heighten(down.base_layer.weight, down_rank)
        middle = self.inputs + self.rank
        self.gate = Adapter.of(gate, b=self.wide_gate[:, self.inputs : middle])
        self.up = Adapter.of(up, b=self.wide_up[:, middle:])
        self.down = Adapter.of(down, a=self.tall_down[-down_rank:])
        self.adapters = (self.gate, self.up, self.down)
        module.forward = self

    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        if any(adapter.is_bypassed(x) for adapter in self.adapters):
            plain_out: Tensor = type(module).forward(module, x)
            return plain_out
        tokens = x.reshape(-1, x.shape[-1]).to(self.wide_gate.dtype)  # [T, in]
        gate, up = _GateUp.apply(tokens, self, *self.gate.masters, *self.up.masters)
        inner = self.gated(gate, up)  # [T, inner]
        # The adapter first, the large product last. PyTorch stops computing a checkpointed layer
        # again once all that its backward pass saved is there: then this product, which saves
        # nothing, is never begun a second time.
        a, b = self.down.masters
        # Detached: `_Down` sends the gradient of both ways to `inner`.
        inner_a = inner.detach() @ (a * self.down.scale).to(inner.dtype).T  # [T, r]
        adapter_out = inner_a @ b.to(inner.dtype).T  # [T, out]
        out: Tensor = _Down.apply(inner, adapter_out, self)
        return out.view(*x.shape[:-1], -1)


def _rank(lora_layer: Any) -> int:
    (name,) = lora_layer.active_adapters
    return int(lora_layer.lora_A[name].weight.shape[0])


def _widen(weight: Tensor, ranks: int) -> Tensor:
    """[W | room for adapters]: [out, in + ranks]; the weight becomes a view of it."""
    wide = weight.new_zeros(weight.shape[0], weight.shape[1] + ranks)
    wide[:, : weight.shape[1]] = weight.detach()
    weight.data = wide[:, : weight.shape[1]]
    return wide


def _heighten(weight: Tensor, rank: int) -> Tensor:
    """[W ; room for an adapter]: [out + rank, in]; the weight becomes a view of it."""
    tall = weight.new_zeros(weight.shape[0] + rank, weight.shape[1])
    tall[: weight.shape[0]] = weight.detach()
    weight.data = tall[: weight.shape[0]]
    return tall


class _GateUp(torch.autograd.Function):  # type: ignore[misc]
    """[T, in] -> two of [T, inner]."""

    @staticmethod
    def forward(context: Any, x: Tensor, mlp: _Mlp, *_: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.cat((x, x @ mlp.gate.a.T, x @ mlp.up.a.T), 1)  # [T, in + ranks]
        context.save_for_backward(wide)
        context.mlp = mlp
        gate = functional.linear(wide, mlp.wide_gate, mlp.gate.base.bias)
        up = functional.linear(wide, mlp.wide_up, mlp.up.base.bias)
        return gate, up

    @staticmethod
    def backward(context: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_gate, grad_up = grad_outputs  # [T, inner] each
        (wide,) = context.saved_tensors
        mlp = context.mlp
        inputs = mlp.inputs
        middle = inputs + mlp.rank
        # One product a projection gives the gradients to x and to x through both A's.
        grad_wide = (grad_gate @ mlp.wide_gate).addmm_(grad_up, mlp.wide_up)  # [T, in + ranks]
        x = wide[:, :inputs]
        x_a_gate = wide[:, inputs:middle]  # [T, r]
        x_a_up = wide[:, middle:]
        grad_x_a_gate = grad_wide[:, inputs:middle]
        grad_x_a_up = grad_wide[:, middle:]
        grad_x = grad_wide[:, :inputs].addmm(grad_x_a_gate, mlp.gate.a)
        grad_x.addmm_(grad_x_a_up, mlp.up.a)
        dtype = mlp.gate.masters[0].dtype
        return (
            grad_x,
            None,
            matmul(grad_x_a_gate.T, x, dtype).mul_(mlp.gate.scale),
            matmul(grad_gate.T, x_a_gate, dtype),
            matmul(grad_x_a_up.T, x, dtype).mul_(mlp.up.scale),
            matmul(grad_up.T, x_a_up, dtype),
        )


class _Down(torch.autograd.Function):  # type: ignore[misc]
    """[T, inner] and the adapter's share [T, out] -> [T, out]. Its gradient to `inner` is that
    of both ways.
    """

    @staticmethod
    def forward(context: Any, inner: Tensor, adapter_out: Tensor, mlp: _Mlp) -> Tensor:
        context.mlp = mlp
        context.mark_dirty(adapter_out)
        out = adapter_out.addmm_(inner, mlp.down.base.weight.T)
        if mlp.down.base.bias is not None:
            out += mlp.down.base.bias
        return out

    @staticmethod
    def backward(context: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad_output,) = grad_outputs  # [T, out]
        mlp = context.mlp
        wide = torch.cat((grad_output, grad_output @ mlp.down.b), 1)  # [T, out + r]
        return wide @ mlp.tall_down, grad_output, None


def _silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    return functional.silu(gate) * up


def _is_gated_mlp(module: Any) -> bool:
    """The MLP of Llama and Qwen: three projections and SiLU, every one of them with a plain
    adapter.
    """
    activation = type(getattr(module, "act_fn", None)).__name__
    if not type(module).__name__.endswith("MLP") or activation not in SILU:
        return False
    return all(is_plain_lora(getattr(module, name, None)) for name in MLP)
