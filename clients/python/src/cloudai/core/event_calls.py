"""Follows events over as many connections as it takes, without a gap and without a repetition."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UnreadableAnswer
from ..model.events import Event, decode_event
from .calling import Call, Context, Repeat
from .effects import Broken, Program, Request, emit, now, read
from .event_source import EventSource, Message
from .requests import path, query
from .streams import Opening

SILENCE_MAX = 25.0
"""Seconds after which a silent stream counts as broken: masters give a sign of life after 15."""


@dataclass(frozen=True)
class Subscription:
    """Events that are wanted."""

    topics: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass
class EventPlace:
    """Place in the stream of events."""

    index: int | None = None
    """Index up to which everything was told."""
    cluster_id: str | None = None
    """Cluster that the index is of."""
    told_index: int | None = None
    """Index of which some events were told, and not yet the last."""
    told: int = 0
    """Number of those."""
    again: int = 0
    """Number of events of that index that have come once more on this connection."""

    def reconnected(self) -> None:
        """Begin anew on another connection, which repeats the index that was cut off."""
        self.again = 0

    def lost(self) -> None:
        """Forget the place: the stream goes on at another."""
        self.index = self.told_index = None
        self.told = self.again = 0

    def passed(self, index: int) -> None:
        """Take note that everything up to an index is told."""
        if self.index is None or index > self.index:
            self.index = index
        # A stream begins with the place from which it was resumed: that is no end of a later index.
        if self.told_index is not None and index >= self.told_index:
            self.told_index, self.told, self.again = None, 0, 0

    def is_new(self, event: Mapping[str, Any]) -> bool:
        """Take note of an event, and return false if it was told on an earlier connection."""
        index = event.get("index")
        if not isinstance(index, int):
            return True
        if self.index is not None and index <= self.index:
            return False
        if index != self.told_index:
            self.told_index, self.told, self.again = index, 0, 0
        self.again += 1
        is_new = self.again > self.told
        self.told = max(self.told, self.again)
        return is_new


def events(
    context: Context, wanted: Subscription, place: EventPlace, *, with_signs_of_life: bool = False
) -> Program[None]:
    """Emit events for as long as somebody iterates; with signs of life None, too, now and then."""
    opening = Opening(context)
    while True:
        yield from opening.open(_call(context, wanted, place))
        place.reconnected()
        yield from _read_one(opening, place, with_signs_of_life=with_signs_of_life)


def _call(context: Context, wanted: Subscription, place: EventPlace) -> Call:
    parameters: dict[str, str | Iterable[str] | None] = {
        "subscribe": wanted.topics,
        "type": wanted.types,
        "task": wanted.tasks,
        "label": [f"{key}={value}" for key, value in wanted.labels.items()],
        "cluster_id": place.cluster_id,
    }
    headers = [("accept", "text/event-stream")]
    if place.index is not None:
        headers.append(("last-event-id", str(place.index)))
    request = Request("GET", path("events"), query(parameters), tuple(headers))
    return Call(request, Repeat.READ, context.timeouts)


def _read_one(opening: Opening, place: EventPlace, *, with_signs_of_life: bool) -> Program[None]:
    """Emit the events of one connection, until it ends."""
    source = EventSource()
    while True:
        piece = yield from read(SILENCE_MAX)
        time = yield from now()
        if piece is None or isinstance(piece, Broken):
            opening.on_end(piece, time)
            return
        opening.on_progress()
        for message in source.feed(piece):
            event = _take(message, place)
            if event is not None or with_signs_of_life:
                yield from emit(event)


def _take(message: Message, place: EventPlace) -> Event | None:
    """Take note of a message, and return the event that it tells for the first time."""
    told: dict[str, Any] | None = None
    if message.data is not None:
        told = _object(message.data)
    is_new = told is not None and place.is_new(told)
    if told is not None and told.get("type") != "closed":
        cluster_id = told.get("cluster_id")
        if isinstance(cluster_id, str):
            place.cluster_id = cluster_id
    if told is not None and told.get("type") == "compacted":
        # The stream goes on elsewhere, perhaps even in another cluster, whose indexes may be smaller.
        place.lost()
    if message.id is not None and message.id.isdecimal():
        place.passed(int(message.id))
    if told is None or not is_new or told.get("type") == "closed":
        return None
    return decode_event(told)


def _object(data: str) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer(f"an event is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise UnreadableAnswer("an event is no object")
    return told
