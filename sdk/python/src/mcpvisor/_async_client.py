"""The client, in the one of its two forms that the name of this file says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from types import TracebackType
from typing import Any, Callable, Dict, Generic, List, Literal, TypedDict, TypeVar, cast, overload

import httpx

from . import _operations as ops
from . import _types as t
from ._async_sender import AsyncSender
from ._config import DEFAULT_BASE_URL, DEFAULT_TIMEOUT, config_of, endpoint_of
from ._requests import Operation
from ._results import Endpoint, InvokeResult, Page
from ._streams import Asked, Followed, cut

T = TypeVar("T")
S = TypeVar("S", Followed, Asked)
Own = TypeVar("Own", bound="AsyncEventStream[Any, Any]")


class Nothing(TypedDict):
    """What an act answers that answers nothing."""


class AsyncClient:
    """A client of a daemon; many requests may be under way at once, and it is a context manager that closes it.

    `base_url` is the daemon's address, with or without `/v1`. `api_key` is by default `MCPVISOR_API_KEY` of the
    environment; without any the daemon decides whether it knows the program. `timeout` is the time in seconds of a
    request with all its repeats. `max_retries` is how often a request is sent again, which happens only where that can
    carry nothing out twice. `transport` is httpx's, for proxies, certificates, tests.

    To cancel what is under way cancel its task; a program that waits is interrupted, by Ctrl-C or by a signal whose
    handler raises. The connection is closed then, by which the daemon cancels the call: at once, or with an
    `idempotency_key` when nobody has come back for it in five seconds.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config_of(base_url, api_key, timeout, max_retries, headers)
        self._sender = AsyncSender(self._config, transport)
        self.mcps = AsyncMcps(self._sender)
        self.logs = AsyncLogs(self._sender)
        self.resources = AsyncResources(self._sender)
        self.keys = AsyncKeys(self._sender)
        self.usage = AsyncUsageReports(self._sender)
        self.organization = AsyncOrganizationPart(self._sender)
        self.activity = AsyncActivityPart(self._sender)
        self.api = AsyncApi(self._sender)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections; what is under way fails."""
        await self._sender.close()

    @overload
    async def invoke(
        self,
        mcp: str,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> InvokeResult[Any]: ...

    @overload
    async def invoke(
        self,
        mcp: str,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        into: Callable[[Any], T],
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> InvokeResult[T]: ...

    async def invoke(
        self,
        mcp: str,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        into: Callable[[Any], Any] = ops.as_it_is,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> InvokeResult[Any]:
        """Calls a tool of an MCP, given by its id or name, once.

        `timeout` is the call's deadline in seconds (0.001 to 300), which the daemon is told; here it is waited for
        two seconds longer, so that the daemon's answer, which knows how far the call came, is the one that counts.
        Without it the daemon's own deadline holds, and the client's timeout here. `context` reaches the MCP server as
        `_meta["plexmcp/context"]`. `into` is called with the result and makes it what you want, such as
        `Weather.model_validate`.

        `idempotency_key` (1 to 255 visible ASCII characters) names this call. The daemon carries it out once and
        answers it again for 24 hours (`replayed` of the result): where you cannot tell whether it was carried out, call
        again with the same key and arguments. This client does so by itself only while the daemon says that the call is
        running, since not every service knows the header.

        Raises `ToolFailedError` where the tool reports an error, and the other errors of this package.
        """
        return await self._sender.run(ops.invoke(mcp, tool, arguments, timeout, context, idempotency_key, into))

    def mcp_url(self, server: str | None = None) -> Endpoint:
        """Where an MCP client of any SDK connects to: all servers together, or one server or group by its name."""
        return endpoint_of(self._config, server)


class AsyncListing(Generic[T]):
    """All items of a list. Each iteration asks anew, for a page when the one before is used up."""

    def __init__(self, fetch: Callable[[int], Awaitable[Page[T]]]) -> None:
        self._fetch = fetch

    async def __aiter__(self) -> AsyncIterator[T]:
        number = 1
        while True:
            page = await self._fetch(number)
            for item in page.items:
                yield item
            if number >= page.total_pages or not page.items:
                return
            number += 1


class AsyncEventStream(Generic[T, S]):
    """Items as they come.

    It is opened by the first one that is asked for, and closed by its end, by `close`, or as a context manager.
    """

    def __init__(self, sender: AsyncSender, operation: Operation[Any], state: S) -> None:
        self._sender = sender
        self._operation = operation
        self._state: S = state
        self._response: httpx.Response | None = None
        self._items = self._iterate()

    async def __aenter__(self: Own) -> Own:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self: Own) -> Own:
        return self

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def close(self) -> None:
        """Ends it: the daemon sees that the reader has left, and cancels what it did for it."""
        await self._items.aclose()
        if self._response is not None:
            await self._response.aclose()

    async def _iterate(self) -> AsyncGenerator[T, None]:
        self._response = response = await self._sender.open(self._operation)
        self._state.request_id = response.headers.get("x-request-id")
        try:
            async for data in response.aiter_bytes():
                for item in self._state.feed(data):
                    yield cast(T, item)
                if self._state.is_over:
                    break
        except httpx.HTTPError as problem:
            raise cut() from problem
        finally:
            await response.aclose()
        self._state.finish()


class AsyncFollowStream(AsyncEventStream[T, Followed]):
    """What is followed, until it ends.

    Raises `ConnectionError` where the stream was cut, and `AuthenticationError` or `PermissionDeniedError` where the
    key does not allow it any more.
    """

    @property
    def missed(self) -> int:
        """Number of items that went before they could be read, since this reader was too slow."""
        return self._state.missed

    @property
    def last_event_id(self) -> int | None:
        """Number of the last item, to go on from with a new stream."""
        return self._state.last_event_id

    @property
    def end_reason(self) -> str | None:
        """Why it has ended, such as `removed` or `shutting_down`; None while it has not."""
        return self._state.end_reason


class AsyncQueryStream(AsyncEventStream[Dict[str, Any], Asked]):
    """The events of a question: `token`, `tool_call`, `tool_result` and, at the end, `final`.

    Each is a dictionary with its name as `type`. Raises where the question ends with an error or the stream is cut.
    """

    @property
    def answer(self) -> t.ApiQueryAnswer | None:
        """The whole answer, once the stream has ended."""
        return cast("t.ApiQueryAnswer | None", self._state.answer)


class _Part:
    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def _run(self, operation: Operation[T]) -> T:
        return await self._sender.run(operation)

    def _listing(self, kind: type[T], path: str, per_page: int, filters: Mapping[str, Any]) -> AsyncListing[T]:
        return AsyncListing(lambda number: self._run(ops.page(kind, path, number, per_page, filters)))


class AsyncMcps(_Part):
    """The MCPs that the key may use. Each is named by its id or its exact name."""

    def list(
        self, *, status: t.McpStatus | Literal["all"] | None = None, health: t.Health | None = None, per_page: int = 100
    ) -> AsyncListing[t.Mcp]:
        """All MCPs, newest first, a page at a time."""
        return self._listing(t.Mcp, "/v1/mcps", per_page, {"status": status, "health": health})

    async def page(
        self,
        page: int = 1,
        per_page: int = 20,
        *,
        status: t.McpStatus | Literal["all"] | None = None,
        health: t.Health | None = None,
    ) -> Page[t.Mcp]:
        """One page of them, with how many there are."""
        return await self._run(ops.page(t.Mcp, "/v1/mcps", page, per_page, {"status": status, "health": health}))

    async def get(self, mcp: str) -> t.McpDetail:
        """An MCP with its tools and how it is."""
        return await self._run(ops.get(t.McpDetail, ops.mcp(mcp)))

    async def logs(self, mcp: str, *, tail: int = 100) -> List[t.LogLine]:
        """The last lines of its log, newest last: at most 1,000. For administrators."""
        return await self._run(ops.items(t.LogLine, ops.mcp(mcp, "logs"), {"tail": tail}))

    async def restart(self, mcp: str) -> None:
        """Replaces its processes, each when its successor is ready. For administrators."""
        await self._run(ops.act(Nothing, "POST", ops.mcp(mcp, "restart")))

    async def stop(self, mcp: str) -> None:
        """Stops it until it is started again or the daemon is. For administrators."""
        await self._run(ops.act(Nothing, "POST", ops.mcp(mcp, "stop")))

    async def start(self, mcp: str) -> None:
        """Starts it, at once where it waits for its next start. For administrators."""
        await self._run(ops.act(Nothing, "POST", ops.mcp(mcp, "start")))

    async def disable(self, mcp: str) -> None:
        """Switches it off in its definition, for good. For administrators."""
        await self._run(ops.act(Nothing, "POST", ops.mcp(mcp, "disable")))

    async def enable(self, mcp: str) -> None:
        """Switches it on in its definition. For administrators."""
        await self._run(ops.act(Nothing, "POST", ops.mcp(mcp, "enable")))


class AsyncLogs(_Part):
    """AsyncLogs of MCPs, line by line as they come. For administrators."""

    def follow(self, mcp: str, *, tail: int = 100, last_event_id: int | None = None) -> AsyncFollowStream[t.LogLine]:
        """The last lines (at most 1,000) and those to come; or those since `last_event_id`, as far as they are kept."""
        operation = ops.follow(ops.mcp(mcp, "logs"), last_event_id, tail=tail)
        return AsyncFollowStream(self._sender, operation, Followed("line", "lines"))


class AsyncResources(_Part):
    """AsyncResources of MCPs."""

    async def list(self, mcp: str, *, timeout: float | None = None) -> t.Resources:
        """The resources in `contents`, and the templates in `resource_templates`."""
        return await self._run(ops.resources(mcp, None, timeout))

    async def read(self, mcp: str, uri: str, *, timeout: float | None = None) -> t.Resources:
        """What a resource has, in `contents`: each entry with a `text`, or a `blob` in Base64."""
        if not uri:
            raise ValueError("uri is empty")
        return await self._run(ops.resources(mcp, uri, timeout))


class AsyncKeys(_Part):
    """API keys: those of the caller's member, or all for administrators. `self` in place of an id is the key in use."""

    def list(
        self, *, status: t.KeyStatus | Literal["all"] | None = None, per_page: int = 100
    ) -> AsyncListing[t.ApiKey]:
        """All keys, newest first, a page at a time; never their texts."""
        return self._listing(t.ApiKey, "/v1/api-keys", per_page, {"status": status})

    async def page(
        self, page: int = 1, per_page: int = 20, *, status: t.KeyStatus | Literal["all"] | None = None
    ) -> Page[t.ApiKey]:
        """One page of them, with how many there are."""
        return await self._run(ops.page(t.ApiKey, "/v1/api-keys", page, per_page, {"status": status}))

    async def create(self, name: str, **fields: Any) -> t.NewApiKey:
        """Makes a key, whose text is in `key` this once.

        `fields` are those of `CreateKeyBody`: `description`, `expires_at`, `permissions`, `limits`, `owner_id`,
        `member`.
        """
        return await self._run(ops.act(t.NewApiKey, "POST", "/v1/api-keys", {"name": name, **fields}))

    async def get(self, key_id: str) -> t.ApiKey:
        """A key, never its text."""
        return await self._run(ops.get(t.ApiKey, ops.key(key_id)))

    async def update(self, key_id: str, **fields: Any) -> t.ApiKey:
        """Changes what is given of `UpdateKeyBody`; None takes a description, an end or a limit away."""
        return await self._run(ops.act(t.ApiKey, "PATCH", ops.key(key_id), fields))

    async def revoke(self, key_id: str, *, descendants: Literal["true", "only"] | None = None) -> t.KeyRevocation:
        """Ends a key from its very next request on, with all that it has made or only that where told so."""
        return await self._run(ops.act(t.KeyRevocation, "DELETE", ops.key(key_id), query={"descendants": descendants}))

    async def rotate(self, key_id: str, *, grace: str | None = None) -> t.RotatedApiKey:
        """Gives a key another text, which is told this once.

        The one before is good for the grace, such as `"1h"`, else refused at once.
        """
        body = None if grace is None else {"grace": grace}
        return await self._run(ops.act(t.RotatedApiKey, "POST", ops.key(key_id, "rotate"), body))

    async def usage(self, key_id: str, **span: Any) -> t.Usage:
        """What a key has been used for: `period`, or `start_date` and `end_date`."""
        return await self._run(ops.get(t.Usage, ops.key(key_id, "usage"), span))


