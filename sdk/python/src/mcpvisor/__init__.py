"""A client of mcpvisor, and of services that speak the PlexMCP API: `Client` waits, `AsyncClient` awaits."""

from ._async_client import AsyncClient, AsyncFollowStream, AsyncListing, AsyncQueryStream
from ._client import Client, FollowStream, Listing, QueryStream
from ._errors import (
    AuthenticationError,
    ConflictError,
    ConnectionError,
    Fault,
    InternalError,
    McpvisorError,
    NotFoundError,
    PermissionDeniedError,
    Phase,
    ProtocolError,
    QuotaExceededError,
    RateLimitedError,
    ServerFailedError,
    ServerUnavailableError,
    TimeoutError,
    TooLargeError,
    ToolFailedError,
    ValidationError,
)
from ._results import Endpoint, InvokeResult, Page
from ._version import __version__

__all__ = [
    "AsyncClient",
    "AsyncFollowStream",
    "AsyncListing",
    "AsyncQueryStream",
    "AuthenticationError",
    "Client",
    "ConflictError",
    "ConnectionError",
    "Endpoint",
    "Fault",
    "FollowStream",
    "InternalError",
    "InvokeResult",
    "Listing",
    "McpvisorError",
    "NotFoundError",
    "Page",
    "PermissionDeniedError",
    "Phase",
    "ProtocolError",
    "QueryStream",
    "QuotaExceededError",
    "RateLimitedError",
    "ServerFailedError",
    "ServerUnavailableError",
    "TimeoutError",
    "TooLargeError",
    "ToolFailedError",
    "ValidationError",
    "__version__",
]
