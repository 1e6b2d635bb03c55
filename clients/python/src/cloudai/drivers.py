"""Carries out what calls want done: over httpx, with threads or with asyncio."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import httpx

from .core.effects import (
    Break,
    Broken,
    Emit,
    Now,
    Open,
    Opened,
    Pause,
    Program,
    Read,
    Reply,
    Request,
    Result,
    Send,
)
from .errors import NotConfigured

T = TypeVar("T")

CONNECT_TIMEOUT = 3.0
"""Longest time for a connection, in seconds: a machine that is gone does not say so."""

KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]
"""Options by which a silent connection breaks within 35 s after the other machine is gone."""

_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")
"""Parts of the names of TLS alerts by which a server refuses a client's certificate."""

Bearer = Callable[[], "str | None"]


def broken(error: Exception) -> Broken:
    """Return the reason that there is no answer."""
    detail = str(error) or type(error).__name__
    if _is_about_certificates(error):
        return Broken(Break.UNTRUSTED, detail)
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return Broken(Break.UNREACHABLE, detail)
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        raise NotConfigured(f"the request is none that can be sent: {detail}") from error
    if isinstance(error, httpx.TimeoutException):
        return Broken(Break.TIMED_OUT, detail)
    return Broken(Break.LOST, detail)


def _is_about_certificates(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or "").upper()
            return any(alert in reason for alert in _CERTIFICATE_ALERTS)
        cause = cause.__cause__ or cause.__context__
    return False


def _built(
    client: httpx.Client | httpx.AsyncClient,
    endpoint: str,
    request: Request,
    timeout: float,
    bearer: Bearer,
) -> httpx.Request:
    # What is followed is read in pieces as they are sent.
    headers = [("accept-encoding", "identity"), *request.headers]
    token = bearer()
    if token is not None:
        headers.append(("authorization", f"Bearer {token}"))
    return client.build_request(
        request.method,
        endpoint + request.path,
        params=list(request.query) or None,
        headers=headers,
        content=request.body,
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
    )


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


class SyncDriver:
    """Carries out calls in the thread that makes them. Threads may share it."""

    def __init__(self, client: httpx.Client, bearer: Bearer) -> None:
        self._client = client
        self._bearer = bearer

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def run(self, program: Program[T]) -> T:
        """Run a call and return its answer."""
        result: Result = None
        while True:
            try:
                effect = program.send(result)
            except StopIteration as stop:
                answer: T = stop.value
                return answer
            assert isinstance(effect, (Send, Pause, Now)), "a call iterates: use iterate"
            result = self._simple(effect)

    def iterate(self, program: Program[None]) -> Iterator[Any]:
        """Run a call that emits items."""
        stream: httpx.Response | None = None
        pieces: Iterator[bytes] = iter(())
        result: Result = None
        try:
            while True:
                try:
                    effect = program.send(result)
                except StopIteration:
                    return
                if isinstance(effect, Emit):
                    result = None
                    yield effect.item
                elif isinstance(effect, Open):
                    if stream is not None:
                        stream.close()
                    stream, result = self._open(effect)
                    if stream is not None:
                        pieces = stream.iter_raw()
                elif isinstance(effect, Read):
                    result = _next_piece(stream, pieces, effect.timeout)
                else:
                    result = self._simple(effect)
        finally:
            program.close()
            if stream is not None:
                stream.close()

    def _simple(self, effect: Send | Pause | Now) -> Result:
        if isinstance(effect, Send):
            return self._send(effect)
        if isinstance(effect, Pause):
            time.sleep(effect.seconds)
            return None
        return time.monotonic()

    def _send(self, effect: Send) -> Reply | Broken:
        request = _built(
            self._client, effect.endpoint, effect.request, effect.timeout, self._bearer
        )
        try:
            answer = self._client.send(request)
        except httpx.TransportError as error:
            return broken(error)
        return Reply(answer.status_code, _headers(answer), answer.content)

    def _open(self, effect: Open) -> tuple[httpx.Response | None, Opened | Reply | Broken]:
        request = _built(
            self._client, effect.endpoint, effect.request, effect.timeout, self._bearer
        )
        try:
            answer = self._client.send(request, stream=True)
            if answer.status_code == 200:
                return answer, Opened(_headers(answer))
            try:
                body = answer.read()
            finally:
                answer.close()
        except httpx.TransportError as error:
            return None, broken(error)
        return None, Reply(answer.status_code, _headers(answer), body)


