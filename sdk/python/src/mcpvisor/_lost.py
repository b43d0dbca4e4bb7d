"""Errors of requests whose answer did not come, or not whole."""

from __future__ import annotations

import httpx

from ._errors import ConnectionError, McpvisorError, ProtocolError
from ._requests import Clock


def error_of_transport(problem: httpx.HTTPError, clock: Clock, *, answered: bool, reads_only: bool) -> McpvisorError:
    """The error of a request whose answer did not come, or not whole (`answered`)."""
    before = isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
    if isinstance(problem, httpx.TimeoutException):
        if not before:
            return clock.over("unknown")
        if clock.remaining() <= 0 or isinstance(problem, httpx.PoolTimeout):
            return clock.over("not_sent")
    words = str(problem) or type(problem).__name__
    if isinstance(problem, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return ConnectionError(f"the request cannot be sent: {words}", fault="caller", phase="not_sent")
    if before:
        return ConnectionError(
            f"the daemon cannot be reached: {words}", fault="network", phase="not_sent", is_retryable=True
        )
    if answered:
        return ProtocolError(f"the answer was cut: {words}", fault="network", phase="unknown", is_retryable=reads_only)
    if isinstance(problem, httpx.RemoteProtocolError) and "disconnected" not in words:
        return ProtocolError(f"the answer is no HTTP: {words}", fault="network", phase="unknown")
    return ConnectionError(
        f"the connection was lost: {words}", fault="network", phase="unknown", is_retryable=reads_only
    )