class AsyncUsageReports(_Part):
    """What was called how often: of all for administrators, else of the caller's member."""

    async def get(
        self,
        *,
        period: Literal["hour", "day", "week", "month"] | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
        since: str | None = None,
        until: str | None = None,
        by: List[Literal["key", "server", "tool"]] | None = None,
        step: Literal["5m", "1h", "1d"] | None = None,
        key_id: str | None = None,
        mcp_id: str | None = None,
        tool: str | None = None,
    ) -> t.Usage:
        """The sums of a span, the current month by default; `by` and `step` give `groups`. Times are RFC 3339."""
        span = {"period": period, "start_date": start_date, "end_date": end_date, "since": since, "until": until}
        narrowed = {"by": by, "step": step, "key_id": key_id, "mcp_id": mcp_id, "tool": tool}
        return await self._run(ops.get(t.Usage, "/v1/usage", {**span, **narrowed}))

    def history(
        self,
        *,
        granularity: Literal["hour", "day", "month"] | None = None,
        period: Literal["day", "week", "month"] | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
        mcp_id: str | None = None,
        key_id: str | None = None,
        per_page: int = 100,
    ) -> AsyncListing[t.UsageBucket]:
        """The buckets of a span, newest first, also those without calls."""
        span = {"granularity": granularity, "period": period, "start_date": start_date, "end_date": end_date}
        query = {**span, "mcp_id": mcp_id, "key_id": key_id}
        return self._listing(t.UsageBucket, "/v1/usage/history", per_page, query)


