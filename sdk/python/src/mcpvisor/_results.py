"""What calls and lists answer with, beside the types of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Generic, List, TypeVar

from ._types import ContentBlock, InvocationMetadata

T = TypeVar("T")


@dataclass(frozen=True)
class InvokeResult(Generic[T]):
    """What a tool answered."""

    result: T
    """The structured content, else of a lone text the JSON object or array in it, or the text; else the blocks."""
    content: List[ContentBlock]
    """The blocks as the MCP server sent them; empty where the service does not tell them."""
    metadata: InvocationMetadata
    """The MCP's id, the tool, and how long it took."""
    request_id: str | None
    """Id of the request, by which the daemon's log and audit tell more."""
    replayed: bool = False
    """True where an earlier call with the same `idempotency_key` has this answer, and this one ran nothing."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list."""

    items: List[T]
    """What is on the page; empty beyond the last one."""
    page: int
    """Number of the page, from 1."""
    per_page: int
    """Most items of a page: at most 100, whatever was asked for."""
    total: int
    """Number of items on all pages."""
    total_pages: int
    """Number of pages."""
    request_id: str | None


@dataclass(frozen=True)
class Endpoint:
    """Where an MCP client of any SDK connects to."""

    url: str
    headers: Dict[str, str]
