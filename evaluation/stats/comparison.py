"""Base against tuned on one benchmark: how much, how sure, and what the gain is made of. Pure.

With several samples a problem, accuracy is avg@n and a problem counts as right where more than half
of its samples are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.records import Case, Cases
from evaluation.stats.paired import (
    detectable_difference,
    mcnemar_exact,
    paired_bootstrap,
    pass_at_k,
    wilson,
)

Cause = Literal["format", "finishing", "reasoning"]
CAUSES: tuple[Cause, ...] = ("format", "finishing", "reasoning")
FEW = 200  # problems; below, the interval is so wide that the table says it
_LENGTH_BINS = (0, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem answered by both models."""

    id: str
    base: Sequence[Case]
    tuned: Sequence[Case]

    @property
    def fixed(self) -> bool:
        return not right(self.base) and right(self.tuned)

    @property
    def broken(self) -> bool:
        return right(self.base) and not right(self.tuned)


def share(samples: Sequence[Case]) -> float:
    return sum(case.correct for case in samples) / len(samples)


def right(samples: Sequence[Case]) -> bool:
    return share(samples) > 0.5


def cause(failed: Sequence[Case]) -> Cause:
    """Why a problem was failed that the other model solved: it never finished, it gave no box,
    or its reasoning.
    """
    case = next(case for case in failed if not case.correct)
    if case.unfinished:
        return "finishing"
    return "reasoning" if case.boxed else "format"


def pairs_of(base: Cases, tuned: Cases) -> list[Pair]:
    """The problems that both have answered, in the base's order."""
    return [Pair(id_, base[id_], tuned[id_]) for id_ in base if id_ in tuned]


def summary(model: str, cases: Cases) -> dict[str, Any]:
    """One model on one benchmark."""
    samples = [case for group in cases.values() for case in group]
    n, per_problem = len(cases), len(next(iter(cases.values()), ()))
    score = sum(share(group) for group in cases.values())
    correct = sum(case.correct for case in samples)
    tokens = sum(case.answer.completion_tokens for case in samples)
    opinions = [case for case in samples if case.second_opinion is not None]
    found: dict[str, Any] = {
        "model": model,
        "correct": correct if per_problem == 1 else round(score, 6),
        "accuracy": score / n if n else 0.0,
        "wilson95": list(wilson(score, n)),
        "unfinished": sum(case.unfinished for case in samples),
        "no_box": sum(not case.boxed and not case.unfinished for case in samples),
        "mean_tokens": tokens / len(samples) if samples else 0.0,
        "tokens_per_correct": tokens / correct if correct else None,
        "by_length": by_length(samples),
        "second_opinion": {
            "correct": sum(bool(case.second_opinion) for case in opinions),
            "asked": len(opinions),
            "disagreements": [
                f"{case.question.id}:{case.sample}"
                for case in opinions
                if case.second_opinion != case.correct
            ],
        },
    }
    if per_problem > 1:
        ks = sorted({1, 2, 4, 8, 16, 32, 64, per_problem} & set(range(1, per_problem + 1)))
        counts = [sum(case.correct for case in group) for group in cases.values()]
        found["samples"] = per_problem
        found["pass_at_k"] = {
            str(k): sum(pass_at_k(per_problem, c, k) for c in counts) / n for k in ks
        }
    return found


def by_length(samples: Sequence[Case]) -> list[dict[str, int]]:
    """Answers and right answers by length in tokens: {"from", "below", "n", "correct"}, empty
    bins left out.
    """
    bins = []
    for low, high in zip(_LENGTH_BINS, [*_LENGTH_BINS[1:], 1 << 40], strict=True):
        inside = [case for case in samples if low <= case.answer.completion_tokens < high]
        if inside:
            bins.append(
                {
                    "from": low,
                    "below": high,
                    "n": len(inside),
                    "correct": sum(case.correct for case in inside),
                }
            )
    return bins


