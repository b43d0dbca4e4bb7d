"""Sends requests, waits, and sends again what may be sent again, in the form that the name of this file says."""

from __future__ import annotations

import asyncio
import random
from typing import Any, TypeVar

import httpx

from ._answers import Answer, answer_of
from ._config import Config
from ._errors import ConflictError, McpvisorError, ProtocolError
from ._lost import error_of_transport
from ._requests import Clock, Operation, request_arguments
from ._retry import wait_before_retry

T = TypeVar("T")

STREAM_SILENCE = 45.0
"""Seconds without a byte after which a stream counts as lost; the daemon sends a comment every 15."""


class AsyncSender:
    """The connections of a client."""

    def __init__(self, config: Config, transport: httpx.AsyncBaseTransport | None) -> None:
        self._config = config
        self._http = httpx.AsyncClient(headers=config.headers, transport=transport, follow_redirects=False)

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def run(self, operation: Operation[T]) -> T:
        """What the answer means, over all repeats."""
        clock = Clock(operation, self._config)
        attempt = 0
        runs = False  # A call with the same key does, as the daemon has said.
        while True:
            try:
                return await self._once(operation, clock)
            except McpvisorError as error:
                await self._wait_or_raise(error, attempt, clock, runs=runs)
                runs = runs or isinstance(error, ConflictError)
            attempt += 1

    async def _wait_or_raise(self, error: McpvisorError, attempt: int, clock: Clock, *, runs: bool = False) -> None:
        wait = wait_before_retry(
            error,
            attempt=attempt,
            max_retries=self._config.max_retries,
            remaining=clock.remaining(),
            chance=random.random(),
        )
        if wait is None:
            if runs and error.phase == "not_sent":
                # The last request carried nothing out; that call may have.
                error.phase = "in_flight"
            raise error
        await asyncio.sleep(wait)

    async def _once(self, operation: Operation[T], clock: Clock) -> T:
        response = await self._begin(operation, clock)
        content = await self._read(operation, response, clock)
        return operation.read(_answer(operation, response, content))

    async def _begin(self, operation: Operation[Any], clock: Clock) -> httpx.Response:
        request = self._http.build_request(**request_arguments(operation, self._config, clock))
        try:
            return await self._http.send(request, stream=True)
        except httpx.HTTPError as problem:
            raise error_of_transport(problem, clock, answered=False, reads_only=operation.reads_only) from problem

    async def _read(self, operation: Operation[Any], response: httpx.Response, clock: Clock) -> bytes:
        pieces: list[bytes] = []
        try:
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                clock.patience()
        except httpx.HTTPError as problem:
            raise error_of_transport(problem, clock, answered=True, reads_only=operation.reads_only) from problem
        finally:
            await response.aclose()
        return b"".join(pieces)

    async def open(self, operation: Operation[Any]) -> httpx.Response:
        """The answer that is a stream of events, from its first byte on, over all repeats."""
        clock = Clock(operation, self._config)
        attempt = 0
        while True:
            try:
                return await self._open_once(operation, clock)
            except McpvisorError as error:
                await self._wait_or_raise(error, attempt, clock)
            attempt += 1

    async def _open_once(self, operation: Operation[Any], clock: Clock) -> httpx.Response:
        response = await self._begin(operation, clock)
        if response.status_code == 200 and response.headers.get("content-type", "").startswith("text/event-stream"):
            # From here on only silence ends the wait. The transport looks at this when it reads on.
            response.request.extensions["timeout"]["read"] = STREAM_SILENCE
            return response
        content = await self._read(operation, response, clock)
        _answer(operation, response, content)
        raise ProtocolError("the answer is no stream of events", status=response.status_code, fault="network")


def _answer(operation: Operation[Any], response: httpx.Response, content: bytes) -> Answer:
    return answer_of(
        response.status_code,
        response.headers,
        content,
        enveloped=operation.enveloped,
        may_have_worked=operation.may_have_worked,
    )
