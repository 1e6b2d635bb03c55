"""Reads records from JSON and writes them, by their fields.

A field of an answer that is not known is left out, and a value of an enum that is not known is kept: a
master may be of a later release than this package.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import types
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ..errors import UnreadableAnswer

T = TypeVar("T")

Json = Union[None, bool, int, float, str, list["Json"], dict[str, "Json"]]
"""Value of JSON."""

Duration = Union[str, int, float, timedelta]
"""Time span: text as in ``"250ms"`` or ``"1h 30m"``, a number of seconds, or a timedelta."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)\Z"
)


class OpenEnum(str, Enum):
    """Enum of texts that keeps a value that it does not know."""

    @classmethod
    def _missing_(cls, value: object) -> OpenEnum | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = value
        return unknown

    def __str__(self) -> str:
        return str(self.value)


def duration_text(duration: Duration) -> str:
    """Write a time span as the API takes it, to the millisecond."""
    if isinstance(duration, str):
        return duration
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    # Comparisons with NaN are false.
    if not 0 <= duration < 1e12:
        raise ValueError(f"{duration} is no time span")
    return f"{round(duration * 1000)}ms"


def time_text(time: datetime | str) -> str:
    """Write a point in time as RFC 3339 does, in UTC."""
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    in_utc = time.astimezone(timezone.utc).replace(tzinfo=None)
    return in_utc.isoformat(timespec="milliseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Read a point in time of RFC 3339."""
    found = _RFC3339.match(text)
    if found is None:
        raise ValueError(f"'{text}' is no time of RFC 3339")
    date, time, fraction, zone = found.groups()
    micros = (fraction or "0").ljust(6, "0")[:6]
    zone = "+00:00" if zone in "Zz" else zone
    return datetime.fromisoformat(f"{date}T{time}.{micros}{zone}")


def payload(content: bytes | str) -> Json:
    """Write bytes as the API takes them: as a text where they are one."""
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}


def decode(kind: type[T], value: object, where: str = "") -> T:
    """Read a record, or raise :class:`UnreadableAnswer` with the place that is wrong."""
    return cast(T, _decode(kind, value, where))


def _decode(kind: Any, value: object, where: str) -> object:
    if kind is Any or kind is object:
        return value
    if kind is bytes:
        return _decode_payload(value, where)
    if dataclasses.is_dataclass(kind):
        return _decode_record(cast("type[Any]", kind), value, where)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, value, where)
    if origin is not None:
        return _decode_collection(kind, value, where)
    return _decode_scalar(kind, value, where)


def _decode_payload(value: object, where: str) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    encoded = value.get("base64") if isinstance(value, Mapping) else None
    try:
        if isinstance(encoded, str):
            return base64.b64decode(encoded, validate=True)
    except ValueError:
        pass
    raise _wrong("bytes", value, where)


def _decode_record(kind: type[Any], value: object, where: str) -> object:
    if not isinstance(value, Mapping):
        raise _wrong("an object", value, where)
    found: dict[str, object] = {}
    for field, hint in _fields(cast("Any", kind)):
        given = value.get(field.name)
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if given is None and has_default:
            continue
        found[field.name] = _decode(hint, given, f"{where}/{field.name}")
    return kind(**found)


@cache
def _fields(kind: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind) if field.init]


def _decode_union(kind: Any, value: object, where: str) -> object:
    options = [option for option in get_args(kind) if option is not type(None)]
    if value is None and len(options) < len(get_args(kind)):
        return None
    for option in options[:-1]:
        try:
            return _decode(option, value, where)
        except UnreadableAnswer:
            continue
    return _decode(options[-1], value, where)


def _decode_collection(kind: Any, value: object, where: str) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    is_list = origin in (tuple, Sequence)
    if is_list and isinstance(value, list):
        return tuple(_decode(arguments[0], item, f"{where}/{at}") for at, item in enumerate(value))
    if not is_list and isinstance(value, Mapping):
        return {
            str(key): _decode(arguments[1], item, f"{where}/{key}") for key, item in value.items()
        }
    raise _wrong("a list" if is_list else "an object", value, where)


def _decode_scalar(kind: Any, value: object, where: str) -> object:
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is datetime and isinstance(value, str):
        try:
            return parse_time(value)
        except ValueError as error:
            raise _wrong("a time", value, where) from error
    if issubclass(kind, OpenEnum) and isinstance(value, str):
        return kind(value)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    raise _wrong(kind.__name__, value, where)


def _wrong(expected: str, value: object, where: str) -> UnreadableAnswer:
    shown = repr(value)[:80]
    return UnreadableAnswer(f"an answer has {shown} at '{where}', where {expected} is expected")


def encode(record: object) -> dict[str, Json]:
    """Write a record without its fields that are absent or empty."""
    assert dataclasses.is_dataclass(record)
    written: dict[str, Json] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if value is None or (isinstance(value, (tuple, list, Mapping)) and not value):
            continue
        form = field.metadata.get("form")
        written[field.name] = form(value) if form is not None else encode_value(value)
    return written


def encode_value(value: object) -> Json:
    """Write one value of a record."""
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): encode_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode_value(item) for item in value]
    if isinstance(value, datetime):
        return time_text(value)
    return encode(value)
