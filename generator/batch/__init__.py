"""Batch lanes: files of requests, answered within hours at about half the price.

    lane = BatchLane(line_budget, client, surroundings)
    lane.take_up()               # what earlier runs have sent is held: nobody asks it again
    await lane.run()             # fill files, send them, watch them, take their lines over

A file's name stands in the ledger, with a call for each of its lines, before anything is sent.
Whatever is lost after that, a process or a reply, the file and its batch are found again at the
provider by that name. Where the provider lists nothing, what may have been sent is never sent
again: it is held, and said.
"""

from generator.batch.lane import BatchLane
from generator.batch.prices import refuse_unpriced
from generator.batch.resuming import take_up
from generator.batch.surroundings import Surroundings

__all__ = ["BatchLane", "Surroundings", "refuse_unpriced", "take_up"]
