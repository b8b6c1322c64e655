"""The order of a run follows from its seed; a micro-batch never changes what a step is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.data_order import micro_batches, run_order


def test_an_epoch_takes_every_example_once_in_an_order_of_its_seed() -> None:
    order = run_order([60, 40], [], 2, seed=1)
    assert sorted(order[:100]) == list(range(100)) == sorted(order[100:])
    assert order == run_order([60, 40], [], 2, seed=1)
    assert order != run_order([60, 40], [], 2, seed=2)
    assert order[:100] != order[100:]


def test_half_an_epoch_is_the_first_half_of_a_whole_one() -> None:
    assert run_order([100], [], 1.5, 0) == run_order([100], [], 2, 0)[:150]


def test_weights_give_each_corpus_its_share_and_use_its_examples_evenly() -> None:
    order = run_order([90, 10], [1, 1], 1, 0)
    counts = Counter(order)
    assert sum(counts[i] for i in range(90)) == 50
    assert sum(counts[i] for i in range(90, 100)) == 50
    assert {counts[i] for i in range(90, 100)} == {5}


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 16), st.integers(1, 400)
)
def test_micro_batches_hold_every_example_once_within_both_limits(
    lengths: list[int], rows: int, tokens: int
) -> None:
    batches = micro_batches(lengths, rows, tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= rows
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= tokens


def test_the_micro_batches_of_a_step_are_even() -> None:
    lengths = [4000, 3100, 2400, 2000, 1800, 1500, 1400, 1200, 1100, 900, 800, 700]
    sizes = [sum(lengths[i] for i in batch) for batch in micro_batches(lengths, 1 << 40, 16_384)]
    assert len(sizes) == 2
    assert max(sizes) <= 1.02 * sum(lengths) / 2
