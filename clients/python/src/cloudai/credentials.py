"""What a client shows to the masters, and whom it believes."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from .errors import NotConfigured

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Credentials:
    """Token, certificates, and the authority that is believed."""

    token: str | Callable[[], str] | None = None
    token_file: PathLike | None = None
    ca: PathLike | None = None
    cert: PathLike | None = None
    key: PathLike | None = None

    @property
    def is_encrypted(self) -> bool:
        """True if there is something that only TLS can use."""
        return self.ca is not None or self.cert is not None

    def tls(self) -> ssl.SSLContext:
        """Return the TLS of connections: the system's authorities are believed unless one is given."""
        if (self.cert is None) != (self.key is None):
            raise NotConfigured("cert and key belong together: give both or none")
        try:
            context = ssl.create_default_context(
                cafile=None if self.ca is None else os.fspath(self.ca)
            )
            if self.cert is not None and self.key is not None:
                context.load_cert_chain(os.fspath(self.cert), os.fspath(self.key))
        except OSError as error:
            files = ", ".join(str(file) for file in (self.ca, self.cert, self.key) if file)
            raise NotConfigured(f"cannot use the certificates in {files}: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def bearer(self) -> Callable[[], str | None]:
        """Return what tells the token of each request."""
        token = self.token
        if token is not None and self.token_file is not None:
            raise NotConfigured("token and token_file exclude each other")
        if self.token_file is not None:
            token = read_token(Path(self.token_file))
        if callable(token):
            return token
        return lambda: token


def read_token(file: Path) -> str:
    """Read a token. A file that others may read is refused."""
    try:
        mode = file.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise NotConfigured(f"others may use {file}: chmod 600 it")
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"cannot read the token in {file}: {error}") from error


def from_environment(
    environment: Mapping[str, str],
) -> tuple[Sequence[str], Credentials]:
    """Read endpoints and credentials from variables: those of ``clusterctl``, but for the endpoints."""
    listed = environment.get("CLOUDAI_HTTP_ENDPOINTS", "")
    endpoints = [endpoint.strip() for endpoint in listed.split(",") if endpoint.strip()]
    if not endpoints:
        raise NotConfigured(
            "CLOUDAI_HTTP_ENDPOINTS is not set: the HTTP addresses of masters, separated by commas"
        )
    token = environment.get("CLUSTERCTL_TOKEN") or None
    return endpoints, Credentials(
        token=token,
        token_file=None if token else environment.get("CLUSTERCTL_TOKEN_FILE") or None,
        ca=environment.get("CLUSTERCTL_CACERT") or None,
        cert=environment.get("CLUSTERCTL_CERT") or None,
        key=environment.get("CLUSTERCTL_KEY") or None,
    )
