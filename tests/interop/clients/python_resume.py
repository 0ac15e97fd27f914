#!/usr/bin/env python3
"""The Python SDK 1.30 when its connections break: it comes back by itself, and must miss nothing.

Usage: python_resume.py URL
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import anyio
import httpx
from checks import Checks, ensure, equal
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client


class BreakingStream(httpx.AsyncByteStream):
    """A body that breaks after so many events, as a network does."""

    def __init__(self, inner: httpx.AsyncByteStream, after: int) -> None:
        self.inner = inner
        self.left = after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.inner:
            yield chunk
            self.left -= chunk.count(b"\n\n")
            if self.left <= 0:
                raise httpx.ReadError("the network is gone")

    async def aclose(self) -> None:
        await self.inner.aclose()


class BreakingTransport(httpx.AsyncHTTPTransport):
    """Breaks the streams of calls, and counts how often it is come back to."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.broken = 0
        self.resumed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.resumed += "last-event-id" in request.headers
        response = await super().handle_async_request(request)
        streams = response.headers.get("content-type", "").startswith("text/event-stream")
        if streams and request.method == "POST" and b'"tools/call"' in request.content:
            self.broken += 1
            response.stream = BreakingStream(response.stream, self.after)
        return response


async def long_call(url: str, after: int) -> None:
    network = BreakingTransport(after)
    async with (
        httpx.AsyncClient(transport=network, timeout=20) as http_client,
        streamable_http_client(f"{url}/everything", http_client=http_client) as (read, write, _session_id),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        notes: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            notes.append(done)

        arguments = {"duration": 3, "steps": 6}
        result = await session.call_tool("trigger-long-running-operation", arguments, progress_callback=progress)
        expected = "Long running operation completed. Duration: 3 seconds, Steps: 6."
        equal(result.content[0].text, expected, "result")
        equal(notes, [1, 2, 3, 4, 5, 6], "progress")
        ensure(network.broken == 1 and network.resumed >= 1, f"{network.broken} broken, {network.resumed} resumed")


async def oldest(base: str) -> None:
    async with (
        sse_client(f"{base}/sse/everything") as (read, write),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        result = await session.call_tool("echo", {"message": "hello"})
        equal(result.content[0].text, "Echo: hello", "result")


async def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python_resume.py URL")
    checks = Checks("python-resume")
    for after in (1, 3):
        name = f"a stream that breaks after {after} events is taken up again, and nothing is missing or twice"
        await checks.check(name, lambda after=after: long_call(sys.argv[1], after))
    base = sys.argv[1].removesuffix("/mcp")
    await checks.check("the client of the oldest HTTP transport is served", lambda: oldest(base))
    checks.finish()


anyio.run(main)
