"""Every benchmark that needs no GPU, one after the other: `make bench-ours`. Each prints its table; the
last one sums up.

python -m benchmarks [NAME ...]
"""

import subprocess
import sys
import time

# Run by hand, each says how in its docstring: those of the GPU (trainer_gpu, trainer_cards,
# trainer_real, evaluation_gpu, effect), the table of cards, weak_round, which goes on from a
# finished demo, parts, which takes half an hour of two idle cores, ray_hosts, which needs root, peers (`make bench`),
# which fetches the peers, and growth, which takes as long as it is let.
NAMES = ("streaming", "generator", "resume", "grading", "screening", "daemon", "batches")


def main() -> int:
    names = sys.argv[1:] or list(NAMES)
    rows = []
    for name in names:
        print(f"\n== {name}", flush=True)
        began = time.perf_counter()
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        rows.append((name, time.perf_counter() - began, code))
    print(f"\n{'benchmark':<14}{'seconds':>9}  result")
    for name, seconds, code in rows:
        print(
            f"{name:<14}{seconds:>9.0f}  {'as promised' if code == 0 else f'FAILED (exit {code})'}"
        )
    return int(any(code for _, _, code in rows))


if __name__ == "__main__":
    sys.exit(main())
