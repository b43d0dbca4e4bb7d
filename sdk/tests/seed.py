"""A service that answers as the PlexMCP reference and its documents of the same generation say, and with nothing else.

No id of a request, no blocks beside a result, no phase of a failed call: what mcpvisor adds is not there, and a client
has to do without. The rates are told in each answer, as the reference has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stand_in import Link, Received, StandIn, answer

KEY = "pk_live_abcdefghijklmnopqrstuvwxyz012345"
MCPS = 45


def _mcp(number: int) -> dict[str, Any]:
    return {
        "id": f"mcp_{number:03}",
        "name": f"weather-{number}",
        "endpoint_url": f"https://mcp-{number}.example.com",
        "description": "Weather data",
        "status": "active",
        "health": "healthy",
        "created_at": "2024-01-15T10:30:00Z",
        "last_active": "2024-01-15T15:45:00Z",
        "request_count": 8000,
    }


def _detail(number: int) -> dict[str, Any]:
    tool = {"name": "get_weather", "description": "Get weather", "input_schema": {"type": "object"}}
    stats = {"total_requests": 8000, "requests_today": 150, "error_rate": 0.02, "avg_latency_ms": 125}
    checked = "2024-01-15T15:45:00Z"
    return {**_mcp(number), "health_checked_at": checked, "updated_at": checked, "stats": stats, "tools": [tool]}


ORGANIZATION = {
    "id": "org_123",
    "name": "My Company",
    "slug": "my-company",
    "description": "Our organization",
    "plan": "pro",
    "created_at": "2024-01-01T00:00:00Z",
    "settings": {"pin_protection": False},
    "limits": {"mcps": 20, "api_keys": 10, "team_members": 5, "monthly_requests": 50000},
    "usage": {"mcps": 3, "api_keys": 2, "team_members": 2, "monthly_requests": 12500},
}
MEMBER = {
    "id": "user_123",
    "email": "jane@example.com",
    "name": "Jane",
    "role": "owner",
    "joined_at": "2024-01-01T00:00:00Z",
    "last_active": "2024-01-15T15:45:00Z",
}
API_KEY = {
    "id": "key_123",
    "name": "Production",
    "description": "Main",
    "prefix": "pk_live_abc",
    "status": "active",
    "created_at": "2024-01-01T00:00:00Z",
    "last_used": "2024-01-15T15:45:00Z",
    "expires_at": None,
    "permissions": {"mcps": "*"},
    "usage": {"total_requests": 5000, "requests_today": 50},
}
# Tools that fail, and as what.
FAILURES: dict[str, tuple[int, str, dict[str, Any] | None]] = {
    "unreachable": (502, "mcp_unreachable", None),
    "times_out": (504, "mcp_timeout", None),
    "fails": (502, "mcp_error", {"mcp_error": "City not found"}),
    "unavailable": (503, "service_unavailable", None),
    "broken": (500, "internal_error", {"request_id": "req_abc123"}),
    "missing": (404, "tool_not_found", None),
    "refuses": (400, "invalid_arguments", None),
    "used_up": (429, "quota_exceeded", {"limit": 50000, "used": 50000}),
    "too_fast": (429, "rate_limited", None),
}


class Seed(StandIn):
    """Listens until it is closed."""

    def __init__(self) -> None:
        super().__init__(rest=self._answer)

    def _answer(self, link: Link, request: Received, stand_in: StandIn) -> bool:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self.fail(link, request, 401, "unauthorized", "Invalid or missing API key")
        handlers: dict[tuple[str, str], Callable[[], tuple[int, Any, Any]]] = {
            ("GET", "/v1/mcps"): lambda: self._mcps(request),
            ("POST", "/v1/mcp/invoke"): lambda: self._invoke(request),
            ("POST", "/v1/mcp/resources"): lambda: (200, self._resources(request), None),
            ("GET", "/v1/organization"): lambda: (200, ORGANIZATION, None),
            ("GET", "/v1/organization/members"): lambda: self._page(request, [MEMBER]),
            ("GET", "/v1/api-keys"): lambda: self._page(request, [API_KEY]),
            ("POST", "/v1/api-keys"): lambda: (201, self._made(request), None),
            ("DELETE", "/v1/api-keys/key_123"): lambda: (
                200,
                {"id": "key_123", "status": "revoked", "revoked_at": "2024-01-15T16:00:00Z"},
                None,
            ),
            ("GET", "/v1/mcps/mcp_007"): lambda: (200, _detail(7), None),
        }
        handler = handlers.get((request.method, request.path))
        if handler is None:
            return self.fail(link, request, 404, "not_found", "Resource not found")
        found = handler()
        if isinstance(found[1], str):
            status, code, details = found
            return self.fail(link, request, status, code, "The reference says so", details)
        status, value, place = found
        body = {"success": True, "data": value} | ({"pagination": place} if place else {})
        return answer(status, body, self._rates())(link, request, stand_in)

    def _mcps(self, request: Received) -> tuple[int, Any, Any]:
        return self._page(request, [_mcp(number) for number in range(MCPS)])

    @staticmethod
    def _page(request: Received, items: list[Any]) -> tuple[int, Any, Any]:
        page, size = int(request.query.get("page", "1")), min(int(request.query.get("per_page", "20")), 100)
        pages = -(-len(items) // size)
        place = {"page": page, "per_page": size, "total": len(items), "total_pages": pages}
        return 200, items[(page - 1) * size : page * size], place

    @staticmethod
    def _invoke(request: Received) -> tuple[int, Any, Any]:
        body = request.json()
        if body["tool"] in FAILURES:
            return FAILURES[body["tool"]]
        metadata = {
            "mcp_id": body["mcp_id"],
            "tool": body["tool"],
            "latency_ms": 125,
            "timestamp": "2024-01-15T15:45:00Z",
        }
        result = {"location": body["arguments"]["location"], "temperature": 65, "conditions": "Partly cloudy"}
        return 200, {"result": result, "metadata": metadata}, None

    @staticmethod
    def _resources(request: Received) -> dict[str, Any]:
        listed = [{"uri": "file:///data/config.json", "name": "config.json", "mimeType": "application/json"}]
        return {"contents": listed}

    @staticmethod
    def _made(request: Received) -> dict[str, Any]:
        fields = request.json()
        return {
            "id": "key_456",
            "name": fields["name"],
            "key": "pk_live_zyxwvutsrqponmlkjihgfedcba987654",
            "prefix": "pk_live_zyx",
            "status": "active",
            "created_at": "2024-01-15T16:00:00Z",
            "expires_at": fields.get("expires_at"),
            "permissions": fields.get("permissions", {"mcps": "*"}),
        }

    @staticmethod
    def _rates() -> dict[str, str]:
        reset = str(int(time.time()) + 1)
        return {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "99", "x-ratelimit-reset": reset}