class AsyncOrganizationPart(_Part):
    """The organization and its members."""

    async def get(self) -> t.Organization:
        """Its plan, its limits and what is used of them."""
        return await self._run(ops.get(t.Organization, "/v1/organization"))

    def members(self, *, role: t.Role | None = None, per_page: int = 100) -> AsyncListing[t.Member]:
        """All members, newest first, a page at a time."""
        return self._listing(t.Member, "/v1/organization/members", per_page, {"role": role})


class AsyncActivityPart(_Part):
    """Calls of late, one by one: all for administrators, else those of the caller's member."""

    async def list(
        self,
        *,
        key: str | None = None,
        server: str | None = None,
        tool: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 1000,
    ) -> AsyncIterator[t.ActivityCall]:
        """All calls that match, newest first; `limit` of them (at most 1,000) a request."""
        filters = {"key": key, "server": server, "tool": tool, "outcome": outcome, "since": since, "until": until}
        cursor: int | None = None
        while True:
            query = {**filters, "limit": limit, "cursor": cursor}
            found = await self._run(ops.get(t.Activity, "/v1/activity", query))
            for call in found["calls"]:
                yield call
            cursor = found["next_cursor"]
            if cursor is None:
                return

    def follow(
        self,
        *,
        key: str | None = None,
        server: str | None = None,
        tool: str | None = None,
        outcome: str | None = None,
        limit: int = 10,
        last_event_id: int | None = None,
    ) -> AsyncFollowStream[t.ActivityCall]:
        """The last `limit` calls that match (may be 0), then each as it ends."""
        filters = {"key": key, "server": server, "tool": tool, "outcome": outcome, "limit": limit}
        operation = ops.follow("/v1/activity", last_event_id, **filters)
        return AsyncFollowStream(self._sender, operation, Followed("call", "calls"))


