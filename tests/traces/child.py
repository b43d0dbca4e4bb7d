"""A server on the official Python SDK, which goes on with the trace that it finds in `_meta` and exports its own spans.

    child.py ENDPOINT

What it logs has the id of the trace, so that its lines can be found by it."""

import logging
import sys

from mcp.server import MCPServer
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "child"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1])))
trace.set_tracer_provider(provider)
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")

server = MCPServer("traced")


@server.tool()
def work(text: str) -> str:
    """Does some work."""
    with trace.get_tracer("child").start_as_current_span("work itself") as span:
        logging.info("working trace_id=%032x", span.get_span_context().trace_id)
    return text


server.run()
