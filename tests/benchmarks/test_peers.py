"""The comparison with peers: its fake provider does what its worlds say, its accounts count right,
and the two clients that are here get through.
"""

import http.client
import json
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import page
from benchmarks.peers.accounts import Account, Measures, account, median_of
from benchmarks.peers.environments import PEERS, Peer
from benchmarks.peers.running import provider, read_books, run
from benchmarks.peers.worlds import WORLDS, World, fate, problem, reasoning, response

BY_NAME = {world.name: world for world in WORLDS}
OURS, SDK = PEERS[:2]
STILL = Measures(1.0, 1.0, 1.0)


class HereSdk(Peer):
    """The SDK's script under this test's own Python, which has the SDK too."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)


@pytest.fixture(scope="module")
def faults() -> Iterator[str]:
    with provider(BY_NAME["faults"], 0) as url:
        yield url


def ask(url: str, number: int, stream: bool) -> tuple[str, str, str]:
    """(reasoning, response, finish_reason) of one call. Errors: what urllib raises."""
    body = {"messages": [{"role": "user", "content": problem(number)}], "stream": stream}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as reply:
        raw = reply.read().decode()
    if not stream:
        choice = json.loads(raw)["choices"][0]
        message = choice["message"]
        return message["reasoning_content"], message["content"], choice["finish_reason"]
    events = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith("data: {")]
    choices = [event["choices"][0] for event in events]
    thoughts = "".join(choice["delta"].get("reasoning_content") or "" for choice in choices)
    words = "".join(choice["delta"].get("content") or "" for choice in choices)
    return thoughts, words, choices[-1]["finish_reason"]


def refusal(url: str, number: int) -> tuple[int, list[str]]:
    """(status, names of headers) of a call that is turned away."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(url, number, True)
    with caught.value as reply:
        return reply.code, list(reply.headers)


def number_with(kind: str) -> int:
    """A problem whose first call has this fate."""
    return next(n for n in range(10_000) if fate(BY_NAME["faults"], 0, n, 1) == kind)


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_succeeds_brings_the_answer_to_the_last_character(
    stream: bool,
) -> None:
    with provider(BY_NAME["short"], 0) as url:
        thoughts, words, finish = ask(url, 17, stream)
        books = read_books(url)
    assert (thoughts, words, finish) == (reasoning(17, 59), response(17), "stop")
    assert (books["calls"], books["paid"], books["tokens"]) == (1, 1, 60)


@pytest.mark.slow
def test_each_fate_reaches_the_caller_as_it_is_named(faults: str) -> None:
    for status in ("429", "500"):
        assert refusal(faults, number_with(status))[0] == int(status)
    assert ask(faults, number_with("empty"), True)[1:] == ("", "stop")
    words, finish = ask(faults, number_with("truncated"), False)[1:]
    assert finish == "length"
    assert 0 < len(words) < len(response(number_with("truncated")))
    with pytest.raises(http.client.IncompleteRead):
        ask(faults, number_with("torn"), False)


def test_failures_come_at_the_rates_that_the_world_names() -> None:
    world = BY_NAME["faults"]
    counts = Counter(fate(world, 3, number, 1) for number in range(10_000))
    for kind, rate in world.faults.items():
        assert counts[kind] == pytest.approx(10_000 * rate, rel=0.2)


def test_r1_like_lengths_have_the_median_and_the_tail_that_they_should() -> None:
    world = replace(BY_NAME["r1"], rows=4001)
    lengths = sorted(world.tokens_of(number) for number in range(world.rows))
    assert lengths[2000] == pytest.approx(900, rel=0.1)
    assert lengths[-1] == 16_000
    assert lengths[-100] > 5_000


def test_a_limit_admits_its_burst_and_refuses_the_next_call() -> None:
    world = replace(BY_NAME["limit"], per_minute=60, burst=3, rate=0.0)
    with provider(world, 0) as url:
        for number in range(3):
            ask(url, number, False)
        status, headers = refusal(url, 3)
        books = read_books(url)
    assert status == 429
    assert "Retry-After" not in headers
    assert (books["calls"], books["429"], books["paid"]) == (4, 1, 3)


def test_rows_are_counted_as_kept_doubled_empty_broken_and_lost() -> None:
    world = replace(BY_NAME["short"], rows=5)

    def row(number: int, said: str | None = None) -> dict[str, str]:
        thoughts = reasoning(number, world.tokens - 1)
        words = response(number) if said is None else said
        return {"id": str(number), "reasoning": thoughts, "response": words}

    torn = row(3) | {"reasoning": reasoning(3, 9)}
    rows = [row(0), row(0), row(1, ""), row(2, "The sum is"), torn]
    books = {"paid": 7, "calls": 9, "429": 2, "empty": 1, "torn": 1, "tokens": 300}
    one = account(world, rows, books, STILL)
    assert (one.kept, one.lost, one.doubled, one.empty, one.broken) == (1, 4, 1, 1, 2)
    assert (one.wasted, one.unavoidable, one.refused) == (6, 2, 2)
    assert one.chunks_a_cpu_second == 300


@pytest.mark.slow
@pytest.mark.parametrize("name", ["short", "faults"])
def test_ours_loses_nothing_and_the_sdk_takes_what_it_is_given(name: str, tmp_path: Path) -> None:
    world = replace(BY_NAME[name], rows=40)
    here = HereSdk(SDK.name, SDK.title, SDK.pins, SDK.streams)
    ours = run(OURS, world, 0, tmp_path / "ours")
    theirs = run(here, world, 0, tmp_path / "theirs")
    assert (ours.note, theirs.note) == ("", "")
    assert (ours.kept, ours.lost, ours.doubled, ours.empty, ours.broken) == (40, 0, 0, 0, 0)
    assert ours.wasted == ours.unavoidable
    assert theirs.kept + theirs.empty + theirs.broken == 40
    assert (theirs.empty > 0) == (name == "faults")
    assert min(ours.cpu, theirs.cpu, ours.megabytes, theirs.megabytes) > 0


def test_the_page_has_a_row_for_each_client_and_says_who_was_missing() -> None:
    world: World = BY_NAME["short"]
    accounts = [account(world, [], {"tokens": 100 * n, "calls": n}, STILL) for n in (1, 3, 2)]
    middle: Account = median_of(accounts)
    assert (middle.calls, middle.chunks) == (2, 200)
    results = {"short": {"stillhouse": middle, "sdk": middle}}
    text = page.page(results, WORLDS, 3, ["head"], {"curator": "no network"})
    assert "| openai SDK | 1.0 | 1.0 | 200 |" in text
    assert "bespokelabs-curator is missing**: no network" in text
    assert page.plots(results, WORLDS, PEERS).startswith("<svg")
