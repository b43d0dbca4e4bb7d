"""Settings of a client, and what follows from them alone."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from ._results import Endpoint
from ._version import __version__

DEFAULT_BASE_URL = "http://127.0.0.1:5000"
DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True)
class Config:
    """Settings of a client, checked."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout: float
    max_retries: int
    headers: Mapping[str, str] = field(repr=False)


def config_of(
    base_url: str, api_key: str | None, timeout: float, max_retries: int, headers: Mapping[str, str] | None
) -> Config:
    """The settings, or a `ValueError` that says which one cannot be used."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"base_url must be the address of a daemon, such as {DEFAULT_BASE_URL}, not {base_url!r}")
    key = os.environ.get("MCPVISOR_API_KEY") if api_key is None else api_key
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("api_key has characters that no key has; is there a newline at its end?")
    checked_timeout(timeout)
    if isinstance(max_retries, bool) or max_retries < 0:
        raise ValueError("max_retries must be a whole number, at least 0")
    # The reference writes the address with the version behind it, other programs without: both are meant.
    base = base_url.rstrip("/").removesuffix("/v1")
    sent = {"user-agent": f"mcpvisor-python/{__version__}", "accept": "application/json, text/event-stream"}
    if key:
        sent["authorization"] = f"Bearer {key}"
    sent.update({name.lower(): value for name, value in (headers or {}).items()})
    return Config(base, key or None, timeout, max_retries, sent)


def checked_timeout(timeout: float) -> float:
    """A time in seconds that can be waited, else a `ValueError`."""
    if not (0 < timeout < math.inf):
        raise ValueError(f"a timeout is a number of seconds above 0, not {timeout!r}")
    return timeout


def checked_idempotency_key(key: str) -> str:
    """A key that the daemon takes, else a `ValueError`."""
    if not 1 <= len(key) <= 255 or not all("!" <= letter <= "~" for letter in key):
        raise ValueError("idempotency_key must be 1 to 255 visible ASCII characters")
    return key


def segment(text: str) -> str:
    """A name as a part of a path."""
    if not text or text in (".", ".."):
        raise ValueError(f"{text!r} is no name or id")
    return quote(text, safe="")


def endpoint_of(config: Config, server: str | None) -> Endpoint:
    """Address of the MCP endpoint, and the headers that it wants."""
    url = f"{config.base_url}/mcp" + (f"/{segment(server)}" if server is not None else "")
    return Endpoint(url, {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {})
