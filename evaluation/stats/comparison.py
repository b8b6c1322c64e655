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


# Of a benchmark in comparison.json, or one model's summary in it.
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem answered by both models."""

    id: str
    base: Sequence[Case]
    tuned: Sequence[Case]

    @property
    def fixed(self) -> bool:
        """Wrong before, right after."""
        return not right(self.base) and right(self.tuned)

    @property
    def broken(self) -> bool:
        """Right before, wrong after."""
        return right(self.base) and not right(self.tuned)


def share(samples: Sequence[Case]) -> float:
    """The share of a problem's samples that are correct; of graded ones their mean score."""
    return sum(case.points for case in samples) / len(samples)


def right(samples: Sequence[Case]) -> bool:
    """Whether a problem counts as right: more than half of its samples are, or of their scores."""
    return share(samples) > 0.5


def cause(failed_samples: Sequence[Case]) -> Cause:
    """Why a problem was failed that the other model solved.

    It never finished, it gave no box, or its reasoning was wrong.
    """
    case = next(case for case in failed_samples if not case.correct)
    if case.unfinished:
        return "finishing"
    return "reasoning" if case.boxed else "format"


def pairs_of(base: Cases, tuned: Cases) -> list[Pair]:
    """The problems that both have answered, in the base's order."""
    return [Pair(id_, base[id_], tuned[id_]) for id_ in base if id_ in tuned]


def summary(model: str, cases: Cases) -> dict[str, Any]:
    """One model on one benchmark: the "base" or "tuned" of an entry in comparison.json."""
    samples = [case for group in cases.values() for case in group]
    n = len(cases)
    samples_per_problem = len(next(iter(cases.values()), ()))
    score = sum(share(group) for group in cases.values())
    correct = _correct_count(samples)
    tokens = sum(case.answer.completion_tokens for case in samples)
    entry: dict[str, Any] = {
        "model": model,
        "correct": correct if samples_per_problem == 1 else round(score, 6),
        "accuracy": score / n if n else 0.0,
        "wilson95": list(wilson(score, n)),
        "unfinished": len([case for case in samples if case.unfinished]),
        "no_box": len([case for case in samples if not case.boxed and not case.unfinished]),
        "mean_tokens": tokens / len(samples) if samples else 0.0,
        "tokens_per_correct": tokens / correct if correct else None,
        "by_length": by_length(samples),
        "second_opinion": _second_opinions(samples),
    }
    if samples_per_problem > 1:
        entry["samples"] = samples_per_problem
        entry["pass_at_k"] = _pass_at_k(cases, samples_per_problem)
    return entry


def _correct_count(samples: Sequence[Case]) -> int:
    return len([case for case in samples if case.correct])


def _second_opinions(samples: Sequence[Case]) -> dict[str, Any]:
    cases = [case for case in samples if case.second_opinion is not None]
    return {
        "correct": len([case for case in cases if case.second_opinion]),
        "asked": len(cases),
        "disagreements": [
            f"{case.question.id}:{case.sample}"
            for case in cases
            if case.second_opinion != case.correct
        ],
    }


def _pass_at_k(cases: Cases, samples_per_problem: int) -> dict[str, float]:
    """Mean pass@k over the problems, for powers of two up to all samples: {"1": …, "2": …}."""
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k < samples_per_problem]
    correct_counts = [_correct_count(group) for group in cases.values()]
    means = {}
    for k in [*ks, samples_per_problem]:
        chances = [pass_at_k(samples_per_problem, correct, k) for correct in correct_counts]
        means[str(k)] = sum(chances) / len(chances)
    return means


def by_length(samples: Sequence[Case]) -> list[dict[str, int]]:
    """Answers and right answers by length in tokens: {"from", "below", "n", "correct"}.

    Empty bins are left out.
    """
    bins = []
    for low, high in zip(_LENGTH_BINS, [*_LENGTH_BINS[1:], 1 << 40], strict=True):
        cases = [case for case in samples if low <= case.answer.completion_tokens < high]
        if cases:
            correct = _correct_count(cases)
            bins.append({"from": low, "below": high, "n": len(cases), "correct": correct})
    return bins


