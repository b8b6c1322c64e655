"""Gradients of two processes are summed in as few collectives as their bytes allow."""

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn import Parameter

from trainer.loop.gradient_sum import GradientSum

SHAPES = [(4, 3), (5,), (2, 2), (6, 1), (3,)]


def parameters() -> list[Parameter]:
    """Small ones of two precisions; one that is not trained."""
    new_parameters = [Parameter(torch.zeros(shape)) for shape in SHAPES]
    new_parameters[2] = Parameter(torch.zeros(SHAPES[2], dtype=torch.bfloat16))
    new_parameters[4].requires_grad_(False)
    return new_parameters


def gradients(rank: int) -> list[torch.Tensor | None]:
    """What a rank's backward pass leaves; the second process had no example for one parameter."""
    generator = torch.Generator().manual_seed(rank)
    new_gradients: list[torch.Tensor | None] = [
        torch.randint(9, parameter.shape, generator=generator).to(parameter.dtype)
        for parameter in parameters()
    ]
    new_gradients[4] = None
    if rank == 1:
        new_gradients[1] = None
    return new_gradients


def process(rank: int, folder: Path) -> None:
    """One of two: sums, and writes down what it has then, and how many collectives it took."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2
    )
    plain_all_reduce = distributed.all_reduce
    calls = 0

    def counted(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        return plain_all_reduce(*arguments, **options)

    distributed.all_reduce = counted
    results = []
    for bucket_bytes in (1, 60, 1 << 20):
        calls = 0
        trained_parameters = parameters()
        for parameter, gradient in zip(trained_parameters, gradients(rank), strict=True):
            parameter.grad = gradient
        scalars = GradientSum(trained_parameters, bucket_bytes).all_reduce(
            torch.tensor([1.5, float(rank)])
        )
        results.append((calls, scalars, [parameter.grad for parameter in trained_parameters]))
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sums")
    multiprocessing.spawn(process, args=(path,), nprocs=2)
    return path


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("case", "collectives"), [(0, 4), (1, 4), (2, 3)])
def test_gradients_and_scalars_are_summed_whatever_the_buckets(
    folder: Path, rank: int, case: int, collectives: int
) -> None:
    calls, scalars, sums = torch.load(folder / f"{rank}.pt")[case]
    assert calls == collectives  # a bucket ends where it is full or the precision changes
    assert scalars.tolist() == [3.0, 1.0]
    for parameter, total, a, b in zip(parameters(), sums, gradients(0), gradients(1), strict=True):
        if a is None:
            assert total is None
            continue
        expected = a if b is None else a + b
        assert total.dtype == parameter.dtype
        torch.testing.assert_close(total, expected)


def test_all_matrices_of_a_lora_run_are_one_collective() -> None:
    matrices = [Parameter(torch.zeros(16, 1536)) for _ in range(392)]
    assert len(GradientSum(matrices)._buckets) == 1
