"""One call to a teacher: asked over HTTP, read as a stream, understood in every dialect, failed with a typed error."""

from generator.teacher.client import Teacher
from generator.teacher.stream import Clocks

__all__ = ["Clocks", "Teacher"]
