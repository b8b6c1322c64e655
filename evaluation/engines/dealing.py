"""Requests dealt out to several workers, so that all end at about the same time and none is lost."""

import threading
from collections import deque
from collections.abc import Hashable, Iterable

from evaluation.records import SampleRequest

# Of an even share of what is left: a batch is slow towards its end, and equal parts take unequal
# times. So the first part is large, and smaller ones follow for whoever is ready.
_PART_OF_SHARE = 0.75
_SMALLEST_PART = 16


class Dealer:
    """Deals requests to workers. Safe to use from several threads."""

    def __init__(self, requests: Iterable[SampleRequest], workers: int) -> None:
        self._waiting = deque(requests)
        self._workers = workers
        self._dealt: dict[Hashable, set[SampleRequest]] = {}
        self._changed = threading.Condition()
        self._is_over = False

    def take(self, worker: Hashable) -> list[SampleRequest]:
        """The worker's next part; [] when nothing is left to do for anyone, or `stop` was called.

        It waits where all is dealt out: another worker may still give its part back.
        """
        with self._changed:
            while not self._waiting and any(self._dealt.values()) and not self._is_over:
                self._changed.wait()
            if self._is_over:
                return []
            share = len(self._waiting) / self._workers
            size = max(_SMALLEST_PART, int(share * _PART_OF_SHARE))
            part = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            self._dealt[worker] = set(part)
            return part

    def answered(self, worker: Hashable, request: SampleRequest) -> None:
        """The worker has answered one of its part."""
        with self._changed:
            self._dealt[worker].discard(request)
            self._changed.notify_all()

    def give_back(self, worker: Hashable) -> int:
        """What a worker that ended has not answered is dealt again; gives how many."""
        with self._changed:
            part = self._dealt.pop(worker, set())
            self._waiting.extendleft(part)
            self._workers = max(1, self._workers - 1)
            self._changed.notify_all()
            return len(part)

    def stop(self) -> None:
        """Nothing more is dealt."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether `stop` was called."""
        return self._is_over

    @property
    def open_count(self) -> int:
        """How many have no answer yet."""
        with self._changed:
            return len(self._waiting) + sum(map(len, self._dealt.values()))
