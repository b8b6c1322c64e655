"""The same work given to Stillhouse, bespokelabs-curator, data-designer and the plain openai SDK.

    python -m benchmarks.peers [--runs 5] [--quick] [--worlds start short r1 faults limit]
        [--clients stillhouse sdk curator designer] [--out docs/experiments]

Each peer comes from PyPI into an environment of its own (`.cache/peers`, once). One fake provider,
on a core of its own, answers all of them; who does not stream is given whole replies. Writes
peers.md, peers.svg and peers.jsonl (every run) to --out. Exit 1 where Stillhouse lost a problem that
a peer kept, doubled one, or accepted an empty text.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers import page
from benchmarks.peers.accounts import Account, median_of
from benchmarks.peers.environments import PEERS, Peer, prepare
from benchmarks.peers.running import cores, run
from benchmarks.peers.worlds import WORLDS, World
from shared.errors import InputError, run_and_exit
from shared.git_commit import git_commit

Runs = dict[tuple[str, str], list[Account]]  # (world, client)


def main(argv: Sequence[str]) -> int:
    args = parsed(argv)
    worlds = [world for world in WORLDS if world.name in args.worlds]
    if args.quick:
        worlds = [world.quick() for world in worlds]
    missing: dict[str, str] = {}
    peers = present([peer for peer in PEERS if peer.name in args.clients], missing)
    runs: Runs = defaultdict(list)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        for number in range(args.runs):
            for world in worlds:
                for peer, one in one_round(peers, world, number, Path(name)):
                    runs[world.name, peer.name].append(one)
                    say(world, peer, one, number)
    minutes = (time.perf_counter() - start) / 60
    results: dict[str, dict[str, Account]] = defaultdict(dict)
    for (world_name, peer_name), accounts in runs.items():
        results[world_name][peer_name] = median_of(accounts)
    head = machine(peers, args, minutes)
    write(args.out, page.page(results, worlds, args.runs, head, missing), runs)
    (args.out / "peers.svg").write_text(page.plots(results, worlds, peers))
    print(f"{args.out / 'peers.md'}: {minutes:.1f} minutes")
    return 0 if is_as_promised(results) else 1


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [world.name for world in WORLDS]
    clients = [peer.name for peer in PEERS]
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a fifth of the rows, for trying")
    parser.add_argument("--worlds", nargs="+", choices=names, default=names)
    parser.add_argument("--clients", nargs="+", choices=clients, default=clients)
    parser.add_argument("--out", type=Path, default=Path("docs/experiments"))
    return parser.parse_args(argv)


def present(peers: Sequence[Peer], missing: dict[str, str]) -> list[Peer]:
    """Those whose environment stands or could be made; why not goes into `missing`."""
    usable = []
    for peer in peers:
        try:
            prepare(peer)
        except InputError as error:
            missing[peer.name] = str(error)
        else:
            usable.append(peer)
    return usable


def one_round(
    peers: Sequence[Peer], world: World, number: int, folder: Path
) -> list[tuple[Peer, Account]]:
    """Every client once on a world; who is first changes from round to round."""
    turn = number % max(1, len(peers))
    ordered = [*peers[turn:], *peers[:turn]]
    places = [folder / f"{world.name}-{peer.name}-{number}" for peer in ordered]
    with ThreadPoolExecutor(len(ordered) if world.side_by_side else 1) as pool:
        accounts = list(
            pool.map(lambda peer, place: run(peer, world, number, place), ordered, places)
        )
    return list(zip(ordered, accounts, strict=True))


def say(world: World, peer: Peer, one: Account, number: int) -> None:
    """A line for each run."""
    print(
        f"run {number + 1} {world.name:<7}{peer.name:<11}{one.wall:7.1f} s{one.cpu:7.1f} CPU s"
        f"{one.chunks_a_cpu_second:10,.0f} chunks a CPU-s{one.megabytes:6.0f} MB"
        f"{one.kept:6} kept{one.lost:5} lost{one.refused:5} 429s  {one.note}",
        flush=True,
    )


def machine(peers: Sequence[Peer], args: argparse.Namespace, minutes: float) -> list[str]:
    """What it ran on, and how to read it."""
    commit = git_commit()
    words = f"--runs {args.runs}" + (" --quick" if args.quick else "")
    load = os.getloadavg()[2]
    versions = ", ".join(f"{peer.title} {peer.version}".strip() for peer in peers)
    streaming = [peer.title for peer in peers if peer.streams]
    whole = [peer.title for peer in peers if not peer.streams]
    lines = [
        f"`python -m benchmarks.peers {words}` took {minutes:.0f} minutes at commit {commit[:12]} on"
        f" {os.cpu_count()} cores (load average of the last quarter of an hour: {load:.1f}), Python"
        f" {platform.python_version()}: {versions}.",
        "",
        f"The fake provider has the last core, the client the other {len(cores()) - 1}: with two"
        " cores every client has one, for all its threads and processes. A client that needs more"
        " than the core is slower by the clock, so `wall` says the same as `CPU` there; the"
        " provider's share of its own core, and of its busiest second, says that it was not what"
        " held anybody back. Start-up, imports and the writing of rows count; Stillhouse also"
        " grades every answer and keeps a ledger, which no peer does.",
    ]
    if whole:
        lines += [
            "",
            f"{', '.join(streaming)} stream, {', '.join(whole)} do not: they are given the whole"
            " reply when its last token is due, so their chunks are tokens that arrived together."
            " `broken` are texts that were torn or cut off and stand among the rows all the same;"
            " `paid for nothing` are answers beyond the rows kept, `spoilt` those of them that the"
            " provider itself had torn, cut or left empty.",
        ]
    return lines


def write(folder: Path, text: str, runs: Mapping[tuple[str, str], list[Account]]) -> None:
    """The page, and every run as a line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.md").write_text(text)
    with open(folder / "peers.jsonl", "w") as lines:
        for (world, client), accounts in runs.items():
            for number, one in enumerate(accounts):
                row = {"world": world, "client": client, "run": number + 1, **asdict(one)}
                lines.write(json.dumps(row) + "\n")


def is_as_promised(results: Mapping[str, Mapping[str, Account]]) -> bool:
    """Whether ours lost nothing that another kept, doubled nothing, took nothing empty."""
    for accounts in results.values():
        ours = accounts.get("stillhouse")
        if ours is None:
            continue
        best = max(one.kept for one in accounts.values())
        if ours.kept < best or ours.doubled or ours.empty or ours.broken:
            return False
    return True


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
