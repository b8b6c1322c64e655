"""How a program ends, as its user sees it: in processes of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_signal_is_not_lost_where_a_library_passes_over_whatever_goes_wrong() -> None:
    """As transformers, datasets and lighteval do while they import what may not be installed."""
    inside = (
        "import contextlib, os, signal\n"
        "from shared.errors import ended_by_a_signal, run_and_exit\n"
        "def main():\n"
        "    with ended_by_a_signal('what is there is kept'), contextlib.suppress(Exception):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('went on')\n"
        "run_and_exit(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", inside], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "stopped: SIGTERM: what is there is kept\n"
