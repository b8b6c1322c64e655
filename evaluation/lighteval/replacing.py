"""What lighteval has no setting for: a function of its own replaced, its noise kept off the terminal."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import datasets


@contextmanager
def replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """One static method of lighteval's replaced inside: it has no setting for either."""
    original = getattr(owner, name)
    setattr(owner, name, staticmethod(function))
    try:
        yield
    finally:
        setattr(owner, name, staticmethod(original))


@contextmanager
def quiet() -> Iterator[None]:
    """Log lines and bars of lighteval and datasets would break the progress panel."""
    earlier_level = logging.root.manager.disable
    had_bars = not datasets.are_progress_bars_disabled()
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.disable(earlier_level)
        if had_bars:
            datasets.enable_progress_bars()
