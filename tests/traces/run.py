"""Has a collector that others wrote (oteltap) take the spans of calls that cross HTTP, the daemon and a server on the official
Python SDK, and looks at what it has got.

    venv/bin/python run.py [--daemon PATH_TO_MCPVISOR]

Three programs send spans: this one, as an HTTP client with OpenTelemetry's SDK; the daemon; and the server, whose SDK goes on
with the trace in `_meta`. All must be on one trace, each below the one that it was called by. The same is tried at
`POST /v1/mcp/invoke`, where the trace is in a header, and at `/mcp`, where it is in `_meta`.

Exit codes: 0 as expected; 1 not, with what is wrong; 2 it could not be tried at all."""

import argparse
import asyncio
import json
import shutil
import socket
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "prometheus"))

from daemons import Daemon, Untried  # noqa: E402
from opentelemetry import propagate, trace  # noqa: E402
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: E402
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings  # noqa: E402

PATIENCE_S = 60
MCP = "2025-06-18"


class Wrong(Exception):
    """Something is not as it is to be."""


class Collector:
    """All spans that have come so far."""

    def __init__(self, tap):
        self.spans = []
        self._came = asyncio.Condition()
        self._task = asyncio.create_task(self._gather(tap))

    async def _gather(self, tap):
        async for span in tap.stream_traces():
            async with self._came:
                self.spans.append(span)
                self._came.notify_all()

    async def of_trace(self, trace_id, wanted):
        """Waits until a trace has these spans, each told by a test: those that were found, by name."""
        found = {}
        try:
            async with asyncio.timeout(PATIENCE_S), self._came:
                while True:
                    here = [span for span in self.spans if span.trace_id == trace_id]
                    found = {name: next(filter(is_it, here), None) for name, is_it in wanted.items()}
                    if all(found.values()):
                        return found
                    await self._came.wait()
        except TimeoutError:
            missing = sorted(name for name, span in found.items() if span is None)
            others = sorted({span.name for span in self.spans})
            raise Wrong(f"the trace does not have {missing}; there are {others}") from None

    def below(self, above):
        """The spans right below one, in the order in which they began."""
        found = [span for span in self.spans if span.parent_span_id == above.span_id]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def end(self):
        self._task.cancel()


def attributes(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


# The spans that a call leaves: the client's, the two of the daemon's, and what the server makes of it by itself.
CHAIN = {
    "the client": lambda span: span.name == "client calls",
    "the call": lambda span: span.kind == Span.SPAN_KIND_SERVER and "mcpvisor.outcome" in attributes(span),
    "the child": lambda span: span.kind == Span.SPAN_KIND_CLIENT and "mcpvisor.child" in attributes(span),
}
WORK = {"the tool": lambda span: span.name == "work itself"}


def check_chain(spans, names):
    """Each span is below the one before it."""
    for above, below in zip(names, names[1:]):
        if spans[below].parent_span_id != spans[above].span_id:
            raise Wrong(f"{below} is not below {above}")


def check_call(spans, dialect, outcome="ok"):
    """The daemon's span of a call, and that of its child's part."""
    call, child = spans["the call"], spans["the child"]
    of_both = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "work",
        "mcpvisor.server": "traced",
    }
    check_attributes(call, of_both | {"mcpvisor.outcome": outcome, "mcpvisor.dialect": dialect})
    check_attributes(child, of_both | {"network.transport": "pipe", "mcpvisor.child": 1})
    if not attributes(call)["mcpvisor.request_id"].startswith("req_"):
        raise Wrong(f"the call has no id of its request: {attributes(call)}")
    if {call.name, child.name} != {"tools/call work"}:
        raise Wrong(f"names {call.name!r} and {child.name!r}")
    inside = call.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
    if not (inside and child.end_time_unix_nano <= call.end_time_unix_nano):
        raise Wrong("the child's part is not within the call")
    if (call.status.code == Status.STATUS_CODE_ERROR) != (outcome != "ok"):
        raise Wrong(f"status {call.status.code} of a call with outcome {outcome}")


def check_attributes(span, expected):
    known = attributes(span)
    if wrong := {name: known.get(name) for name, value in expected.items() if known.get(name) != value}:
        raise Wrong(f"attributes of {span.name!r}: {wrong}, and not {expected}")


def shown(collector, span, depth=1):
    """Prints a span and all below it."""
    took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    print(f"  {'  ' * depth}{span.name} ({Span.SpanKind.Name(span.kind)[10:].lower()}, {took:.2f} ms)", flush=True)
    for below in collector.below(span):
        shown(collector, below, depth + 1)


def invoke(daemon, headers, text="hello"):
    body = {"mcp_id": "traced", "tool": "work", "arguments": {"text": text}}
    return daemon.answer("POST", "/v1/mcp/invoke", body, headers=headers)


