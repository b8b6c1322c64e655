"""The card or processor that trains: what it has, and how fast it really multiplies matrices."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

GIB = float(1 << 30)
CUDA_SIDES = (1024, 8192)  # smallest and largest square matrix that is measured
CPU_SIDES = (64, 1024)
MEASURING_SECONDS = 0.1  # for each precision
BF16_WORTH_IT = 1.5  # times the speed of float32 on a processor: below, the casts eat the gain


@dataclass(frozen=True, slots=True)
class Card:
    """Where training runs, as data: plans are made from it, also for a card that is not here."""

    name: str
    kind: Literal["cuda", "mps", "cpu"]
    total_gib: float
    free_gib: float
    bf16: bool
    # measured matrix products a second in the training precision; 0: not measured
    peak_tflops: float = 0.0

    @property
    def device(self) -> str:
        """The device's name in PyTorch: "cuda:0", "mps", "cpu"."""
        if self.kind == "cuda":
            return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        return self.kind


def find_card() -> Card:
    """The first GPU, or the processor."""
    import torch

    if torch.cuda.is_available():
        index = int(os.environ.get("LOCAL_RANK", "0"))
        free, total = torch.cuda.mem_get_info(index)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        peak = matrix_peak(f"cuda:{index}", "bf16" if bf16 else "fp32")
        return Card(torch.cuda.get_device_name(index), "cuda", total / GIB, free / GIB, bf16, peak)
    total_gib, free_gib = _memory_gib()
    if torch.backends.mps.is_available():
        return Card("Apple GPU", "mps", total_gib, free_gib * 0.7, bf16=False)
    name = f"processor, {torch.get_num_threads()} threads"
    # Processors differ: with matrix units for bfloat16 it is two or three times as fast, without
    # them slower.
    fp32_peak = matrix_peak("cpu", "fp32")
    bf16_peak = matrix_peak("cpu", "bf16")
    bf16 = bf16_peak > BF16_WORTH_IT * fp32_peak
    return Card(name, "cpu", total_gib, free_gib, bf16, bf16_peak if bf16 else fp32_peak)


def used_gib(card: Card) -> float:
    """The most that was allocated on the GPU, or this process's memory now."""
    if card.kind == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated()) / GIB
    with open("/proc/self/statm") as file:
        resident_pages = int(file.read().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE") / GIB


def limit_memory(gib: float, card: Card) -> None:
    """Let this process take no more than `gib` of its card; 0: no limit. What does not fit is then
    out of memory, as on a card of that size.
    """
    if gib and card.kind == "cuda" and gib < card.total_gib:
        import torch

        torch.cuda.set_per_process_memory_fraction(gib / card.total_gib, card.device)


def matrix_peak(device: str, dtype: str) -> float:
    """TFLOP/s of a square matrix product on random numbers, as large a one as MEASURING_SECONDS
    allow.

    Small first: without instructions for bfloat16 a processor takes two seconds for a product that
    others make in five milliseconds, and every start would wait for it.
    """
    import torch

    size, largest = CUDA_SIDES if device.startswith("cuda") else CPU_SIDES
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32

    def factors(side: int) -> tuple[Any, Any]:
        return (
            torch.randn(side, side, device=device, dtype=kind),
            torch.randn(side, side, device=device, dtype=kind),
        )

    _product_seconds(*factors(CPU_SIDES[0]))  # the first one loads the library
    deadline = time.perf_counter() + MEASURING_SECONDS
    while True:
        pair = factors(size)
        seconds = min(_product_seconds(*pair) for _ in range(2))
        next_seconds = 2 * 8 * seconds  # twice the side is eight times the work, done twice
        if size == largest or time.perf_counter() + 2 * next_seconds > deadline:
            break
        size *= 2
    for _ in range(6):  # the best of a few, since clocks have to rise
        if time.perf_counter() + seconds > deadline:
            break
        seconds = min(seconds, _product_seconds(*pair))
    return 2 * size**3 / seconds / 1e12


def _product_seconds(factor: Any, another_factor: Any) -> float:
    import torch

    start = time.perf_counter()
    factor @ another_factor
    if factor.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _memory_gib() -> tuple[float, float]:
    """(all, available) memory of the machine, or of the container that is smaller."""
    import psutil

    memory = psutil.virtual_memory()
    total = float(memory.total)
    free = float(memory.available)
    try:
        ceiling = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        in_use = float(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return total / GIB, free / GIB
    if ceiling != "max":
        total = min(total, float(ceiling))
        free = min(free, float(ceiling) - in_use)
    return total / GIB, free / GIB
