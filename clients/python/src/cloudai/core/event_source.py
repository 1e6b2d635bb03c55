"""Reads Server-Sent Events, whatever pieces they arrive in."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UnreadableAnswer

BUFFER_BYTES_MAX = 8 << 20
"""Longest line that is kept."""


@dataclass(frozen=True)
class Message:
    """A message of the stream. One without data only says how far the stream has come."""

    id: str | None
    data: str | None


class EventSource:
    """Parser of a stream, as the HTML standard describes it, without the fields that are not used."""

    def __init__(self) -> None:
        self._rest = b""
        self._ends_with_return = False
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[Message]:
        """Take the next bytes and return the messages that they complete."""
        if self._ends_with_return and piece.startswith(b"\n"):
            piece = piece[1:]
        if piece:
            self._ends_with_return = piece.endswith(b"\r")
        text = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        if len(self._rest) > BUFFER_BYTES_MAX:
            raise UnreadableAnswer("a line of the events is too long")
        found = (self._take(line.decode("utf-8", "replace")) for line in lines)
        return [message for message in found if message is not None]

    def _take(self, line: str) -> Message | None:
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> Message | None:
        if self._id is None and not self._data:
            return None
        message = Message(self._id, "\n".join(self._data) if self._data else None)
        self._id, self._data = None, []
        return message
