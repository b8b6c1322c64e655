"""The comparison as a page: a table for each world, and plots beside them."""

import textwrap
from collections.abc import Mapping, Sequence

from benchmarks.peers.accounts import Account
from benchmarks.peers.environments import PEERS, Peer
from benchmarks.peers.worlds import World
from benchmarks.plots import Bars, draw

Results = Mapping[str, Mapping[str, Account]]  # world, client: medians
COLUMNS = (
    "wall s",
    "CPU s",
    "chunks a CPU-s",
    "peak MB",
    "kept",
    "lost",
    "doubled",
    "empty accepted",
    "broken accepted",
    "paid for nothing",
    "429s",
    "provider's core",
)
LINE = 120  # characters
SERVER_LIMIT = 0.7  # share of its core above which the provider may be what holds a client back
TITLES = {peer.name: peer.title for peer in PEERS}


def page(
    results: Results,
    worlds: Sequence[World],
    runs: int,
    head: Sequence[str],
    missing: Mapping[str, str],
) -> str:
    """The Markdown. `head`: lines about the machine; `missing`: peers that were not there, and
    why.
    """
    lines = ["# Stillhouse beside its peers", ""]
    lines += [*map(wrapped, head), "", "![the comparison in bars](peers.svg)", ""]
    lines += [f"- **{TITLES[name]} is missing**: {why}" for name, why in missing.items()]
    for world in worlds:
        if world.name in results:
            lines += ["", f"## {world.title[0].upper()}{world.title[1:]}", ""]
            lines += [wrapped(describe(world, runs)), "", *table(results[world.name])]
    return "\n".join([*lines, ""])


def wrapped(words: str) -> str:
    """A paragraph in lines that an editor shows whole."""
    return textwrap.fill(words, LINE, break_long_words=False, break_on_hyphens=False)


def describe(world: World, runs: int) -> str:
    """What the world is, in a line or two."""
    length = f"{world.tokens} tokens" if world.tokens else "log-normal, median 900, at most 16,000"
    pace = f"{world.rate:g} tokens/s a stream" if world.rate else "sent at once"
    parts = [
        f"{world.rows:,} problem{'s' if world.rows > 1 else ''}, at most {world.streams} at once;"
        f" answers of {length}",
        f"{pace} after {1000 * world.latency:g} ms",
    ]
    if world.faults:
        rates = ", ".join(f"{kind} {rate:.0%}" for kind, rate in world.faults.items())
        parts.append(f"of all calls fail: {rates}")
    if world.per_minute:
        parts.append(
            f"{world.per_minute} calls a minute, {world.burst} at once; nobody is told, and a 429 has"
            " no Retry-After"
        )
    if world.side_by_side:
        parts.append("the clients run side by side, each with a provider of its own")
    return f"{'; '.join(parts)}. Medians of {runs} run{'s' if runs > 1 else ''}."


def table(accounts: Mapping[str, Account]) -> list[str]:
    """One world's table, and what is to be said below it."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for name, one in accounts.items():
        lines.append(f"| {TITLES[name]} | " + " | ".join(cells(one)) + " |")
    notes = [f"{TITLES[name]}: {one.note}" for name, one in accounts.items() if one.note]
    busy = [TITLES[name] for name, one in accounts.items() if one.server_busiest > SERVER_LIMIT]
    if busy:
        notes.append(f"the provider may have held back {', '.join(busy)}: see its busiest second")
    return [*lines, *("\n" + wrapped(f"{note}.") for note in notes)]


def cells(one: Account) -> list[str]:
    """One row of the table."""
    return [
        f"{one.wall:.1f}",
        f"{one.cpu:.1f}",
        f"{one.chunks_a_cpu_second:,.0f}",
        f"{one.megabytes:.0f}",
        f"{one.kept:,}",
        f"{one.lost:,}",
        f"{one.doubled:,}",
        f"{one.empty:,}",
        f"{one.broken:,}",
        f"{one.wasted:,} ({one.unavoidable:,} spoilt)",
        f"{one.refused:,}",
        f"{one.server_share:.0%}, busiest {one.server_busiest:.0%}",
    ]


def plots(results: Results, worlds: Sequence[World], peers: Sequence[Peer]) -> str:
    """The SVG."""

    def panel(title: str, column: str) -> Bars:
        groups = {
            world.label: {
                TITLES[name]: float(getattr(one, column))
                for name, one in results[world.name].items()
            }
            for world in worlds
            if world.name in results
        }
        return Bars(title, groups)

    panels = [
        panel("chunks a CPU-second (more is better)", "chunks_a_cpu_second"),
        panel("seconds by the clock", "wall"),
        panel("peak memory, MB", "megabytes"),
        panel("problems lost", "lost"),
        panel("answers paid for nothing", "wasted"),
        panel("429s", "refused"),
    ]
    return draw("The same work, four clients", panels, [peer.title for peer in peers])