def by_mcp(daemon, meta):
    """Calls the tool as an MCP client does, with its trace in `_meta`."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    request["params"] = {"protocolVersion": MCP, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    accept = {"Accept": "application/json, text/event-stream"}
    session = daemon.headers_of("POST", "/mcp/traced", request, accept)["mcp-session-id"]
    with_session = accept | {"Mcp-Session-Id": session, "MCP-Protocol-Version": MCP}
    daemon.answer("POST", "/mcp/traced", {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=with_session)
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    call["params"] = {"name": "work", "arguments": {"text": "hello"}, "_meta": meta}
    return daemon.answer("POST", "/mcp/traced", call, headers=with_session)


async def called(tracer, name, act):
    """Makes a call within a span of this client's: the id of its trace."""
    carrier = {}
    with tracer.start_as_current_span(name) as span:
        propagate.inject(carrier)
        status, text = await asyncio.to_thread(act, carrier)
        if status != 200 or "hello" not in text:
            raise Wrong(f"{name}: {status} {text}")
    return span.get_span_context().trace_id.to_bytes(16, "big")


async def tried(options, folder):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}/v1/traces"
    provider = TracerProvider(resource=Resource.create({"service.name": "client"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    tracer = provider.get_tracer("client")
    servers = {"traced": {"command": sys.executable, "args": ["-B", str(HERE / "child.py"), endpoint]}}
    config = f'[telemetry.otlp]\nendpoint = "http://127.0.0.1:{port}"\n'
    async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as tap:
        collector = Collector(tap)
        daemon = Daemon(options.daemon, folder / "daemon", servers, config)
        await asyncio.to_thread(daemon.__enter__)
        try:
            for name, dialect, act in (
                ("an HTTP client by its headers", "plexmcp", lambda carrier: invoke(daemon, carrier)),
                ("an MCP client by its _meta", "mcp", lambda carrier: by_mcp(daemon, carrier)),
            ):
                print(f"  {name}:", flush=True)
                trace_id = await called(tracer, "client calls", act)
                spans = await collector.of_trace(trace_id, CHAIN | WORK)
                check_chain(spans, list(CHAIN))
                check_call(spans, dialect)
                below = collector.below(spans["the child"])
                if not below:
                    raise Wrong(f"{name}: the server's spans are not below the daemon's")
                logged = json.loads(daemon.request("GET", "/v1/mcps/" + daemon.server("traced")["id"] + "/logs"))
                if f"trace_id={trace_id.hex()}" not in json.dumps(logged):
                    raise Wrong(f"{name}: the server's log does not have the trace")
                shown(collector, spans["the client"])
            await asyncio.to_thread(
                daemon.answer, "POST", "/v1/mcp/invoke", {"mcp_id": "traced", "tool": "work", "arguments": {}}
            )
            failed = await failed_call(collector)
            print(f"  a call that fails: {attributes(failed)['mcpvisor.outcome']}, with an error status", flush=True)
            # A caller that does not sample is not traced, and its trace reaches the server as it came.
            quiet = "0af7651916cd43dd8448eb211c80319c"
            unsampled = {"traceparent": f"00-{quiet}-b7ad6b7169203331-00"}
            await asyncio.to_thread(invoke, daemon, unsampled)
            spans = await asyncio.to_thread(daemon.request, "GET", "/metrics", None, True)
            dropped = [line for line in spans.splitlines() if line.startswith("mcpvisor_spans_dropped_total")]
            if dropped != ["mcpvisor_spans_dropped_total 0"]:
                raise Wrong(f"spans were dropped: {dropped}")
        finally:
            await asyncio.to_thread(daemon.__exit__)
        # The daemon has ended, and sent what it had.
        if any(span.trace_id.hex() == quiet and "mcpvisor.server" in attributes(span) for span in collector.spans):
            raise Wrong("a call was traced whose caller does not sample")
        print("  a caller that does not sample is not traced")
        collector.end()


async def failed_call(collector):
    """Waits for a call of the daemon's that failed."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for span in collector.spans:
                if CHAIN["the call"](span) and span.status.code == Status.STATUS_CODE_ERROR:
                    return span
            await asyncio.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", type=Path, default=ROOT / "target/debug/mcpvisor")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="traces-"))
    try:
        asyncio.run(tried(options, folder))
    except Wrong as wrong:
        print(f"WRONG: {wrong}; what the daemon wrote is in {folder}", file=sys.stderr)
        return 1
    except Untried as untried:
        print(f"not tried: {untried}", file=sys.stderr)
        return 2
    shutil.rmtree(folder)
    print("all spans as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
