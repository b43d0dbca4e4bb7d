"""Server-Sent Events, read from bytes as they come."""

from __future__ import annotations

import codecs
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """An event: its name, its data, and the id under which a reader may go on."""

    name: str
    data: str
    id: str | None


class EventDecoder:
    """Takes bytes, however they are cut, and gives the events that are complete."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._begun = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        text = self._pending + self._text.decode(data)
        if not self._begun and text:
            text, self._begun = text.removeprefix("\ufeff"), True
        # A CR at the end may be half of a line's end: it waits for what comes next.
        held = "\r" if text.endswith("\r") else ""
        lines = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._pending = lines.pop() + held
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._complete()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> Event | None:
        name, data, self._name, self._data = self._name, self._data, "", []
        return Event(name or "message", "\n".join(data), self._id) if data else None
