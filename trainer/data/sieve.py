"""Which rows of the corpora may be learnt, column by column, each loss with its reason.

    correct? -> contaminated? -> seen before? -> sound, not too long? -> cap of its problem

A trace that fails one is not asked by the next: one too long does not use its problem's cap up.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from shared.contamination import EvaluationIndex
from shared.records import VERDICTS
from trainer.data.examples import FAULTS, TOO_LONG
from trainer.data.token_table import Column, TokenTable

CONTAMINATED = "a problem that judges the model (data.exclude)"
DUPLICATE = "a duplicate"
OVER_CAP = "over max_per_problem"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Traces that are left out for one reason."""

    count: int
    tokens: int = 0  # of those that only their tokens keep out
    cost_usd: float = 0.0


def reasons(left_out: dict[str, LeftOut]) -> dict[str, int]:
    """How many were left out for each reason, the most frequent first."""
    by_count = sorted(left_out.items(), key=lambda item: -item[1].count)
    return {reason: entry.count for reason, entry in by_count}


class Sieve:
    """The rows that are still in, and what was left out."""

    def __init__(self, table: TokenTable, benchmarks: EvaluationIndex) -> None:
        self._table = table
        self._benchmarks = benchmarks
        self.kept: Column = np.arange(len(table))  # [n] int64
        self.left_out: dict[str, LeftOut] = {}

    def pass_verdicts(self, allowed: Collection[str]) -> None:
        """Only what was graded so."""
        for number, verdict in enumerate(VERDICTS):
            if verdict not in allowed:
                self._drop(f"verdict {verdict}", self._of_kept("verdict") == number)

    def pass_uncontaminated(self) -> None:
        """No problem that judges the model."""
        if not len(self._benchmarks):
            return
        problems = self._of_kept("problem")
        _, firsts, numbers = np.unique(problems, return_index=True, return_inverse=True)
        judging = [
            self._benchmarks.has_copy_of(self._table.texts(int(self.kept[first_row]))[3])
            for first_row in firsts
        ]
        self._drop(CONTAMINATED, np.array(judging, dtype=bool)[numbers])

    def pass_distinct(self) -> None:
        """The first of those with the same words."""
        words = self._of_kept("words")  # [n, 2]
        _, firsts = np.unique(words, axis=0, return_index=True)
        is_first = np.zeros(len(words), dtype=bool)
        is_first[firsts] = True
        self._drop(DUPLICATE, ~is_first)

    def lengths_without_faults(self) -> Column:
        """Tokens of each row that is in and sound, whatever its length."""
        lengths: Column = self._of_kept("length")[self._of_kept("fault") == 0]
        return lengths

    def pass_sound(self, max_length: int) -> None:
        """What is not too long, and teaches the whole form."""
        self._drop(TOO_LONG, self._of_kept("length") > max_length, count_tokens=True)
        for number, fault in enumerate(FAULTS):
            if fault:
                self._drop(fault, self._of_kept("fault") == number, count_tokens=True)

    def pass_cap(self, cap: int) -> None:
        """The first `cap` of each problem; 0: all."""
        if not cap or not len(self.kept):
            return
        problems = self._of_kept("problem")
        order = np.argsort(problems, kind="stable")
        by_problem = problems[order]
        begins = np.r_[True, by_problem[1:] != by_problem[:-1]]
        places = np.arange(len(order))
        numbers = places - np.maximum.accumulate(np.where(begins, places, 0))  # within a problem
        is_over = np.empty(len(order), dtype=bool)
        is_over[order] = numbers >= cap
        self._drop(OVER_CAP, is_over, count_tokens=True, count_cost=False)

    def _of_kept(self, name: str) -> Column:
        column: Column = self._table.column(name)[self.kept]
        return column

    def _drop(
        self,
        reason: str,
        mask: Column,
        *,
        count_tokens: bool = False,
        count_cost: bool = True,
    ) -> None:
        """Take rows out: `mask` [n] bool says which of those that are in."""
        count = int(mask.sum())
        if not count:
            return
        tokens = int(self._of_kept("length")[mask].sum(dtype=np.int64)) if count_tokens else 0
        cost = float(np.nansum(self._of_kept("cost_usd")[mask])) if count_cost else 0.0
        self.left_out[reason] = LeftOut(count, tokens, cost)
        self.kept = self.kept[~mask]
