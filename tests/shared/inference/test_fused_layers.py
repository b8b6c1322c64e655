"""A kernel that says something else than the model's own code is not used."""

import torch

from shared.inference.fused_layers import CheckedKernel

X = torch.linspace(-3, 3, 7)


def own(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def rounded(x: torch.Tensor) -> torch.Tensor:
    return x * 2.001


def wrong(x: torch.Tensor) -> torch.Tensor:
    return x * 2.1


def of_another_type(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).double()


def not_for_this_shape(x: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError(x.shape)


def test_the_first_kernel_that_agrees_is_called_from_the_second_call_on() -> None:
    checked = CheckedKernel(own, [wrong, of_another_type, not_for_this_shape, rounded])
    assert checked(X).tolist() == own(X).tolist()
    assert checked(X).tolist() == rounded(X).tolist()


def test_where_no_kernel_agrees_the_models_own_code_stays() -> None:
    for kernels in ([wrong, of_another_type, not_for_this_shape], []):
        checked = CheckedKernel(own, kernels)
        assert [checked(X).tolist() for _ in range(2)] == [own(X).tolist()] * 2


def test_several_results_must_agree_each() -> None:
    checked = CheckedKernel(lambda x: (own(x), own(x)), [lambda x: (own(x), wrong(x))])
    checked(X)
    assert [result.tolist() for result in checked(X)] == [own(X).tolist()] * 2
