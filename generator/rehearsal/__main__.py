"""`python -m generator.rehearsal`."""

import sys

from generator.rehearsal.command import main
from shared.errors import run_and_exit

if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
