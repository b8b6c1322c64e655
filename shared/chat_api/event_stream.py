"""Server-sent events from a stream's bytes, as loosely as servers write them. Pure."""

from shared.chat_api import wire

DONE = b"[DONE]"
_DATA_LINE = b"data:"
_ERROR_LINE = b"error:"  # llama.cpp's name of a line with an error body


class EventSplitter:
    """Server-sent events from bytes that break anywhere: CRLF, LF or CR lines, comments, data of
    several lines.

    Only `data` is of use here; event names, ids and retry hints go. Payloads keep a leading space:
    JSON does not mind.
    """

    __slots__ = ("_has_begun", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._has_begun = False  # a byte order mark may come before

    @property
    def waiting_bytes(self) -> int:
        """Bytes of an event that has not ended yet."""
        return len(self._tail)

    def feed(self, block: bytes) -> list[bytes]:
        """The payloads of the events that `block` completes."""
        return payloads_of(self.whole_events(block))

    def whole_events(self, block: bytes) -> bytes:
        """The events that `block` completes, blank lines between them; b"": none."""
        data = self._tail + block if self._tail else block
        if not self._has_begun:
            data = wire.without_mark(data)
            self._has_begun = len(data) >= wire.MARK_BYTES
        if b"\r" in data:
            data = _with_line_feeds(data)
        end = data.rfind(b"\n\n")
        if end < 0:
            self._tail = data
            return b""
        self._tail = data[end + 2 :]
        return data[:end]

    def end(self) -> list[bytes]:
        """The payloads that a stream leaves which ends without a blank line. A torn last one is
        not among them.
        """
        payloads = payloads_of(self._tail.replace(b"\r", b"\n"))
        self._tail = b""
        return [payload for payload in payloads if _is_whole(payload)]


def _with_line_feeds(data: bytes) -> bytes:
    """CRLF and CR as LF. A CR at the very end stays: a CRLF may be cut in two."""
    waiting = b"\r" if data.endswith(b"\r") else b""
    lines = data.removesuffix(waiting)
    return lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + waiting


def payloads_of(events: bytes) -> list[bytes]:
    """The payloads of events that blank lines divide."""
    payloads: list[bytes] = []
    for event in events.split(b"\n\n"):
        if b"\n" not in event:  # the usual one, without making lists
            if event.startswith(_DATA_LINE):
                payloads.append(event[len(_DATA_LINE) :])
            elif event.startswith(_ERROR_LINE):
                payloads.append(event[len(_ERROR_LINE) :])
            continue
        lines = event.split(b"\n")
        payloads += [line[len(_ERROR_LINE) :] for line in lines if line.startswith(_ERROR_LINE)]
        data = [line[len(_DATA_LINE) :] for line in lines if line.startswith(_DATA_LINE)]
        if len(data) > 1 and all(map(_is_whole, data)):
            payloads += data  # a server that ends its events with one line break
        elif data:
            payloads.append(b"\n".join(data))
    return payloads


def _is_whole(line: bytes) -> bool:
    text = line.strip()
    return text == DONE or (text.startswith(b"{") and text.endswith(b"}"))
