"""Reads what a master says when a request has failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import Fault, Outcome, Problem, kind_of
from .effects import Reply

MEDIA_TYPE = "application/problem+json"
_DETAIL_CHARS_MAX = 300


def read_problem(reply: Reply) -> Problem:
    """Return the problem that an answer tells of; one that comes from a proxy has no kind."""
    body = _object(reply)
    retry_after = _seconds(reply.headers.get("retry-after"))
    if body is None:
        text = reply.body.decode("utf-8", "replace").strip()[:_DETAIL_CHARS_MAX]
        detail = text or "the answer has no body"
        return Problem(
            reply.status, "", "", f"status {reply.status}: {detail}", retry_after=retry_after
        )
    return Problem(
        status=reply.status,
        kind=kind_of(_text(body, "type")),
        title=_text(body, "title"),
        detail=_text(body, "detail"),
        faults=_faults(body.get("errors")),
        outcome=_outcome(body.get("outcome")),
        request_id=_text(body, "request_id") or None,
        retry_after=retry_after,
    )


def _object(reply: Reply) -> Mapping[str, Any] | None:
    media_type = reply.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        return None
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _faults(listed: object) -> tuple[Fault, ...]:
    if not isinstance(listed, list):
        return ()
    objects = (item for item in listed if isinstance(item, dict))
    return tuple(Fault(_text(item, "pointer"), _text(item, "detail")) for item in objects)


def _outcome(name: object) -> Outcome | None:
    return next((outcome for outcome in Outcome if outcome.value == name), None)


def _seconds(text: str | None) -> float | None:
    """Read Retry-After as seconds; its other form, a date, needs a clock that is right."""
    return float(text) if text is not None and text.strip().isdecimal() else None
