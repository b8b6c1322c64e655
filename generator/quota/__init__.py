"""One allowance for many generators: each takes its calls in blocks from a place that all write to.

    [budget]
    shared_env = "STILLHOUSE_BUDGET"     # names a variable with postgresql://user:password@host/name
    shared = "/srv/stillhouse-budget"    # or a folder, for generators on one machine

What a generator holds of an account's day stands there before it makes a call with it, so whatever
is killed, all together never make one call too many. What is left of a block is given back at an
orderly end; a killed run's block is used up by the next run on the same corpus.
"""

from generator.quota.owner import owner_of
from generator.quota.store import shared_store

__all__ = ["owner_of", "shared_store"]
