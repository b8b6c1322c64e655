"""The controller of a lane beside AIMD, Vegas, Gradient2 and DataDesigner's, in simulated worlds.

    python -m benchmarks.controller [WORD ...] [--only ours] [--seeds 1]

WORD: only the worlds whose name has one of these in it.
"""

import argparse
import sys
from math import inf

from benchmarks.controller.trial import CONTROLLERS, Outcome, outcome
from benchmarks.controller.worlds import LESSONS, WORLDS, World
import time
from multiprocessing import Pool

LEAST_SHARE = 0.9
MOST_REFUSED = 0.03
MOST_SECONDS = 60.0


def work(job):
    world = [*WORLDS, *LESSONS][job[0]]
    t = time.process_time()
    o = outcome(world, CONTROLLERS[job[1]], job[2])
    return job, o, time.process_time() - t


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    worlds = [*WORLDS, *LESSONS]
    names = [args.only] if args.only else list(CONTROLLERS)
    jobs = [(i, n, s + 1) for i, w in enumerate(worlds) for n in names for s in range(args.seeds)
            if not args.words or any(word in w.name for word in args.words)]
    bad = 0
    with Pool(2) as pool:
        for (i, n, s), o, t in pool.imap(work, jobs):
            w = worlds[i]
            flags = ""
            if o.share < LEAST_SHARE: flags += " SLOW"
            if w.is_limited and o.refused >= MOST_REFUSED: flags += " 429"
            if o.unlearnt > MOST_SECONDS: flags += " LESSON"
            bad += bool(flags)
            print(f"{w.name:<50}{n:<14}{s:>3} {o.share:7.1%} {o.refused:7.2%} {o.unlearnt:6.0f}  cpu {t:5.1f}{flags}", flush=True)
    print(bad, "misses of", len(jobs))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
