"""Prometheus metrics, made from one `RunStatus` when they are asked for: no second counting, no
cost in between.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from generator.monitor.loop_lag import LoopLag
from generator.monitor.status import LaneState, LaneStatus, RunStatus

PREFIX = "stillhouse_"


class StatusCollector(Collector):
    """Yields a run's metrics from its status, and how late its event loop is."""

    def __init__(self, status: Callable[[], RunStatus], loop_lag: LoopLag) -> None:
        self._status = status
        self._loop_lag = loop_lag

    def describe(self) -> list[Metric]:
        """Nothing: a status is taken only when metrics are asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The run's metrics, then those of its lanes."""
        status = self._status()
        samples = _counter("samples", "Finished samples in the corpus", "pile")
        samples.add_metric(["kept"], status.kept)
        samples.add_metric(["rejected"], status.rejected)
        yield samples
        verdicts = _counter("verdicts", "Finished samples of this run", "verdict")
        for verdict, count in sorted(status.verdicts.items()):
            verdicts.add_metric([verdict], count)
        yield verdicts
        phase = _gauge("phase", "1 for the phase that the run is in", "phase")
        phase.add_metric([status.phase], 1)
        yield phase
        for name, text, value in (
            ("samples_wanted", "Samples wanted in all, 0 where not known", status.total),
            ("tokens_per_second", "Completion tokens a second, lately", status.tokens_per_second),
            ("grading", "Answers being checked", status.grading),
            ("eta_seconds", "Until done, NaN where not known", _nan(status.eta_seconds)),
            ("tasks", "Tasks of the event loop", _tasks()),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, value)
        yield _lags(self._loop_lag)
        yield from _lane_counts(status.lanes)
        yield from _lane_states(status.lanes)
        yield from _lane_budgets(status.lanes)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _lags(loop_lag: LoopLag) -> Metric:
    text = "How late the event loop was over the last minute; quantile 1: at most"
    lags = _gauge("loop_lag_seconds", text, "quantile")
    for share, seconds in loop_lag.quantiles().items():
        lags.add_metric([f"{share:g}"], seconds)
    return lags


def _lane_counts(lanes: list[LaneStatus]) -> Iterator[Metric]:
    calls = _counter("lane_calls", "HTTP calls", "lane")
    tokens = _counter("lane_tokens", "Completion tokens as they stream", "lane")
    usd = _counter("lane_usd", "Spend by the lane's prices", "lane")
    errors = _counter("lane_errors", "Failed calls", "lane", "kind")
    in_flight = _gauge("lane_in_flight", "Calls in flight", "lane")
    limit = _gauge("lane_limit", "Calls that may be in flight now", "lane")
    waiting = _gauge("lane_waiting", "Samples that wait for it", "lane")
    first_token = _gauge("lane_first_token_seconds", "Median, lately", "lane")
    for lane in lanes:
        calls.add_metric([lane.name], lane.calls)
        tokens.add_metric([lane.name], lane.tokens)
        usd.add_metric([lane.name], lane.usd)
        for kind, count in sorted(lane.errors.items()):
            errors.add_metric([lane.name, kind], count)
        in_flight.add_metric([lane.name], lane.in_flight)
        limit.add_metric([lane.name], lane.limit)
        waiting.add_metric([lane.name], lane.waiting)
        first_token.add_metric([lane.name], lane.first_token_seconds)
    yield from (calls, tokens, usd, errors, in_flight, limit, waiting, first_token)


def _lane_states(lanes: list[LaneStatus]) -> Iterator[Metric]:
    states = _gauge("lane_state", "1: in it", "lane", "state")
    for lane in lanes:
        for name in get_args(LaneState):
            states.add_metric([lane.name, name], 1.0 if name == lane.state else 0.0)
    yield states


def _lane_budgets(lanes: list[LaneStatus]) -> Iterator[Metric]:
    usage = _gauge("lane_budget_used", "Used of a budget", "lane", "budget")
    limit = _gauge("lane_budget_limit", "The budget", "lane", "budget")
    resets = _gauge("lane_budget_resets", "When it resets, epoch seconds", "lane", "budget")
    for lane in lanes:
        for budget in lane.budgets:
            labels = [lane.name, budget.name]
            usage.add_metric(labels, budget.used)
            limit.add_metric(labels, budget.limit)
            if budget.resets_at:
                resets.add_metric(labels, datetime.fromisoformat(budget.resets_at).timestamp())
    yield from (usage, limit, resets)


def _tasks() -> int:
    """How many tasks the event loop has that asks; 0 outside of any."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def exposition(status: Callable[[], RunStatus], loop_lag: LoopLag) -> Callable[[], bytes]:
    """A function that renders the metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(status, loop_lag))
    return lambda: generate_latest(registry)
