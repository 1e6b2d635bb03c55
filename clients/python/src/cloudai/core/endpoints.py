"""Chooses the master to ask next."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from ..errors import NotConfigured

_HOST = re.compile(r"[\w.:%-]+\Z")


def normalized(endpoint: str, *, is_encrypted: bool) -> str:
    """Return the base URL of an endpoint, which may be given as host:port."""
    url = endpoint.strip().removesuffix("/")
    if "://" not in url:
        url = f"{'https' if is_encrypted else 'http'}://{url}"
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and _HOST.match(parts.hostname or "") is not None
        is_bare = not (parts.path or parts.query or parts.fragment or parts.username)
        _ = parts.port
    except ValueError:
        is_url = is_bare = False
    if not is_url or not is_bare:
        raise NotConfigured(f"endpoint '{endpoint}' is not host:port, or http(s)://host:port")
    return url


class Endpoints:
    """Masters that a client knows. Calls stay with one as long as it does well.

    One that has failed is left alone until it has cooled down, unless all have: then the one that has
    done so first is asked. Calls side by side share this.
    """

    def __init__(self, urls: Sequence[str], first: int = 0) -> None:
        if not urls:
            raise NotConfigured("no endpoint is given")
        self._urls = tuple(dict.fromkeys(urls))
        self._current = first % len(self._urls)
        self._ready_at = dict.fromkeys(self._urls, float("-inf"))
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._urls)

    @property
    def current(self) -> str:
        """The endpoint with which calls stay."""
        return self._urls[self._current]

    def choose(self, time: float) -> tuple[str, float]:
        """Return the endpoint to ask, and for how long to wait before."""
        with self._lock:
            turn = self._urls[self._current :] + self._urls[: self._current]
            chosen = min(turn, key=lambda url: max(self._ready_at[url], time))
            return chosen, max(self._ready_at[chosen] - time, 0.0)

    def on_answer(self, url: str) -> None:
        """Stay with an endpoint that has answered."""
        with self._lock:
            self._ready_at[url] = float("-inf")
            self._current = self._urls.index(url)

    def on_failure(self, url: str, ready_at: float) -> None:
        """Leave an endpoint alone until it has cooled down."""
        with self._lock:
            self._ready_at[url] = ready_at
            if self._urls[self._current] == url:
                self._current = (self._current + 1) % len(self._urls)
