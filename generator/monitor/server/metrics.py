"""Prometheus metrics, made from one `RunStatus` when they are asked for: no second counting, no
cost in between.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from generator.monitor.status import LaneState, LaneStatus, RunStatus

PREFIX = "stillhouse_"


class StatusCollector(Collector):
    """Yields a run's metrics from its status."""

    def __init__(self, status: Callable[[], RunStatus]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        samples = CounterMetricFamily(
            PREFIX + "samples", "Finished samples in the corpus", labels=["pile"]
        )
        samples.add_metric(["kept"], status.kept)
        samples.add_metric(["rejected"], status.rejected)
        yield samples
        verdicts = CounterMetricFamily(
            PREFIX + "verdicts", "Finished samples of this run", labels=["verdict"]
        )
        for verdict, count in sorted(status.verdicts.items()):
            verdicts.add_metric([verdict], count)
        yield verdicts
        phase = GaugeMetricFamily(
            PREFIX + "phase", "1 for the phase that the run is in", labels=["phase"]
        )
        phase.add_metric([status.phase], 1)
        yield phase
        yield GaugeMetricFamily(
            PREFIX + "samples_wanted", "Samples wanted in all, 0 where not known", status.total
        )
        yield GaugeMetricFamily(
            PREFIX + "tokens_per_second",
            "Completion tokens a second, lately",
            status.tokens_per_second,
        )
        yield GaugeMetricFamily(PREFIX + "grading", "Answers being checked", status.grading)
        yield GaugeMetricFamily(
            PREFIX + "eta_seconds", "Until done, NaN where not known", _nan(status.eta_seconds)
        )
        yield from _lanes(status.lanes)


def _lanes(lanes: list[LaneStatus]) -> Iterator[Metric]:
    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(PREFIX + "lane_" + name, text, labels=["lane", *labels])

    def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(PREFIX + "lane_" + name, text, labels=["lane", *labels])

    calls, tokens = (
        counter("calls", "HTTP calls"),
        counter("tokens", "Completion tokens as they stream"),
    )
    usd, errors = (
        counter("usd", "Spend by the lane's prices"),
        counter("errors", "Failed calls", "kind"),
    )
    in_flight, limit = (
        gauge("in_flight", "Calls in flight"),
        gauge("limit", "Calls that may be in flight now"),
    )
    waiting, first = (
        gauge("waiting", "Samples that wait for it"),
        gauge("first_token_seconds", "Median, lately"),
    )
    used, most = (
        gauge("budget_used", "Used of a budget", "budget"),
        gauge("budget_limit", "The budget", "budget"),
    )
    resets, state = (
        gauge("budget_resets", "When it turns, epoch seconds", "budget"),
        gauge("state", "1: in it", "state"),
    )
    for lane in lanes:
        for family, value in (
            (calls, lane.calls),
            (tokens, lane.tokens),
            (usd, lane.usd),
            (in_flight, lane.in_flight),
            (limit, lane.limit),
            (waiting, lane.waiting),
            (first, lane.first_token_seconds),
        ):
            family.add_metric([lane.name], value)
        for kind, count in sorted(lane.errors.items()):
            errors.add_metric([lane.name, kind], count)
        for name in get_args(LaneState):
            state.add_metric([lane.name, name], float(name == lane.state))
        for budget in lane.budgets:
            used.add_metric([lane.name, budget.name], budget.used)
            most.add_metric([lane.name, budget.name], budget.limit)
            if budget.resets_at:
                resets.add_metric(
                    [lane.name, budget.name], datetime.fromisoformat(budget.resets_at).timestamp()
                )
    yield from (
        calls,
        tokens,
        usd,
        errors,
        in_flight,
        limit,
        waiting,
        first,
        used,
        most,
        resets,
        state,
    )


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def exposition(status: Callable[[], RunStatus]) -> Callable[[], bytes]:
    """A function that renders the metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(status))
    return lambda: generate_latest(registry)
