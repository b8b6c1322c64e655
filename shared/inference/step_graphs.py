"""A decode step as CUDA graphs, one for each of a few batch sizes. NVIDIA GPUs only."""

from collections.abc import Callable
from contextlib import nullcontext

import torch

from shared.inference.fused_layers import FusedLayers

# Batch sizes for which a step is captured; a batch between two of them runs as the next larger one.
_GRAPH_SIZES = (
    *(1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 160, 192, 224, 256),
    *(320, 384, 448, 512, 640, 768, 896, 1024),
)


# A step, or its part before a next token is chosen: the first n rows of a batch, none of them longer
# than a span; logits [n, vocabulary].
Step = Callable[[int, int], torch.Tensor]


class StepGraphs:
    """The steps of a batch of at most `rows` rows, each captured when it is first needed.

    `capacity`: positions of a slot. A graph cannot follow how long rows are: it reads whole slots.
    """

    def __init__(
        self,
        rows: int,
        capacity: int,
        fused_layers: FusedLayers | None,
    ) -> None:
        self._rows = rows
        self._capacity = capacity
        self._fused_layers = fused_layers
        # A captured step by its batch size, and the logits [size, vocabulary] that it writes.
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}

    def replay(self, live: int, read: Step, advance: Step) -> torch.Tensor:
        """The step `advance` from its graph, of the smallest size that holds all `live` rows; its
        logits. `read`: the part of it that is warmed up before it is captured.

        The steps are not kept: they are a batch's own, which would live as long as they do.
        """
        sizes = (size for size in _GRAPH_SIZES if live <= size <= self._rows)
        size = next(sizes, self._rows)
        if size not in self._graphs:
            self._graphs[size] = self._capture(size, read, advance)
        graph, logits = self._graphs[size]
        graph.replay()
        return logits

    def _capture(
        self,
        n: int,
        read: Step,
        advance: Step,
    ) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """A step of n rows as a graph, and its logits. Warming up writes what the step itself will
        write again.
        """
        with self._fused_layers.active() if self._fused_layers else nullcontext():
            # Outside the capturing stream, which must not meet what is done once: a library's
            # workspace, a kernel's compilation.
            warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            warm_up.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm_up):
                read(n, self._capacity)
            torch.cuda.current_stream().wait_stream(warm_up)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                logits = advance(n, self._capacity)
        return graph, logits