def _next_piece(
    stream: httpx.Response | None, pieces: Iterator[bytes], timeout: float
) -> bytes | Broken | None:
    assert stream is not None, "nothing is open"
    _set_read_timeout(stream, timeout)
    try:
        return next(pieces, None)
    except httpx.TransportError as error:
        return broken(error)


def _set_read_timeout(stream: httpx.Response, timeout: float) -> None:
    """Give each read its time: httpx looks at the request's extensions before every one."""
    stream.request.extensions.setdefault("timeout", {})["read"] = timeout


class AsyncDriver:
    """Carries out calls in an event loop."""

    def __init__(self, client: httpx.AsyncClient, bearer: Bearer) -> None:
        self._client = client
        self._bearer = bearer

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def run(self, program: Program[T]) -> T:
        """Run a call and return its answer."""
        result: Result = None
        while True:
            try:
                effect = program.send(result)
            except StopIteration as stop:
                answer: T = stop.value
                return answer
            assert isinstance(effect, (Send, Pause, Now)), "a call iterates: use iterate"
            result = await self._simple(effect)

    async def iterate(self, program: Program[None]) -> AsyncIterator[Any]:
        """Run a call that emits items."""
        stream: httpx.Response | None = None
        pieces: AsyncIterator[bytes] | None = None
        result: Result = None
        try:
            while True:
                try:
                    effect = program.send(result)
                except StopIteration:
                    return
                if isinstance(effect, Emit):
                    result = None
                    yield effect.item
                elif isinstance(effect, Open):
                    if stream is not None:
                        await stream.aclose()
                    stream, result = await self._open(effect)
                    if stream is not None:
                        pieces = stream.aiter_raw()
                elif isinstance(effect, Read):
                    result = await _next_piece_async(stream, pieces, effect.timeout)
                else:
                    result = await self._simple(effect)
        finally:
            program.close()
            if stream is not None:
                await stream.aclose()

    async def _simple(self, effect: Send | Pause | Now) -> Result:
        if isinstance(effect, Send):
            return await self._send(effect)
        if isinstance(effect, Pause):
            await asyncio.sleep(effect.seconds)
            return None
        return time.monotonic()

    async def _send(self, effect: Send) -> Reply | Broken:
        request = _built(
            self._client, effect.endpoint, effect.request, effect.timeout, self._bearer
        )
        try:
            answer = await self._client.send(request)
        except httpx.TransportError as error:
            return broken(error)
        return Reply(answer.status_code, _headers(answer), answer.content)

    async def _open(self, effect: Open) -> tuple[httpx.Response | None, Opened | Reply | Broken]:
        request = _built(
            self._client, effect.endpoint, effect.request, effect.timeout, self._bearer
        )
        try:
            answer = await self._client.send(request, stream=True)
            if answer.status_code == 200:
                return answer, Opened(_headers(answer))
            try:
                body = await answer.aread()
            finally:
                await answer.aclose()
        except httpx.TransportError as error:
            return None, broken(error)
        return None, Reply(answer.status_code, _headers(answer), body)


async def _next_piece_async(
    stream: httpx.Response | None, pieces: AsyncIterator[bytes] | None, timeout: float
) -> bytes | Broken | None:
    assert stream is not None and pieces is not None, "nothing is open"
    _set_read_timeout(stream, timeout)
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return None
    except httpx.TransportError as error:
        return broken(error)