def compare(base_model: str, base: Cases, tuned_model: str, tuned: Cases) -> dict[str, Any]:
    """One benchmark's entry in comparison.json, over the problems that both have answered."""
    pairs = pairs_of(base, tuned)
    n = len(pairs)
    fixed_pairs = [pair for pair in pairs if pair.fixed]
    broken_pairs = [pair for pair in pairs if pair.broken]
    differences = [share(pair.tuned) - share(pair.base) for pair in pairs]
    p_value = mcnemar_exact(len(fixed_pairs), len(broken_pairs))
    discordant_share = (len(fixed_pairs) + len(broken_pairs)) / n if n else 0.0
    entry: dict[str, Any] = {
        "n": n,
        "base": summary(base_model, {pair.id: pair.base for pair in pairs}),
        "tuned": summary(tuned_model, {pair.id: pair.tuned for pair in pairs}),
        "fixed": len(fixed_pairs),
        "broken": len(broken_pairs),
        "difference": sum(differences) / n if n else 0.0,
        "interval95": list(paired_bootstrap(differences)),
        "mcnemar_p": p_value,
        "significant": p_value < 0.05,
        "detectable_difference": detectable_difference(n, discordant_share),
        "gain": _count([cause(pair.base) for pair in fixed_pairs]),
        "loss": _count([cause(pair.tuned) for pair in broken_pairs]),
    }
    entry["says"] = says(entry)
    entry["warnings"] = [*_warnings(entry), *_unequal_fields(base, tuned), *_graded(pairs)]
    return entry


def comparisons_of(entry: Entry) -> list[Entry]:
    """A benchmark's comparisons with the base: the entry's own, then those of further models."""
    return [entry, *entry.get("others", ())]


def _graded(pairs: Sequence[Pair]) -> list[str]:
    """A warning where answers are more or less right, and p goes by a line drawn between."""
    points = {case.points for pair in pairs for case in (*pair.base, *pair.tuned)}
    if points <= {0.0, 1.0}:
        return []
    return ["scores lie between 0 and 1: p counts a problem as right above one half"]


def refused_fields(cases: Cases) -> set[str]:
    """The fields that an endpoint refused for at least one of these answers."""
    return {
        field for group in cases.values() for case in group for field in case.answer.refused_fields
    }


def _unequal_fields(base: Cases, tuned: Cases) -> list[str]:
    """Warnings where some answers were asked with a field that others could not be asked with."""
    roles = {"base": base, "tuned": tuned}
    answers = [
        case.answer for cases in roles.values() for group in cases.values() for case in group
    ]
    warnings = []
    for field in sorted(refused_fields(base) | refused_fields(tuned)):
        refused_count = len([answer for answer in answers if field in answer.refused_fields])
        if refused_count < len(answers):
            places = [role for role, cases in roles.items() if field in refused_fields(cases)]
            warnings.append(
                f"asked unlike: {refused_count} of {len(answers)} answers ({' and '.join(places)})"
                f" without {field}, which the server refused"
            )
    return warnings


def says(entry: Entry) -> str:
    """The result in one sentence that claims no more than it shows."""
    low, high = entry["interval95"]
    numbers = (
        f"{100 * entry['difference']:+.1f} points"
        f" (95% interval {100 * low:+.1f} to {100 * high:+.1f};"
        f" McNemar p = {show_p(entry['mcnemar_p'])})"
    )
    if not entry["significant"]:
        return f"not significant: {numbers}"
    direction = "better" if entry["fixed"] > entry["broken"] else "worse"
    return f"{direction}: {numbers}"


def show_p(p: float) -> str:
    """A p value in few digits: 0.25, 0.0031; around 0.05 so many that the side of it is told."""
    if p < 0.01:
        return f"{p:.2g}"
    return f"{p:.2f}" if f"{p:.2f}" != "0.05" else f"{p:.3g}"


def _warnings(entry: Entry) -> list[str]:
    n = entry["n"]
    warnings = []
    if n < FEW:
        warnings.append(f"{n} problems are few: {_reach(entry)} would mostly go unseen (power 80%)")
    low, high = entry["interval95"]
    excludes_zero = low > 0 or high < 0
    if excludes_zero and not entry["significant"]:  # a bootstrap of few changes is too sure of them
        warnings.append(
            "the interval leaves out 0 and p does not agree: too few answers changed sides; go by p"
        )
    for role in ("base", "tuned"):
        opinion = entry[role]["second_opinion"]
        disagreement_count = len(opinion["disagreements"])
        if disagreement_count > max(2, 0.02 * opinion["asked"]):
            warnings.append(
                f"lighteval's own metric judges {disagreement_count} of the {role} model's answers"
                " otherwise: see the list"
            )
    return warnings


def _reach(entry: Entry) -> str:
    """What few problems mostly do not show."""
    detectable = entry["detectable_difference"]
    if detectable < 1:
        return f"differences under {100 * detectable:.0f} points"
    discordant_count = entry["fixed"] + entry["broken"]  # too few, even if all pointed one way
    if discordant_count:
        return f"a difference that shows on {discordant_count} of them"
    return "small differences"


def _count(causes: Sequence[Cause]) -> dict[str, int]:
    return {name: causes.count(name) for name in CAUSES}
