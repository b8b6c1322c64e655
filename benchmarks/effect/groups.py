"""The questions that are asked: each group is one table of docs/experiments/effect.md."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.effect.corpora import Corpus
from benchmarks.effect.training import Setting

RATE = 1e-3  # of LoRA where a group does not vary it; found by the group `rate`
DEFAULT = Setting("2,000 traces", Corpus(), RATE)


@dataclass(frozen=True, slots=True)
class Group:
    """Settings with one batch size, trained side by side and judged on the same held-out
    problems.
    """

    settings: tuple[Setting, ...]
    judge: str = "arithmetic"  # a synthetic kind or "gsm8k"
    questions: int = 300  # 0: all there are
    new_tokens: int = 320


def _vary(name: str, *, corpus: dict[str, object] | None = None, **changes: object) -> Setting:
    return replace(DEFAULT, name=name, corpus=replace(DEFAULT.corpus, **(corpus or {})), **changes)  # type: ignore[arg-type]


def _untrained(**corpus: object) -> Setting:
    return _vary("untrained", method="none", corpus={"problems": 16, **corpus})


def _errors() -> list[Setting]:
    rates = (0.2, 0.5)
    dropped = [
        _vary(f"teacher wrong {rate:.0%}, filtered", corpus={"wrong": rate}) for rate in rates
    ]
    kept = [
        _vary(f"teacher wrong {rate:.0%}, unfiltered", corpus={"wrong": rate, "filtered": False})
        for rate in rates
    ]
    return dropped + kept


_SEEDS = (
    0,
    1,
    2,
)  # of corpus, adapter and order alike: how much one training differs from the next


def _filter() -> tuple[Setting, ...]:
    """2,000 calls of a teacher that errs: all kept, or only what is right, for one epoch or for
    equal steps.
    """
    settings = []
    for seed in _SEEDS:
        settings.append(_vary(f"teacher right, seed {seed}", seed=seed, corpus={"seed": seed}))
        for rate in (0.2, 0.5):
            name, errs = f"wrong {rate:.0%}", {"wrong": rate, "seed": seed}
            unfiltered = {**errs, "filtered": False}
            settings += [
                _vary(f"{name}, unfiltered, seed {seed}", seed=seed, corpus=unfiltered),
                _vary(f"{name}, filtered, one epoch, seed {seed}", seed=seed, corpus=errs),
                _vary(
                    f"{name}, filtered, as many steps, seed {seed}",
                    seed=seed,
                    corpus=errs,
                    steps=125,
                ),
            ]
    return tuple(settings)


_RATES = (1e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 4e-3)
_SIZES = (250, 500, 1000, 2000, 4000, 8000)
_DEMO_RATES = (5e-4, 1e-3, 2e-3, 4e-3)


def _demo(batch: int) -> Group:
    """What two CPU cores can train in ten minutes: some hundred brief traces of easy problems."""
    settings = [
        Setting(
            f"{rows} traces, {rate:g}",
            Corpus(rows, voice="brief", kind="first-steps"),
            rate,
            batch=batch,
        )
        for rows in (400, 800, 1400)
        for rate in _DEMO_RATES
    ]
    return Group((*settings, _untrained(kind="first-steps")), "first-steps", 300, 120)


def _small(name: str, *, corpus: dict[str, object] | None = None, **changes: object) -> Setting:
    """One of the trainings that two cores do in five minutes: 800 brief traces of easy problems."""
    start = Setting(name, Corpus(800, voice="brief", kind="first-steps"), RATE, batch=8)
    return replace(start, corpus=replace(start.corpus, **(corpus or {})), **changes)  # type: ignore[arg-type]


def _small_group(*settings: Setting) -> Group:
    return Group(settings, "first-steps", 300, 120)


GROUPS: Mapping[str, Group] = {
    "rate": Group(
        (_untrained(), *(_vary(f"LoRA, {rate:g}", learning_rate=rate) for rate in _RATES))
    ),
    "rank": Group(
        tuple(
            _vary(f"r={rank}, {rate:g}", rank=rank, learning_rate=rate)
            for rank in (4, 16, 64)
            for rate in (2e-4, 1e-3, 4e-3)
        )
    ),
    "corpus": Group(
        (
            *(_vary(f"seed {seed}", seed=seed, corpus={"seed": seed}) for seed in range(3)),
            *_errors(),
            _vary("brief traces", corpus={"voice": "brief"}),
            _vary("brief and long mixed", corpus={"voice": "mixed"}),
            _vary("500 problems, 1 sample", corpus={"problems": 500}),
            _vary("500 problems, 1 sample, 4 epochs", corpus={"problems": 500}, epochs=4),
            _vary("500 problems, 4 samples", corpus={"problems": 500, "samples": 4}),
        )
    ),
    "filter": Group(_filter()),
    "voice": Group(
        tuple(
            _vary(f"{name}, seed {seed}", seed=seed, corpus={"voice": voice, "seed": seed})
            for voice, name in (("brief", "brief traces"), ("mixed", "brief and long mixed"))
            for seed in _SEEDS
        )
    ),
    "size": Group(
        (
            *(_vary(f"{size} traces", corpus={"problems": size}) for size in _SIZES),
            *(
                _vary(
                    f"{size} traces, 500 steps", corpus={"problems": size}, epochs=8000 / size
                )  # as 8,000 take
                for size in (250, 1000, 4000)
            ),
        )
    ),
    "full": Group(
        tuple(
            _vary(f"full, {rate:g}", method="full", learning_rate=rate)
            for rate in (1e-5, 5e-5, 2e-4, 5e-4)
        )
    ),
    "gsm8k": Group(
        (
            *(
                _vary(
                    f"GSM8K train, {rate:g}",
                    corpus={"kind": "gsm8k", "problems": 0},
                    learning_rate=rate,
                )
                for rate in (1e-3, 2e-3)
            ),
            _untrained(),
        ),
        "gsm8k",
        0,
        320,
    ),
    "gsm8k-epochs": Group(
        tuple(
            _vary(
                f"GSM8K train, 3 epochs, {rate:g}",
                corpus={"kind": "gsm8k", "problems": 0},
                learning_rate=rate,
                epochs=3,
            )
            for rate in (2e-3, 4e-3)
        ),
        "gsm8k",
        0,
        320,
    ),
    "gsm8k-full": Group(
        (
            _vary(
                "GSM8K train, full, 3 epochs, 0.00022",
                method="full",
                corpus={"kind": "gsm8k", "problems": 0},
                learning_rate=2.2e-4,
                epochs=3,
            ),
        ),
        "gsm8k",
        0,
        320,
    ),
    # The same questions for who has no card: `--groups cpu-filter,…`. Equal numbers of calls, not
    # of kept traces.
    "cpu-filter": _small_group(
        _small("teacher right"),
        *(
            _small(
                f"teacher wrong {rate:.0%}, {word}", corpus={"wrong": rate, "filtered": filtered}
            )
            for rate in (0.2, 0.5)
            for word, filtered in (("filtered", True), ("unfiltered", False))
        ),
    ),
    "cpu-samples": _small_group(
        _small("200 problems, 1 sample", corpus={"problems": 200}),
        _small("200 problems, 1 sample, 4 epochs", corpus={"problems": 200}, epochs=4),
        _small("200 problems, 4 samples", corpus={"problems": 200, "samples": 4}),
    ),
    "cpu-size": _small_group(
        *(_small(f"{size} traces", corpus={"problems": size}) for size in (250, 500, 1000, 2000))
    ),
    "cpu-rank": _small_group(*(_small(f"r={rank}, 0.001", rank=rank) for rank in (4, 64))),
    "cpu-voice": Group(  # long answers need room: at 120 tokens none of them ends
        (
            _small("long traces", corpus={"voice": "r1"}),
            _small("brief and long mixed", corpus={"voice": "mixed"}),
        ),
        "first-steps",
        300,
        400,
    ),
    "demo-8": _demo(8),
    "demo-16": _demo(16),
    "demo-arithmetic": Group(
        tuple(
            Setting(f"{rows} traces, {rate:g}", Corpus(rows, voice="brief"), rate, batch=8)
            for rows in (800, 1400)
            for rate in _DEMO_RATES
        ),
        "arithmetic",
        300,
        160,
    ),
}
