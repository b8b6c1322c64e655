"""Sets of real numbers as boundaries in order and what lies inside them, exact and comparable."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from shared.grading import algebra
from shared.grading.tokens import Unreadable


@dataclass(frozen=True, slots=True)
class Point:
    """A boundary: its place on the line, and its exact value."""

    place: float
    form: algebra.Form


@dataclass(frozen=True, slots=True)
class Region:
    """`inside[2k]` is the open gap left of `points[k]`, `inside[2k + 1]` that point; the last
    entry is the last gap.
    """

    points: tuple[Point, ...]
    inside: tuple[bool, ...]


End = Point | float  # of an interval; a float is infinity
Operation = Callable[[bool, bool], bool]  # whether a place in one region, in the other is in both


def same_region(a: Region, b: Region) -> bool:
    """Whether two regions have the same boundaries, exactly, with the same sides inside."""
    if a.inside != b.inside:
        return False
    pairs = zip(a.points, b.points, strict=True)
    # None, where opaque parts leave it open, is not enough.
    verdicts = (algebra.equal(point.form, twin.form) for point, twin in pairs)
    return all(verdict is True for verdict in verdicts)


def between(
    low: End,
    low_closed: bool,
    high: End,
    high_closed: bool,
) -> Region:
    """The interval from `low` to `high`. Errors: `Unreadable` where it runs backwards."""
    if isinstance(low, float) and low > 0:
        raise Unreadable("an interval from infinity")
    if isinstance(high, float) and high < 0:
        raise Unreadable("an interval to minus infinity")
    if isinstance(low, float):
        if isinstance(high, float):
            return Region((), (True,))
        return Region((high,), (True, high_closed, False))
    if isinstance(high, float):
        return Region((low,), (False, low_closed, True))
    if algebra.equal(low.form, high.form):
        is_closed = low_closed and high_closed
        return Region((low,), (False, is_closed, False))
    if low.place > high.place:
        raise Unreadable("an interval that runs backwards")
    inside = (False, low_closed, True, high_closed, False)
    return Region((low, high), inside)


def combine(a: Region, b: Region, operation: Operation) -> Region:
    """The two regions laid over one another, boundaries that separate nothing left out."""
    boundaries: list[Point] = []
    all_points = [*a.points, *b.points]
    all_points.sort(key=lambda point: point.place)
    for point in all_points:
        if not boundaries or not _same_place(boundaries[-1], point):
            boundaries.append(point)
    # As in `inside`: the first gap, then each boundary and the gap on its right.
    slots = [operation(_gap(a, None), _gap(b, None))]
    for point in boundaries:
        at_point = operation(_at(a, point), _at(b, point))
        behind_point = operation(_gap(a, point), _gap(b, point))
        slots += [at_point, behind_point]
    points = []
    inside = [slots[0]]
    for index, point in enumerate(boundaries):
        here = slots[2 * index + 1]
        after = slots[2 * index + 2]
        if not inside[-1] == here == after:
            points.append(point)
            inside += [here, after]
    return Region(tuple(points), tuple(inside))


def _same_place(a: Point, b: Point) -> bool:
    """Whether two boundaries are one, as far as a float can tell: a root may be computed twice."""
    return math.isclose(a.place, b.place, rel_tol=1e-12, abs_tol=1e-12)


def _at(region: Region, point: Point) -> bool:
    """Whether `point` lies inside; where it is no boundary, as the gap around it does."""
    for index, own in enumerate(region.points):
        if _same_place(own, point):
            return region.inside[2 * index + 1]
    return _gap(region, point)


def _gap(region: Region, point: Point | None) -> bool:
    """Whether the open gap just right of `point` (None: far left) lies inside."""
    if point is None:
        return region.inside[0]
    boundaries_before = [
        own for own in region.points if own.place < point.place or _same_place(own, point)
    ]
    return region.inside[2 * len(boundaries_before)]
