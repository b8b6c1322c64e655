"""How long the state machines of the tests search: a short while by default, so long as
`MACHINE_EXAMPLES` says where somebody wants to know.

    MACHINE_EXAMPLES=2000 python -m pytest --timeout=0 tests/generator/lanes/test_admission_machine.py
"""

import os

from hypothesis import HealthCheck, settings


def machine_settings(examples: int, steps: int) -> settings:
    """The same cases each time, unless a longer search is asked for."""
    example_count = os.environ.get("MACHINE_EXAMPLES", "")
    return settings(
        max_examples=int(example_count or examples),
        stateful_step_count=steps,
        derandomize=not example_count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