class AsyncApi:
    """The dialect of the MCP CLI API: servers, their tools, questions and files. For administrators."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender
        self.servers = AsyncApiServers(sender)
        self.config = AsyncApiConfig(sender)

    async def status(self) -> t.ApiStatus:
        """Answers while the API does, whatever the servers do."""
        return await self._sender.run(ops.api(t.ApiStatus, "GET", "/api/status"))

    async def tools(self, server: str) -> List[t.ApiTool]:
        """The tools of a server, which is waited for while it starts."""
        return await self._sender.run(ops.api_list(t.ApiTool, ops.server(server, "tools"), "tools"))

    @overload
    def query(
        self, server: str, query: str, *, stream: Literal[False] = False, timeout: float | None = None, **further: Any
    ) -> Awaitable[t.ApiQueryAnswer]: ...

    @overload
    def query(
        self, server: str, query: str, *, stream: Literal[True], timeout: float | None = None, **further: Any
    ) -> AsyncQueryStream: ...

    def query(
        self, server: str, query: str, *, stream: bool = False, timeout: float | None = None, **further: Any
    ) -> Awaitable[t.ApiQueryAnswer] | AsyncQueryStream:
        """Has the daemon's model answer a question with the tools of a server.

        With `stream` the events come one by one. `timeout` is the question's deadline in seconds, five minutes unless
        the daemon is set otherwise. `further` are the other members of `ApiRunQueryBody`, such as `model`.
        """
        operation = ops.query(server, query, stream, timeout, further)
        return AsyncQueryStream(self._sender, operation, Asked()) if stream else self._sender.run(operation)


class AsyncApiServers(_Part):
    """Definitions of servers, by their names."""

    async def list(self) -> List[t.ApiServer]:
        """All of them, in the order in which they were added."""
        return await self._run(ops.api_list(t.ApiServer, "/api/servers", "servers"))

    async def get(self, name: str) -> t.ApiServer:
        """One of them."""
        return await self._run(ops.api(t.ApiServer, "GET", ops.server(name)))

    async def create(self, name: str, **definition: Any) -> t.ApiDone:
        """Stores a server, which starts in the background; the same one again is no change.

        `definition` has the members of `ApiAddServerBody`: `command` with `args`, or `url`; `env`, `mcpvisor`.
        """
        return await self._run(ops.api(t.ApiDone, "POST", "/api/servers", {"name": name, **definition}))

    async def update(self, name: str, **definition: Any) -> t.ApiDone:
        """Replaces what is given of a definition, each member as a whole."""
        return await self._run(ops.api(t.ApiDone, "PUT", ops.server(name), definition))

    async def delete(self, name: str) -> t.ApiDone:
        """Removes a server; its process is ended in the background."""
        return await self._run(ops.api(t.ApiDone, "DELETE", ops.server(name)))

    async def begin_login(self, name: str, redirect_uri: str) -> t.ApiLogin:
        """Begins a login at a remote server: the answer has the address to open in a browser."""
        return await self._run(ops.api(t.ApiLogin, "POST", ops.server(name, "login"), {"redirect_uri": redirect_uri}))

    async def finish_login(self, name: str, **came_back: Any) -> t.ApiDone:
        """Ends a login with what came back: `state`, `code`, `iss`, `error`."""
        return await self._run(ops.api(t.ApiDone, "POST", ops.server(name, "login", "finish"), came_back))


class AsyncApiConfig(_Part):
    """All servers, as a file on the daemon's machine."""

    async def export_to(self, filepath: str) -> t.ApiDone:
        """Writes them to a file, whole or not at all."""
        return await self._run(ops.api(t.ApiDone, "POST", "/api/config/export", {"filepath": filepath}))

    async def import_from(self, filepath: str) -> t.ApiDone:
        """Replaces them by those of a file, all or nothing."""
        return await self._run(ops.api(t.ApiDone, "POST", "/api/config/import", {"filepath": filepath}))
