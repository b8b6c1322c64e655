"""One call to a teacher: asked over HTTP, read as a stream, understood in every dialect, failed
with a typed error.
"""

from shared.chat_api.client import Teacher
from shared.chat_api.stream import Clocks

__all__ = ["Clocks", "Teacher"]
