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


def same_region(a: Region, b: Region) -> bool:
    """Whether two regions have the same boundaries, exactly, with the same sides inside."""
    return a.inside == b.inside and all(
        algebra.equal(p.form, q.form) is True for p, q in zip(a.points, b.points, strict=True)
    )


def between(low: Point | float, low_closed: bool, high: Point | float, high_closed: bool) -> Region:
    points = [end for end in (low, high) if isinstance(end, Point)]
    if (isinstance(low, float) and low > 0) or (isinstance(high, float) and high < 0):
        raise Unreadable("an interval from infinity")
    if len(points) == 2:
        if algebra.equal(points[0].form, points[1].form):
            return Region((points[0],), (False, low_closed and high_closed, False))
        if points[0].place > points[1].place:
            raise Unreadable("an interval that runs backwards")
        return Region(tuple(points), (False, low_closed, True, high_closed, False))
    if not points:
        return Region((), (True,))
    return Region(
        (points[0],),
        (False, low_closed, True) if isinstance(low, Point) else (True, high_closed, False),
    )


def combine(a: Region, b: Region, operation: Callable[[bool, bool], bool]) -> Region:
    """The two regions laid over one another, boundaries that separate nothing left out."""
    boundaries: list[Point] = []
    for point in sorted((*a.points, *b.points), key=lambda point: point.place):
        if not boundaries or not _same_place(boundaries[-1], point):
            boundaries.append(point)
    slots = [operation(_gap(a, None), _gap(b, None))]
    for point in boundaries:
        slots.append(operation(_at(a, point), _at(b, point)))
        slots.append(operation(_gap(a, point), _gap(b, point)))
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
    return math.isclose(a.place, b.place, rel_tol=1e-12, abs_tol=1e-12)


def _at(region: Region, point: Point) -> bool:
    for index, own in enumerate(region.points):
        if _same_place(own, point):
            return region.inside[2 * index + 1]
    return _gap(region, point)


def _gap(region: Region, point: Point | None) -> bool:
    """Whether the open gap just right of `point` (None: far left) lies inside."""
    before = 0
    if point is not None:
        before = sum(own.place < point.place or _same_place(own, point) for own in region.points)
    return region.inside[2 * before]