def compare(base_model: str, base: Cases, tuned_model: str, tuned: Cases) -> dict[str, Any]:
    """One benchmark's entry in comparison.json, over the problems that both have answered."""
    pairs = pairs_of(base, tuned)
    n = len(pairs)
    fixed, broken = [p for p in pairs if p.fixed], [p for p in pairs if p.broken]
    differences = [share(p.tuned) - share(p.base) for p in pairs]
    p_value = mcnemar_exact(len(fixed), len(broken))
    discordant = (len(fixed) + len(broken)) / n if n else 0.0
    low, high = paired_bootstrap(differences)
    found = {
        "n": n,
        "base": summary(base_model, {p.id: p.base for p in pairs}),
        "tuned": summary(tuned_model, {p.id: p.tuned for p in pairs}),
        "fixed": len(fixed),
        "broken": len(broken),
        "difference": sum(differences) / n if n else 0.0,
        "interval95": [low, high],
        "mcnemar_p": p_value,
        "significant": p_value < 0.05,
        "detectable_difference": detectable_difference(n, discordant),
        "gain": _count([cause(p.base) for p in fixed]),
        "loss": _count([cause(p.tuned) for p in broken]),
    }
    return found | {"says": says(found), "warnings": _warnings(found) + _asked_unlike(base, tuned)}


def refused_fields(cases: Cases) -> set[str]:
    """The fields that an endpoint refused for at least one of these answers."""
    return {
        field for group in cases.values() for case in group for field in case.answer.refused_fields
    }


def _asked_unlike(base: Cases, tuned: Cases) -> list[str]:
    """Warnings where some answers were asked with a field that others could not be asked with."""
    sides = {"base": base, "tuned": tuned}
    answers = [
        case.answer for cases in sides.values() for group in cases.values() for case in group
    ]
    warnings = []
    for field in sorted(refused_fields(base) | refused_fields(tuned)):
        lacking = sum(field in answer.refused_fields for answer in answers)
        if lacking < len(answers):
            where = " and ".join(
                role for role, cases in sides.items() if field in refused_fields(cases)
            )
            warnings.append(
                f"asked unlike: {lacking} of {len(answers)} answers ({where}) without {field},"
                " which the server refused"
            )
    return warnings


def says(found: Mapping[str, Any]) -> str:
    """The result in one sentence that claims no more than it shows."""
    points, (low, high) = 100 * found["difference"], (100 * bound for bound in found["interval95"])
    numbers = (
        f"{points:+.1f} points (95% interval {low:+.1f} to {high:+.1f}; McNemar p ="
        f" {show_p(found['mcnemar_p'])})"
    )
    if not found["significant"]:
        return f"not significant: {numbers}"
    return f"{'better' if found['fixed'] > found['broken'] else 'worse'}: {numbers}"


def show_p(p: float) -> str:
    return f"{p:.2g}" if p < 0.01 else f"{p:.2f}"


def _warnings(found: Mapping[str, Any]) -> list[str]:
    n, detectable = found["n"], found["detectable_difference"]
    warnings = []
    if n < FEW:
        discordant = found["fixed"] + found["broken"]
        reach = f"differences under {100 * detectable:.0f} points"
        if detectable >= 1:  # even if all of them pointed one way
            reach = (
                f"a difference that shows on {discordant} of them"
                if discordant
                else "small differences"
            )
        warnings.append(f"{n} problems are few: {reach} would mostly go unseen (power 80%)")
    low, high = found["interval95"]
    if not found["significant"] and (
        low > 0 or high < 0
    ):  # a bootstrap of few changes is too sure of them
        warnings.append(
            "the interval leaves out 0 and p does not agree: too few answers changed sides; go by p"
        )
    for role in ("base", "tuned"):
        missed = len(found[role]["second_opinion"]["disagreements"])
        if missed > max(2, 0.02 * n):
            warnings.append(
                f"lighteval's own metric judges {missed} of the {role} model's answers otherwise:"
                " see the list"
            )
    return warnings


def _count(causes: Sequence[Cause]) -> dict[str, int]:
    return {name: causes.count(name) for name in CAUSES}
