#!/usr/bin/env python3
"""Spans of a gateway of its own, decoded by OpenTelemetry's messages for Python; a call by the Python SDK 2.3.

Usage: python_traces.py
"""

import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import anyio
from checks import Checks, ensure, equal
from mcp import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CONFIG = """
[gateway]
listen = "127.0.0.1:0"
data_dir = "{folder}/data"

[traces]
endpoint = "http://127.0.0.1:{port}"
delay = "10ms"

[servers.demo]
command = "{program}"
args = ["demo-server"]
"""


class Collector(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP."""

    protocol_version = "HTTP/1.1"
    exports: list[ExportTraceServiceRequest] = []
    kinds: set[str | None] = set()

    def do_POST(self) -> None:
        export = ExportTraceServiceRequest()
        export.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
        self.kinds.add(self.headers["content-type"])
        self.exports.append(export)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def spans() -> list[Span]:
    """All spans so far."""
    resources = [resource for export in Collector.exports for resource in export.resource_spans]
    return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


def text(span: Span, key: str) -> str:
    """An attribute that is a text."""
    return next((one.value.string_value for one in span.attributes if one.key == key), "")


async def called(program: str, folder: Path) -> None:
    """Starts a gateway, makes one call through it and looks at what the collector got."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = folder / "gateway.toml"
    file.write_text(CONFIG.format(folder=folder, port=server.server_port, program=program))
    async with await anyio.open_process([program, "serve", "--config", str(file)], stdin=None, stdout=None) as gateway:
        try:
            said = ""
            async for part in gateway.stderr:
                said += part.decode()
                if " listens on http://" in said and said.endswith("\n"):
                    break
            address = said.split(" listens on ", 1)[1].split()[0]
            async with Client(f"{address}/mcp/demo") as client:
                await client.call_tool("echo", {"message": "traced"})
            while not any(span.name == "tools/call echo" and span.kind == Span.SPAN_KIND_CLIENT for span in spans()):
                await anyio.sleep(0.02)
        finally:
            gateway.terminate()
            await gateway.wait()
    server.shutdown()
    sent = next(span for span in spans() if span.kind == Span.SPAN_KIND_CLIENT and text(span, "gen_ai.tool.name") == "echo")
    served = next(span for span in spans() if span.span_id == sent.parent_span_id)
    equal(served.kind, Span.SPAN_KIND_SERVER, "the parent")
    equal((len(sent.trace_id), len(sent.span_id), sent.trace_id), (16, 8, served.trace_id), "ids")
    equal(text(sent, "mcp.method.name"), "tools/call", "the method")
    ensure(served.start_time_unix_nano <= sent.start_time_unix_nano <= sent.end_time_unix_nano, "times")
    equal(Collector.kinds, {"application/x-protobuf"}, "content types")
    resource = Collector.exports[0].resource_spans[0].resource
    names = {one.key: one.value.string_value for one in resource.attributes}
    equal(names["service.name"], "trunkline", "the service")


async def main() -> None:
    checks = Checks("python-traces")
    with tempfile.TemporaryDirectory() as folder:
        await checks.check(
            "spans of a call are read by OpenTelemetry's own messages",
            lambda: called(os.environ["TRUNKLINE"], Path(folder)),
        )
    checks.finish()


anyio.run(main)
